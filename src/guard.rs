//! Panics stop here.
//!
//! A panic that crosses into nginx's C code aborts the worker, and with it every other request. Each callback
//! therefore runs inside one of these guards: a panic becomes an `[alert]` line and an error status.

use core::ffi::c_char;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use ngx::core::{NGX_CONF_ERROR, Status};
use ngx::ffi::{NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_int_t};

/// Runs `f`; a panic is logged and `otherwise` returned.
pub fn guard<T>(otherwise: T, f: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => value,
        Err(cause) => {
            let what = cause
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| cause.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            cycle_log!(ALERT, "internal error, please report it: {what}");
            otherwise
        }
    }
}

/// For callbacks of the configuration that return a status.
pub fn guard_rc(f: impl FnOnce() -> Status) -> ngx_int_t {
    guard(Status::NGX_ERROR, f).0
}

/// For phase handlers and filters: a panic answers 500.
pub fn guard_request(f: impl FnOnce() -> Status) -> ngx_int_t {
    guard(Status(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t), f).0
}

/// For directive setters.
pub fn guard_conf(f: impl FnOnce() -> *mut c_char) -> *mut c_char {
    guard(NGX_CONF_ERROR, f)
}

/// For callbacks without a result.
pub fn guard_unit(f: impl FnOnce()) {
    guard((), f);
}
