//! Directives → typed settings.
//!
//! A file per section of the contract. Each has a structure with what was *written* at one level (`Option`s and
//! lists), the parsers that fill it, and its inheritance; [`settings`] turns the merged result into what a request
//! uses. A value is checked once, where it is read; contradictions are found when the levels are merged.

mod access;
mod backend;
mod command;
mod cookie;
mod data;
mod headers;
mod keys;
mod profile;
mod settings;
mod storage;
mod time;

use core::ffi::{c_char, c_void};
use std::rc::Rc;

use ngx::core::{NGX_CONF_ERROR, NGX_CONF_OK, Pool};
use ngx::ffi::{
    NGX_HTTP_LOC_CONF, NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF, ngx_command_t, ngx_conf_t,
};

use crate::module;
pub use access::{Action, Create, Lookup, OnError, Require};
pub use backend::{Backend, Store, Work};
pub use command::ConfError;
use command::{ANY, BLOCK, FLAG, ONE, ONE_OF_A_SESSION, Reader, TWO, TWO_OF_A_SESSION, command};
pub use data::{ControlNames, Rules, Unset};
pub use headers::{JarSettings, MapFormat, MapRule, Property};
use profile::Level;
pub use profile::{ProfileId, Profiles};
pub use settings::{LocationSettings, Remember, Settings};

/// What is written at one level, and what it comes to.
#[derive(Default)]
pub struct LocationConf {
    written: Level,
    settings: Option<Rc<LocationSettings>>,
    /// It is no level, but the block of a profile.
    in_block: bool,
}

impl LocationConf {
    /// The http level has nothing above it, so nobody merges it.
    fn resolve(&mut self, main: &mut MainConf) -> Result<(), ConfError> {
        if self.settings.is_none() {
            main.profiles
                .complete(&self.written.unnamed, &main.backends)?;
            let settings = LocationSettings::resolve(&self.written, None, main)?;
            self.settings = Some(Rc::new(settings));
        }
        Ok(())
    }

    /// The settings of this level. They are there once the configuration has been read.
    pub fn settings(&self) -> &Rc<LocationSettings> {
        self.settings
            .as_ref()
            .expect("settings are made when the levels are merged")
    }
}

/// The directives of one session at one level, by section of the contract.
#[derive(Default, Clone)]
pub struct Directives {
    access: access::AccessDirectives,
    keys: keys::KeyDirectives,
    cookie: cookie::CookieDirectives,
    time: time::TimeDirectives,
    data: data::DataDirectives,
    headers: headers::HeaderDirectives,
    storage: storage::StorageDirectives,
}

impl Directives {
    fn inherit(&mut self, outer: &Directives, own: Lists) {
        self.access.inherit(&outer.access, own);
        self.keys.inherit(&outer.keys);
        self.cookie.inherit(&outer.cookie);
        self.time.inherit(&outer.time);
        self.data.inherit(&outer.data, own);
        self.headers.inherit(&outer.headers, own);
        self.storage.inherit(&outer.storage);
    }

    /// Completes a profile's block by what the http level says of all sessions.
    fn take_from_http(&mut self, http: &Directives, profile: &str) -> Result<(), ConfError> {
        self.keys.inherit(&http.keys);
        self.cookie.take_from_http(&http.cookie, profile)?;
        self.time.take_from_http(&http.time, profile)?;
        self.data.take_from_http(&http.data);
        self.headers.take_from_http(&http.headers);
        self.storage.inherit(&http.storage);
        let cookie = self.cookie.resolve()?;
        self.keys.be_for_name(cookie.name.as_str());
        Ok(())
    }

    /// Which lists have lines.
    fn lists(&self) -> Lists {
        Lists {
            session: self.access.action.is_some(),
            bypass: !self.access.bypass.is_empty(),
            require: self.access.require.is_some(),
            set: !self.data.set.is_empty(),
            unset: !self.data.unset.is_empty(),
            info_set: !self.data.info_set.is_empty(),
            map: !self.headers.map.is_empty(),
            request: !self.headers.request.is_empty(),
            response: !self.headers.response.is_empty(),
            jar_pass: !self.headers.jar_pass.is_empty(),
        }
    }
}

/// The lists of which a level has lines of its own, so that it inherits none of them.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    session: bool,
    bypass: bool,
    require: bool,
    set: bool,
    unset: bool,
    info_set: bool,
    map: bool,
    request: bool,
    response: bool,
    jar_pass: bool,
}

impl Lists {
    fn or(self, other: Lists) -> Lists {
        Lists {
            session: self.session || other.session,
            bypass: self.bypass || other.bypass,
            require: self.require || other.require,
            set: self.set || other.set,
            unset: self.unset || other.unset,
            info_set: self.info_set || other.info_set,
            map: self.map || other.map,
            request: self.request || other.request,
            response: self.response || other.response,
            jar_pass: self.jar_pass || other.jar_pass,
        }
    }
}

/// What belongs to the whole http block.
#[derive(Default)]
pub struct MainConf {
    /// What `session_backend` declared.
    pub backends: Vec<Rc<Backend>>,
    /// What `session_profile` declared.
    pub profiles: Profiles,
    /// Some location opens sessions with the random key.
    random_key_used: bool,
}

const EVERYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

/// The directives, in the order of the contract.
pub static mut COMMANDS: [ngx_command_t; COUNT] = [
    command!(c"session", EVERYWHERE | ANY, access::session),
    command!(
        c"session_create",
        EVERYWHERE | ONE_OF_A_SESSION,
        access::create
    ),
    command!(c"session_bypass", EVERYWHERE | ANY, access::bypass),
    command!(c"session_require", EVERYWHERE | ANY, access::require),
    command!(c"session_lookup", EVERYWHERE | ANY, access::lookup),
    command!(
        c"session_on_error",
        EVERYWHERE | ONE_OF_A_SESSION,
        access::on_error
    ),
    command!(c"session_secret", EVERYWHERE | ONE, keys::secret),
    command!(
        c"session_secret_fallbacks",
        EVERYWHERE | ANY,
        keys::secret_fallbacks
    ),
    command!(c"session_secret_file", EVERYWHERE | ONE, keys::secret_file),
    command!(c"session_ikm", EVERYWHERE | ONE, keys::ikm),
    command!(
        c"session_ikm_fallbacks",
        EVERYWHERE | ANY,
        keys::ikm_fallbacks
    ),
    command!(c"session_bind", EVERYWHERE | ANY, keys::bind),
    command!(c"session_cookie_name", EVERYWHERE | ONE, cookie::name),
    command!(c"session_cookie_prefix", EVERYWHERE | ONE, cookie::prefix),
    command!(c"session_cookie_path", EVERYWHERE | ONE, cookie::path),
    command!(c"session_cookie_domain", EVERYWHERE | ONE, cookie::domain),
    command!(
        c"session_cookie_http_only",
        EVERYWHERE | FLAG,
        cookie::http_only
    ),
    command!(c"session_cookie_secure", EVERYWHERE | ONE, cookie::secure),
    command!(
        c"session_cookie_same_site",
        EVERYWHERE | ONE,
        cookie::same_site
    ),
    command!(
        c"session_cookie_priority",
        EVERYWHERE | ONE,
        cookie::priority
    ),
    command!(
        c"session_cookie_same_party",
        EVERYWHERE | FLAG,
        cookie::same_party
    ),
    command!(
        c"session_cookie_partitioned",
        EVERYWHERE | FLAG,
        cookie::partitioned
    ),
    command!(c"session_cookie_max_age", EVERYWHERE | ONE, cookie::max_age),
    command!(
        c"session_cookie_clear_invalid",
        EVERYWHERE | FLAG,
        cookie::clear_invalid
    ),
    command!(c"session_idling_timeout", EVERYWHERE | ONE, time::idling),
    command!(c"session_rolling_timeout", EVERYWHERE | ONE, time::rolling),
    command!(
        c"session_absolute_timeout",
        EVERYWHERE | ONE,
        time::absolute
    ),
    command!(c"session_stale_ttl", EVERYWHERE | ONE, time::stale_ttl),
    command!(
        c"session_touch_threshold",
        EVERYWHERE | ONE,
        time::touch_threshold
    ),
    command!(c"session_renew_after", EVERYWHERE | ONE, time::renew_after),
    command!(
        c"session_remember",
        EVERYWHERE | ONE_OF_A_SESSION,
        time::remember
    ),
    command!(
        c"session_remember_cookie_name",
        EVERYWHERE | ONE,
        time::remember_cookie_name
    ),
    command!(
        c"session_remember_safety",
        EVERYWHERE | ONE,
        time::remember_safety
    ),
    command!(
        c"session_remember_rolling_timeout",
        EVERYWHERE | ONE,
        time::remember_rolling
    ),
    command!(
        c"session_remember_timeout",
        EVERYWHERE | ONE,
        time::remember_rolling
    ),
    command!(
        c"session_remember_absolute_timeout",
        EVERYWHERE | ONE,
        time::remember_absolute
    ),
    command!(
        c"session_compression_threshold",
        EVERYWHERE | ONE,
        time::compression_threshold
    ),
    command!(
        c"session_audience",
        EVERYWHERE | ONE_OF_A_SESSION,
        data::audience
    ),
    command!(
        c"session_subject",
        EVERYWHERE | ONE_OF_A_SESSION,
        data::subject
    ),
    command!(
        c"session_enforce_same_subject",
        EVERYWHERE | ONE_OF_A_SESSION,
        data::enforce_same_subject
    ),
    command!(c"session_set", EVERYWHERE | ANY, data::set),
    command!(c"session_unset", EVERYWHERE | ANY, data::unset),
    command!(c"session_info_set", EVERYWHERE | ANY, data::info_set),
    command!(
        c"session_control",
        EVERYWHERE | ONE_OF_A_SESSION,
        data::control
    ),
    command!(
        c"session_control_prefix",
        EVERYWHERE | ONE_OF_A_SESSION,
        data::control_prefix
    ),
    command!(
        c"session_max_data",
        EVERYWHERE | ONE_OF_A_SESSION,
        data::max_data
    ),
    command!(
        c"session_hide",
        EVERYWHERE | ONE_OF_A_SESSION,
        headers::hide
    ),
    command!(c"session_map_header", EVERYWHERE | ANY, headers::map_header),
    command!(
        c"session_request_headers",
        EVERYWHERE | ANY,
        headers::request_headers
    ),
    command!(
        c"session_response_headers",
        EVERYWHERE | ANY,
        headers::response_headers
    ),
    command!(
        c"session_cache_control",
        EVERYWHERE | ONE_OF_A_SESSION,
        headers::cache_control
    ),
    command!(
        c"session_cookie_jar",
        EVERYWHERE | ONE_OF_A_SESSION,
        headers::cookie_jar
    ),
    command!(
        c"session_cookie_jar_pass",
        EVERYWHERE | ANY,
        headers::cookie_jar_pass
    ),
    command!(
        c"session_cookie_jar_max",
        EVERYWHERE | ONE_OF_A_SESSION,
        headers::cookie_jar_max
    ),
    command!(
        c"session_cookie_jar_size",
        EVERYWHERE | ONE_OF_A_SESSION,
        headers::cookie_jar_size
    ),
    command!(
        c"session_var",
        NGX_HTTP_MAIN_CONF | TWO_OF_A_SESSION,
        headers::var
    ),
    command!(
        c"session_backend",
        NGX_HTTP_MAIN_CONF | TWO | BLOCK,
        backend::backend
    ),
    command!(c"session_storage", EVERYWHERE | ONE, storage::storage),
    command!(
        c"session_hash_storage_key",
        EVERYWHERE | FLAG,
        storage::hash_storage_key
    ),
    command!(
        c"session_store_metadata",
        EVERYWHERE | FLAG,
        storage::store_metadata
    ),
    command!(
        c"session_hash_subject",
        EVERYWHERE | FLAG,
        storage::hash_subject
    ),
    command!(
        c"session_profile",
        NGX_HTTP_MAIN_CONF | ONE | BLOCK,
        profile::profile
    ),
    ngx_command_t::empty(),
];
const COUNT: usize = 63;

/// Makes the structure of the http block.
pub unsafe extern "C" fn create_main_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: the configuration's pool is live.
    unsafe { Pool::from_ngx_pool((*cf).pool) }
        .allocate(MainConf::default())
        .cast()
}

/// Makes the structure of one level; the pool drops it with the cycle.
pub unsafe extern "C" fn create_loc_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: the configuration's pool is live.
    unsafe { Pool::from_ngx_pool((*cf).pool) }
        .allocate(LocationConf::default())
        .cast()
}

/// # Safety
///
/// `outer` and `inner` were made by `create_loc_conf` for two adjacent levels of the configuration `cf` is reading.
pub unsafe fn merge_loc_conf(
    cf: *mut ngx_conf_t,
    outer: *mut c_void,
    inner: *mut c_void,
) -> *mut c_char {
    // SAFETY: by contract; the two are different levels, so different structures.
    let (outer, inner) = unsafe {
        (
            &mut *outer.cast::<LocationConf>(),
            &mut *inner.cast::<LocationConf>(),
        )
    };
    // SAFETY: by contract.
    let main = unsafe { main_conf(cf) };
    match merge(outer, inner, main) {
        Ok(()) => NGX_CONF_OK,
        Err(error) => {
            // SAFETY: by contract.
            unsafe { command::log_merge_error(cf, &error) };
            NGX_CONF_ERROR
        }
    }
}

fn merge(
    outer: &mut LocationConf,
    inner: &mut LocationConf,
    main: &mut MainConf,
) -> Result<(), ConfError> {
    outer.resolve(main)?;
    let above = outer.settings();
    let changed = inner.written.touched;
    inner.written.inherit(&outer.written);
    inner.settings = Some(match changed {
        false => above.clone(),
        true => Rc::new(LocationSettings::resolve(
            &inner.written,
            Some(above),
            main,
        )?),
    });
    Ok(())
}

/// # Safety
///
/// `cf` is the live context of a configuration inside the http block.
pub unsafe fn main_conf<'a>(cf: *mut ngx_conf_t) -> &'a mut MainConf {
    use ngx::ffi::ngx_http_conf_ctx_t;
    // SAFETY: inside the http block `ctx` holds its arrays, with this module's structure in its place.
    unsafe {
        &mut *(*(*(*cf).ctx.cast::<ngx_http_conf_ctx_t>())
            .main_conf
            .add(module().ctx_index))
        .cast::<MainConf>()
    }
}

/// Resolves the http level where no server has made that necessary, so that contradictions are found there too.
///
/// # Safety
///
/// `cf` is the live context of the http block, in postconfiguration.
pub unsafe fn resolve_http_level(cf: *mut ngx_conf_t) -> Result<(), ()> {
    use ngx::ffi::ngx_http_conf_ctx_t;
    // SAFETY: by contract.
    let main = unsafe { main_conf(cf) };
    // SAFETY: by contract; `ctx` holds the http level's structures, this module's in its place.
    let level = unsafe {
        let ctx = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        &mut *(*(*ctx).loc_conf.add(module().ctx_index)).cast::<LocationConf>()
    };
    // SAFETY: by contract.
    level
        .resolve(main)
        .map_err(|error| unsafe { command::log_merge_error(cf, &error) })
}

/// A named session's variables are resolved by prefix, so nginx itself does not notice a misspelt one.
///
/// # Safety
///
/// `cf` is the live context of the http block, in postconfiguration.
pub unsafe fn refuse_unknown_variable(cf: *mut ngx_conf_t) -> Result<(), ()> {
    // SAFETY: by contract.
    let unknown = unsafe { crate::variables::find_unknown(cf, &main_conf(cf).profiles) };
    let Some(name) = unknown else {
        return Ok(());
    };
    let error = ConfError::Contradiction {
        text: format!("unknown \"{name}\" variable"),
        at: command::Position::default(),
    };
    // SAFETY: by contract.
    unsafe { command::log_merge_error(cf, &error) };
    Err(())
}

/// One warning for a configuration in which sessions hang on a key that nobody wrote down.
///
/// # Safety
///
/// `cf` is the live context of the http block.
pub unsafe fn warn_about_random_key(cf: *mut ngx_conf_t) {
    // SAFETY: by contract.
    unsafe {
        if main_conf(cf).random_key_used {
            crate::log::write(
                crate::log::WARN,
                (*cf).log,
                format_args!(
                    "no \"session_secret\" is configured: a random key is used, and a restart ends all sessions"
                ),
            );
        }
    }
}
