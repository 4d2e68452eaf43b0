//! How a directive is read: one entry point for nginx, one error type, one way to say what is wrong.

use core::ffi::{CStr, c_char, c_void};
use core::fmt;
use core::ops::RangeInclusive;
use std::time::Duration;

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK};
use ngx::ffi::{
    NGX_CONF_1MORE, NGX_CONF_BLOCK, NGX_CONF_TAKE1, NGX_CONF_TAKE2, NGX_CONF_TAKE3, ngx_command_t,
    ngx_conf_parse, ngx_conf_t, ngx_palloc, ngx_parse_size, ngx_parse_time, ngx_str_t,
};
use thiserror::Error;

use super::profile::{is_of_a_session, profile_name};
use super::{Directives, LocationConf, ProfileId, main_conf};
use crate::http::Value;

/// One argument or more.
pub const ANY: u32 = NGX_CONF_1MORE;
/// One argument.
pub const ONE: u32 = NGX_CONF_TAKE1;
/// Two arguments.
pub const TWO: u32 = NGX_CONF_TAKE2;
/// As [`ONE`], and `profile=`.
pub const ONE_OF_A_SESSION: u32 = NGX_CONF_TAKE1 | NGX_CONF_TAKE2;
/// As [`TWO`], and `profile=`.
pub const TWO_OF_A_SESSION: u32 = NGX_CONF_TAKE2 | NGX_CONF_TAKE3;
/// The directive opens a block.
pub const BLOCK: u32 = NGX_CONF_BLOCK;
/// `on` or `off`; checked by [`Arguments::flag`], whose message names what is allowed.
pub const FLAG: u32 = NGX_CONF_TAKE1;

/// What can be wrong with a directive.
#[derive(Debug, Error)]
pub enum ConfError {
    #[error("is duplicate")]
    Duplicate,
    /// nginx's own words.
    #[error("has an invalid number of arguments")]
    Arguments,
    #[error("has invalid value \"{value}\": {allowed}")]
    Invalid { value: String, allowed: String },
    #[error("has unknown parameter \"{parameter}\": {allowed}")]
    Unknown { parameter: String, allowed: String },
    #[error("{0}")]
    Wrong(String),
    /// nginx has logged the cause itself.
    #[error("cannot be used")]
    Logged,
    /// Two directives that cannot both hold, found when the levels are merged.
    #[error("{text}{at}")]
    Contradiction { text: String, at: Position },
}

impl ConfError {
    /// A value that is not among the allowed ones.
    pub fn invalid(value: &[u8], allowed: impl fmt::Display) -> ConfError {
        ConfError::Invalid {
            value: printable(value),
            allowed: allowed.to_string(),
        }
    }

    /// A parameter that the directive does not have.
    pub fn unknown(parameter: &[u8], allowed: impl fmt::Display) -> ConfError {
        ConfError::Unknown {
            parameter: printable(parameter),
            allowed: allowed.to_string(),
        }
    }

    /// Anything else; the text continues a sentence that begins with the directive's name.
    pub fn wrong(text: impl Into<String>) -> ConfError {
        ConfError::Wrong(text.into())
    }
}

fn printable(value: &[u8]) -> String {
    String::from_utf8_lossy(value).escape_debug().to_string()
}

/// Where in the configuration something was written, as nginx says it.
#[derive(Debug, Clone, Default)]
pub struct Position(Option<(String, usize)>);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((file, line)) => write!(f, " in {file}:{line}"),
            None => Ok(()),
        }
    }
}

/// The arguments of one directive, as written.
pub struct Arguments {
    cf: *mut ngx_conf_t,
    /// The directive's name as written, and its arguments without `profile=`.
    args: &'static [ngx_str_t],
    profile: Option<&'static str>,
}

/// A parser: reads the arguments into the directives of the level.
pub type Directive = fn(&mut Directives, &Arguments) -> Result<(), ConfError>;

impl Arguments {
    /// The arguments of the line that nginx is reading.
    ///
    /// # Safety
    ///
    /// `cf` is the live context of that line.
    pub unsafe fn of(cf: *mut ngx_conf_t) -> Arguments {
        Arguments {
            cf,
            // SAFETY: by contract; arguments live in the configuration's pool.
            args: unsafe { (*(*cf).args).as_slice() },
            profile: None,
        }
    }

    /// Takes `profile=NAME` out of the arguments. `kind`: how many are allowed besides.
    fn split_profile(&mut self, kind: u32) -> Result<(), ConfError> {
        let written = self.all();
        for arg in written {
            let Some(name) = arg.as_bytes().strip_prefix(b"profile=") else {
                continue;
            };
            once(&mut self.profile, profile_name(name)?)?;
        }
        if self.profile.is_some() {
            let others = written
                .iter()
                .filter(|arg| !arg.as_bytes().starts_with(b"profile="));
            self.args = self.keep(core::iter::once(&self.args[0]).chain(others))?;
        }
        let wanted = (kind & 0xff).trailing_zeros() as usize;
        let fits = match kind & ANY {
            0 => self.all().len() == wanted,
            _ => !self.all().is_empty(),
        };
        fits.then_some(()).ok_or(ConfError::Arguments)
    }

    /// Arguments in the configuration's pool, as nginx's own are.
    fn keep(
        &self,
        args: impl Iterator<Item = &'static ngx_str_t>,
    ) -> Result<&'static [ngx_str_t], ConfError> {
        let args: Vec<ngx_str_t> = args.copied().collect();
        // SAFETY: the pool lives as long as the configuration; the block is as large as what is copied into it.
        unsafe {
            let block = ngx_palloc((*self.cf).pool, size_of_val(&*args)).cast::<ngx_str_t>();
            if block.is_null() {
                return Err(ConfError::Logged);
            }
            core::ptr::copy_nonoverlapping(args.as_ptr(), block, args.len());
            Ok(core::slice::from_raw_parts(block, args.len()))
        }
    }

    /// Whether there is a `profile=`.
    pub fn is_named(&self) -> bool {
        self.profile.is_some()
    }

    /// The session that `profile=` names.
    pub fn profile(&self) -> Result<ProfileId, ConfError> {
        match self.profile {
            None => Ok(ProfileId::UNNAMED),
            // SAFETY: the context is the one nginx handed to the directive that is being read.
            Some(name) => unsafe { main_conf(self.cf) }.profiles.mention(
                name,
                self.args[0].as_bytes(),
                self.position(),
            ),
        }
    }

    /// The directive's name.
    pub fn name(&self) -> &'static [u8] {
        self.args[0].as_bytes()
    }

    /// The arguments, without the directive's name.
    pub fn all(&self) -> &'static [ngx_str_t] {
        &self.args[1..]
    }

    /// The bytes of the arguments, without the directive's name.
    pub fn texts(&self) -> impl Iterator<Item = &'static [u8]> {
        self.all().iter().map(ngx_str_t::as_bytes)
    }

    /// The first argument.
    pub fn first(&self) -> &'static [u8] {
        self.args[1].as_bytes()
    }

    /// A value that may contain variables.
    pub fn value(&self, text: ngx_str_t) -> Result<Value, ConfError> {
        // SAFETY: the context is the one nginx handed to the directive that is being read.
        unsafe { Value::compile(self.cf, text) }.ok_or(ConfError::Logged)
    }

    /// The part of an argument after `name=`, to be compiled.
    pub fn tail_value(&self, text: &'static [u8]) -> Result<Value, ConfError> {
        self.value(ngx_str_t {
            len: text.len(),
            data: text.as_ptr().cast_mut(),
        })
    }

    /// `on` or `off`.
    pub fn flag(&self) -> Result<bool, ConfError> {
        self.one_of(&[("on", true), ("off", false)])
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, ConfError> {
        let found = words
            .iter()
            .find(|(word, _)| word.as_bytes() == self.first());
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            ConfError::invalid(self.first(), format!("allowed are {}", words.join(", ")))
        })
    }

    /// A time in nginx's units, in seconds.
    pub fn seconds(&self) -> Result<u32, ConfError> {
        let mut text = self.args[1];
        // SAFETY: reads the bytes of the argument.
        let seconds = unsafe { ngx_parse_time(&mut text, 1) };
        u32::try_from(seconds).map_err(|_| {
            ConfError::invalid(
                self.first(),
                "allowed is a time such as \"30s\", \"15m\", \"1h\", \"7d\"",
            )
        })
    }

    /// A time in nginx's units, to the millisecond. Not 0: nothing would ever be done in time.
    pub fn duration(&self) -> Result<Duration, ConfError> {
        let mut text = self.args[1];
        // SAFETY: reads the bytes of the argument.
        let milliseconds = unsafe { ngx_parse_time(&mut text, 0) };
        match u64::try_from(milliseconds) {
            Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
            _ => Err(ConfError::invalid(
                self.first(),
                "allowed is a time of at least one millisecond, such as \"500ms\" or \"1s\"",
            )),
        }
    }

    /// A whole number.
    pub fn number(&self, range: RangeInclusive<u64>) -> Result<u64, ConfError> {
        let number = core::str::from_utf8(self.first())
            .ok()
            .and_then(|text| text.parse().ok());
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let most = match *range.end() {
                    u64::MAX => String::new(),
                    end => format!(" to {end}"),
                };
                ConfError::invalid(
                    self.first(),
                    format!("allowed is a number from {}{most}", range.start()),
                )
            })
    }

    /// A size in nginx's units, in bytes.
    pub fn size(&self) -> Result<usize, ConfError> {
        let mut text = self.args[1];
        // SAFETY: reads the bytes of the argument.
        let size = unsafe { ngx_parse_size(&mut text) };
        usize::try_from(size).map_err(|_| {
            ConfError::invalid(
                self.first(),
                "allowed is a size such as \"1024\", \"16k\", \"1m\"",
            )
        })
    }

    /// Where the directive stands.
    pub fn position(&self) -> Position {
        // SAFETY: nginx is reading a file while a directive is parsed; null only for parameters given with -g.
        let file = unsafe { (*self.cf).conf_file.as_ref() };
        Position(file.map(|f| {
            (
                String::from_utf8_lossy(f.file.name.as_bytes()).into_owned(),
                f.line,
            )
        }))
    }

    /// The context, for the few directives that register something with nginx.
    pub fn context(&self) -> *mut ngx_conf_t {
        self.cf
    }

    /// `path` as nginx would open it: relative to its configuration folder.
    pub fn full_path(&self) -> Result<String, ConfError> {
        use ngx::ffi::{NGX_OK, ngx_conf_full_name, ngx_int_t};
        let mut name = self.args[1];
        // SAFETY: the cycle is live while its configuration is read; the name is replaced by one from its pool.
        let rc = unsafe { ngx_conf_full_name((*self.cf).cycle, &mut name, 1) };
        if rc != NGX_OK as ngx_int_t {
            return Err(ConfError::Logged);
        }
        Ok(utf8(name.as_bytes())?.to_owned())
    }
}

/// Names are text.
pub fn utf8(bytes: &[u8]) -> Result<&str, ConfError> {
    core::str::from_utf8(bytes).map_err(|_| ConfError::invalid(bytes, "allowed is UTF-8 text"))
}

/// Names are fixed: a variable in one would let a client choose it.
pub fn fixed_name(bytes: &'static [u8]) -> Result<&'static str, ConfError> {
    match utf8(bytes)? {
        "" => Err(ConfError::invalid(bytes, "a name cannot be empty")),
        name if name.contains('$') => {
            Err(ConfError::invalid(bytes, "a name cannot contain variables"))
        }
        name => Ok(name),
    }
}

/// Fills a scalar that may be written once a level.
pub fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), ConfError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ConfError::Duplicate),
    }
}

/// Takes what the level above has where this one has nothing.
pub fn inherit<T: Clone>(slot: &mut Option<T>, outer: &Option<T>) {
    if slot.is_none() {
        slot.clone_from(outer);
    }
}

/// As [`inherit`], for lists; `own`: the level has lines of the list, be it for another session.
pub fn inherit_list<T: Clone>(list: &mut Vec<T>, outer: &[T], own: bool) {
    if !own {
        list.extend_from_slice(outer);
    }
}

/// An entry of nginx's table of directives.
macro_rules! command {
    ($name:literal, $where:expr, $parse:path) => {{
        unsafe extern "C" fn set(
            cf: *mut ngx_conf_t,
            _command: *mut ngx_command_t,
            conf: *mut core::ffi::c_void,
        ) -> *mut core::ffi::c_char {
            const READER: Reader = Reader { name: $name, kind: $where, parse: $parse };
            // SAFETY: nginx reads a directive of this table: `cf` is live and `conf` is this level's structure.
            crate::guard::guard_conf(|| unsafe { crate::conf::command::run(cf, conf, &READER) })
        }
        ngx_command_t {
            name: ngx::ffi::ngx_str_t { len: $name.count_bytes(), data: $name.as_ptr() as *mut u8 },
            type_: ($where) as ngx::ffi::ngx_uint_t,
            set: Some(set),
            conf: ngx::ffi::NGX_HTTP_LOC_CONF_OFFSET,
            offset: 0,
            post: core::ptr::null_mut(),
        }
    }};
}
pub(super) use command;

/// Runs a parser and reports its error as nginx does.
///
/// # Safety
///
/// `cf` is the context of the directive being read, `conf` this module's structure of its level.
pub unsafe fn run(cf: *mut ngx_conf_t, conf: *mut c_void, reader: &Reader) -> *mut c_char {
    // SAFETY: by contract.
    let (level, args) = unsafe { (&mut *conf.cast::<LocationConf>(), Arguments::of(cf)) };
    match reader.read(level, args) {
        Ok(()) => NGX_CONF_OK,
        Err(ConfError::Logged) => NGX_CONF_ERROR,
        Err(error) => {
            let name = reader.name.to_string_lossy();
            // In a profile's block, names are written without the prefix.
            let name = if level.in_block {
                name.trim_start_matches("session_")
            } else {
                &*name
            };
            let text = match error {
                ConfError::Arguments => {
                    format!("invalid number of arguments in \"{name}\" directive")
                }
                error => format!("\"{name}\" {error}"),
            };
            // SAFETY: by contract.
            unsafe { conf_log(cf, &text) };
            NGX_CONF_ERROR
        }
    }
}

/// What nginx calls for each line of a block.
type OnLine = unsafe extern "C" fn(*mut ngx_conf_t, *mut ngx_command_t, *mut c_void) -> *mut c_char;

/// Lets nginx read the lines of a block and hands each to `on_line`, with `conf`.
///
/// # Safety
///
/// `cf` is the context of the directive whose block begins here; `conf` is what `on_line` takes.
pub unsafe fn read_block(
    cf: *mut ngx_conf_t,
    on_line: OnLine,
    conf: *mut c_void,
) -> Result<(), ConfError> {
    // SAFETY: the context is copied and put back, as nginx's own block directives do.
    unsafe {
        let saved = *cf;
        (*cf).handler = Some(on_line);
        (*cf).handler_conf = conf.cast();
        let result = ngx_conf_parse(cf, core::ptr::null_mut());
        *cf = saved;
        match result == NGX_CONF_OK {
            true => Ok(()),
            false => Err(ConfError::Logged),
        }
    }
}

/// How a directive is read.
pub struct Reader {
    pub name: &'static CStr,
    /// Where it may stand, and with how many arguments.
    pub kind: u32,
    pub parse: Directive,
}

impl Reader {
    /// Reads a line into the directives of the session it speaks of.
    fn read(&self, level: &mut LocationConf, mut args: Arguments) -> Result<(), ConfError> {
        if is_of_a_session(self.name.to_bytes()) {
            args.split_profile(self.kind)?;
        }
        if level.in_block && args.profile.is_some() {
            return Err(ConfError::wrong(
                "cannot name a profile in the block of one",
            ));
        }
        level.written.touched = true;
        let session = args.profile()?;
        (self.parse)(level.written.of(session), &args)
    }
}

/// Reports an error found while levels are merged. The position in the text is that of a directive: nginx's own would
/// be the end of the http block.
///
/// # Safety
///
/// `cf` is live.
pub unsafe fn log_merge_error(cf: *mut ngx_conf_t, error: &ConfError) {
    use ngx::ffi::NGX_LOG_EMERG;
    let text = error.to_string();
    // SAFETY: by contract.
    unsafe { ngx::log::log_error(NGX_LOG_EMERG as usize, (*cf).log, 0, text.as_bytes()) };
}

/// Reports an error at the place nginx is reading.
///
/// # Safety
///
/// `cf` is live.
pub unsafe fn conf_log(cf: *mut ngx_conf_t, text: &str) {
    use ngx::ffi::{NGX_LOG_EMERG, ngx_conf_log_error};
    // SAFETY: `cf` is live; "%*s" takes a length and a pointer.
    unsafe {
        ngx_conf_log_error(
            NGX_LOG_EMERG as usize,
            cf,
            0,
            c"%*s".as_ptr(),
            text.len(),
            text.as_ptr(),
        )
    };
}
