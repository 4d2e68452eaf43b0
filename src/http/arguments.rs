//! Taking arguments out of a request's URI, before it goes upstream.
//!
//! nginx has them twice: `$args` goes upstream with a rewritten URI, the raw URI where `proxy_pass` has none of its own.

use core::ptr;

use ngx::ffi::{ngx_http_core_main_conf_t, ngx_http_core_module, ngx_http_variable_t};
use session::{hide_arguments, hide_arguments_in_uri};

use super::Request;
use super::headers_in::OutOfMemory;

/// Takes out every argument whose name `hide` names; all else stays byte for byte.
pub fn hide(request: Request<'_>, hide: impl Fn(&[u8]) -> bool) -> Result<(), OutOfMemory> {
    let args = hide_arguments(request.args(), &hide);
    let uri = hide_arguments_in_uri(request.unparsed_uri(), &hide);
    if let Some(args) = args {
        let args = request.store(&args).ok_or(OutOfMemory)?;
        // SAFETY: a live request, whose arguments may be replaced at any time: `set $args` does it.
        unsafe { (*request.as_ptr()).args = args };
    }
    if let Some(uri) = uri {
        let uri = request.store(&uri).ok_or(OutOfMemory)?;
        // SAFETY: as above; no handler keeps the raw URI.
        unsafe { (*request.as_ptr()).unparsed_uri = uri };
        forget_variable(request, b"request_uri");
    }
    Ok(())
}

/// nginx keeps the value of a variable that it thinks can never change.
fn forget_variable(request: Request<'_>, name: &[u8]) {
    // SAFETY: the main configuration of the core module is always there; a request has a value for each of its
    // variables.
    unsafe {
        let core = *request
            .raw()
            .main_conf
            .add((*ptr::addr_of!(ngx_http_core_module)).ctx_index);
        let variables = &(*core.cast::<ngx_http_core_main_conf_t>()).variables;
        for index in 0..variables.nelts {
            let variable = variables.elts.cast::<ngx_http_variable_t>().add(index);
            if (*variable).name.as_bytes() == name {
                let value = (*request.as_ptr()).variables.add(index);
                (*value).set_valid(0);
                (*value).set_not_found(0);
            }
        }
    }
}
