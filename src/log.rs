//! Log lines. Each begins with `session: `, names one event, and is formatted only if its level is written.

/// Writes a line to the log of a request: `request_log!(INFO, request, "…")`.
macro_rules! request_log {
    ($level:ident, $request:expr, $($arg:tt)+) => {{
        let log = $request.log();
        $crate::log::write($crate::log::$level, log, format_args!($($arg)+));
    }};
}

/// Writes a line to the log of the cycle, where there is no request.
macro_rules! cycle_log {
    ($level:ident, $($arg:tt)+) => {{
        let log = ngx::log::ngx_cycle_log().as_ptr();
        $crate::log::write($crate::log::$level, log, format_args!($($arg)+));
    }};
}

use core::fmt;
use core::mem::MaybeUninit;

use ngx::ffi::{self, ngx_log_t, ngx_uint_t};
use ngx::log::{LOG_BUFFER_SIZE, log_error, write_fmt};

pub const ALERT: u32 = ffi::NGX_LOG_ALERT;
pub const ERR: u32 = ffi::NGX_LOG_ERR;
pub const WARN: u32 = ffi::NGX_LOG_WARN;
pub const NOTICE: u32 = ffi::NGX_LOG_NOTICE;
pub const INFO: u32 = ffi::NGX_LOG_INFO;

/// Writes `session: ` and the text to `log` when its level asks for it.
pub fn write(level: u32, log: *mut ngx_log_t, text: fmt::Arguments<'_>) {
    // SAFETY: the callers take the log from a live connection or cycle.
    if level as ngx_uint_t > unsafe { (*log).log_level } {
        return;
    }
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; LOG_BUFFER_SIZE];
    let line = write_fmt(&mut buffer, format_args!("session: {text}"));
    // SAFETY: as above; the buffer outlives the call, which copies it.
    unsafe { log_error(level as ngx_uint_t, log, 0, line) };
}
