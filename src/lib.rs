//! `ngx_http_session_module`: user sessions for nginx.
//!
//! This floor alone sees nginx. What a session *is* (formats, keys, limits) lives in the `session` crate below; this
//! crate decides *when* in the life of a request a session is looked up, checked, changed and sent. The order of work
//! is that of the module table here: [`conf`] turns directives into settings, [`request`] follows one request through
//! the phases, [`variables`] lets the rest of the configuration read the session.

use core::ffi::{c_char, c_void};
use core::ptr;

use ngx::ffi::{
    NGX_HTTP_MODULE, ngx_conf_t, ngx_cycle_t, ngx_http_module_t, ngx_int_t, ngx_module_t,
    ngx_uint_t,
};

#[macro_use]
mod log;
mod conf;
mod event;
mod guard;
mod http;
mod random;
mod request;
mod shm;
mod variables;
mod worker;

use guard::{guard_conf, guard_rc};
use ngx::core::Status;

static NGX_HTTP_SESSION_MODULE_CTX: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(preconfiguration),
    postconfiguration: Some(postconfiguration),
    create_main_conf: Some(conf::create_main_conf),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(conf::create_loc_conf),
    merge_loc_conf: Some(merge_loc_conf),
};

// nginx finds the module through this table. The module order it exports is empty, which makes nginx register the
// module last: its phase handlers and its header filter then run first, before nginx's own.
#[allow(missing_docs)]
mod table {
    use super::ngx_http_session_module;
    ngx::ngx_modules!(ngx_http_session_module);
}

/// The module as nginx sees it.
#[allow(non_upper_case_globals)]
#[used]
pub static mut ngx_http_session_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(NGX_HTTP_SESSION_MODULE_CTX).cast_mut().cast(),
    commands: ptr::addr_of_mut!(conf::COMMANDS).cast(),
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    exit_master: Some(exit_master),
    ..ngx_module_t::default()
};

/// The module's own descriptor, for looking up configurations and contexts.
pub(crate) fn module() -> &'static ngx_module_t {
    // SAFETY: nginx writes the descriptor (its indexes) once, while it loads the configuration and before any
    // callback that reads it; afterwards it is only read.
    unsafe { &*ptr::addr_of!(ngx_http_session_module) }
}

unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    // SAFETY: nginx hands a live configuration context to the callbacks of a module.
    guard_rc(|| unsafe { variables::register(cf) })
}

unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard_rc(|| {
        // SAFETY: as above; the http block has been parsed and merged when nginx calls this.
        unsafe {
            if conf::resolve_http_level(cf).is_err() {
                return Status::NGX_ERROR;
            }
            if conf::refuse_unknown_variable(cf).is_err() {
                return Status::NGX_ERROR;
            }
            conf::warn_about_random_key(cf);
            request::register(cf)
        }
    })
}

unsafe extern "C" fn merge_loc_conf(
    cf: *mut ngx_conf_t,
    prev: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    // SAFETY: nginx calls this with the structures that `create_loc_conf` made for two adjacent levels.
    guard_conf(|| unsafe { conf::merge_loc_conf(cf, prev, conf) })
}

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx hands over the cycle that the process begins to serve.
    guard::guard_unit(|| unsafe { worker::start(cycle) });
    guard::guard_unit(shm::start_sweeper);
    Status::NGX_OK.0
}

unsafe extern "C" fn exit_process(_cycle: *mut ngx_cycle_t) {
    guard::guard_unit(shm::stop_sweeper);
    guard::guard_unit(event::shutdown);
}

unsafe extern "C" fn exit_master(_cycle: *mut ngx_cycle_t) {
    guard::guard_unit(shm::save_at_exit);
}
