//! Editing the response's headers, before they go downstream.

use core::ptr;

use ngx::ffi::{ngx_list_push, ngx_str_t, ngx_table_elt_t};

use super::Request;
use super::headers_in::OutOfMemory;
use super::list::elements;

/// The headers that nginx would send now. An element with hash 0 was removed and is not shown.
fn headers(request: Request<'_>) -> impl Iterator<Item = *mut ngx_table_elt_t> {
    // SAFETY: the list and its elements are the live request's.
    unsafe { elements(&request.raw().headers_out.headers).filter(|header| (**header).hash != 0) }
}

/// Removes every header of that name for whose value `doomed` says yes.
pub fn remove<'r>(request: Request<'r>, name: &[u8], mut doomed: impl FnMut(&'r [u8]) -> bool) {
    for header in headers(request) {
        // SAFETY: the element is live; nginx does not send an element with hash 0.
        unsafe {
            if (*header).key.as_bytes().eq_ignore_ascii_case(name)
                && doomed(super::request::bytes((*header).value))
            {
                (*header).hash = 0;
            }
        }
    }
}

/// The headers that nginx would send now.
pub fn all<'r>(request: Request<'r>) -> impl Iterator<Item = &'r ngx_table_elt_t> + Clone {
    // SAFETY: as above; elements of the list stay where they are.
    unsafe { elements(&request.raw().headers_out.headers).map(|header| &*header) }
        .filter(|header| header.hash != 0)
}

/// Removes every header for whose name and value `doomed` says yes.
pub fn remove_if(request: Request<'_>, mut doomed: impl FnMut(&[u8], &[u8]) -> bool) {
    for header in headers(request) {
        // SAFETY: as in `remove`.
        unsafe {
            if doomed((*header).key.as_bytes(), (*header).value.as_bytes()) {
                (*header).hash = 0;
            }
        }
    }
}

/// Removes every trailer for whose name `doomed` says yes.
pub fn remove_trailers(request: Request<'_>, mut doomed: impl FnMut(&[u8]) -> bool) {
    // SAFETY: the list is the live response's; it is zeroed while there are no trailers.
    unsafe {
        let trailers = &raw const (*request.as_ptr()).headers_out.trailers;
        if (*trailers).part.nelts == 0 {
            return;
        }
        for trailer in elements(trailers) {
            if doomed((*trailer).key.as_bytes()) {
                (*trailer).hash = 0;
            }
        }
    }
}

/// Whether a header of that name has a value for which `wanted` says yes.
pub fn any(request: Request<'_>, name: &[u8], mut wanted: impl FnMut(&[u8]) -> bool) -> bool {
    // SAFETY: the elements are live.
    headers(request).any(|h| unsafe {
        (*h).key.as_bytes().eq_ignore_ascii_case(name) && wanted((*h).value.as_bytes())
    })
}

/// Adds a header.
pub fn push(request: Request<'_>, name: &'static [u8], value: &[u8]) -> Result<(), OutOfMemory> {
    let value = request.store(value).ok_or(OutOfMemory)?;
    // SAFETY: the list is the response's; the element is zeroed first, as newer versions need `next` to be null.
    unsafe {
        let header = ngx_list_push(&raw mut (*request.as_ptr()).headers_out.headers)
            .cast::<ngx_table_elt_t>();
        if header.is_null() {
            return Err(OutOfMemory);
        }
        ptr::write_bytes(header, 0, 1);
        (*header).key = ngx_str_t {
            len: name.len(),
            data: name.as_ptr().cast_mut(),
        };
        (*header).value = value;
        (*header).hash = 1;
    }
    Ok(())
}
