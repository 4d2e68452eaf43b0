//! One request, as the rest of the module wants to see it.

use core::marker::PhantomData;
use core::ptr::NonNull;

use ngx::ffi::{
    ngx_http_core_loc_conf_t, ngx_http_core_module, ngx_http_request_t, ngx_log_t, ngx_pnalloc,
    ngx_pool_t, ngx_str_t, ngx_table_elt_t, ngx_time,
};

use crate::module;

/// A live request. The lifetime is that of the callback that was handed it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request<'r>(
    NonNull<ngx_http_request_t>,
    PhantomData<&'r ngx_http_request_t>,
);

/// A location of the configuration, to be compared only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location(usize);

impl<'r> Request<'r> {
    /// # Safety
    ///
    /// `r` is a live request and stays so for `'r`.
    pub unsafe fn new(r: *mut ngx_http_request_t) -> Request<'r> {
        debug_assert!(!r.is_null());
        // SAFETY: live requests are not null.
        Request(unsafe { NonNull::new_unchecked(r) }, PhantomData)
    }

    /// For calls into nginx.
    pub fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// The request's structure, for reading.
    pub fn raw(self) -> &'r ngx_http_request_t {
        // SAFETY: live for 'r by the contract of `new`; nginx is single-threaded and this module keeps no reference
        // across a call into nginx that could change the field it reads.
        unsafe { self.0.as_ref() }
    }

    /// The request of the client, of which this one may be a subrequest.
    pub fn main(self) -> Request<'r> {
        // SAFETY: `main` of a live request is live.
        unsafe { Request::new(self.raw().main) }
    }

    /// Whether this is the request of the client.
    pub fn is_main(self) -> bool {
        self.main() == self
    }

    /// The log of the client's connection.
    pub fn log(self) -> *mut ngx_log_t {
        // SAFETY: a live request has a connection.
        unsafe { (*self.raw().connection).log }
    }

    /// The pool all memory of the request comes from.
    pub fn pool(self) -> *mut ngx_pool_t {
        self.raw().pool
    }

    /// Seconds since the epoch, as of this turn of the event loop.
    pub fn now(self) -> u64 {
        now()
    }

    /// Whether the client speaks TLS to us.
    pub fn is_tls(self) -> bool {
        // SAFETY: a live request has a connection; `ssl` is only compared.
        unsafe { !(*self.raw().connection).ssl.is_null() }
    }

    /// `$scheme`.
    pub fn scheme(self) -> &'static [u8] {
        if self.is_tls() { b"https" } else { b"http" }
    }

    /// `$remote_addr`.
    pub fn remote_addr(self) -> &'r [u8] {
        // SAFETY: a live request has a connection whose address text lives as long.
        unsafe { bytes((*self.raw().connection).addr_text) }
    }

    /// The path and query that the client asked for, as it wrote them.
    pub fn unparsed_uri(self) -> &'r [u8] {
        // SAFETY: the text lives in the request's pool.
        unsafe { bytes(self.raw().unparsed_uri) }
    }

    /// The User-Agent header, empty when there is none.
    pub fn user_agent(self) -> &'r [u8] {
        let header = self.raw().headers_in.user_agent;
        if header.is_null() {
            return b"";
        }
        // SAFETY: parsed headers live in the request's pool.
        unsafe { bytes((*header).value) }
    }

    /// This module's context slot of this request.
    pub fn context(self) -> *mut core::ffi::c_void {
        // SAFETY: the array has an entry for every http module.
        unsafe { *self.raw().ctx.add(module().ctx_index) }
    }

    /// Fills this module's context slot.
    pub fn set_context(self, context: *mut core::ffi::c_void) {
        // SAFETY: as above.
        unsafe { *self.raw().ctx.add(module().ctx_index) = context };
    }

    /// This module's settings for the location the request is in now.
    pub fn location_conf<T>(self) -> &'static T {
        // SAFETY: nginx keeps a structure made by this module for every location; it lives as long as the cycle,
        // which outlives its requests.
        unsafe { &*(*self.raw().loc_conf.add(module().ctx_index)).cast::<T>() }
    }

    /// Tells the location the request is in from others, whatever their settings share. An `if` block is not told from
    /// its location.
    pub fn location(self) -> Location {
        // SAFETY: the core module has a structure for every location; its name lives as long as the cycle.
        unsafe {
            let index = (*core::ptr::addr_of!(ngx_http_core_module)).ctx_index;
            let core = (*self.raw().loc_conf.add(index)).cast::<ngx_http_core_loc_conf_t>();
            Location((*core).name.data as usize)
        }
    }

    /// This module's settings for the whole http block.
    pub fn main_conf<T>(self) -> &'static T {
        // SAFETY: as above.
        unsafe { &*(*self.raw().main_conf.add(module().ctx_index)).cast::<T>() }
    }

    /// Copies bytes into the request's pool. `None`: out of memory.
    pub fn store(self, text: &[u8]) -> Option<ngx_str_t> {
        self.store_all(&[text])
    }

    /// Copies bytes into the request's pool, one after another. `None`: out of memory.
    pub fn store_all(self, parts: &[&[u8]]) -> Option<ngx_str_t> {
        let len = parts.iter().map(|part| part.len()).sum();
        if len == 0 {
            return Some(ngx_str_t::empty());
        }
        // SAFETY: the pool is live; the copies fill the new block.
        unsafe {
            let data = ngx_pnalloc(self.pool(), len).cast::<u8>();
            if data.is_null() {
                return None;
            }
            let mut end = data;
            for part in parts {
                core::ptr::copy_nonoverlapping(part.as_ptr(), end, part.len());
                end = end.add(part.len());
            }
            Some(ngx_str_t { len, data })
        }
    }

    /// `$args`.
    pub fn args(self) -> &'r [u8] {
        // SAFETY: a part of the live request.
        unsafe { bytes(self.raw().args) }
    }

    /// The values of the Cookie header lines, in the order of the request.
    pub fn cookie_lines(self) -> smallvec::SmallVec<[&'r [u8]; 4]> {
        let mut lines = smallvec::SmallVec::new();
        for header in self.cookie_headers() {
            // SAFETY: parsed headers live in the request's pool.
            lines.push(unsafe { bytes((*header).value) });
        }
        lines
    }

    #[cfg(ngx_linked_headers)]
    fn cookie_headers(self) -> impl Iterator<Item = *mut ngx_table_elt_t> {
        let first = self.raw().headers_in.cookie;
        // SAFETY: the chain links parsed headers and ends with null.
        core::iter::successors((!first.is_null()).then_some(first), |h| unsafe {
            let next = (**h).next;
            (!next.is_null()).then_some(next)
        })
    }

    #[cfg(not(ngx_linked_headers))]
    fn cookie_headers(self) -> impl Iterator<Item = *mut ngx_table_elt_t> {
        let cookies = &self.raw().headers_in.cookies;
        let headers: &'r [*mut ngx_table_elt_t] = match cookies.nelts {
            0 => &[],
            // SAFETY: the array holds pointers to parsed headers; it is zeroed while no Cookie came.
            n => unsafe { core::slice::from_raw_parts(cookies.elts.cast(), n) },
        };
        headers.iter().copied()
    }
}

/// The bytes of a string of nginx.
///
/// # Safety
///
/// The string's memory is live for `'a`.
pub unsafe fn bytes<'a>(text: ngx_str_t) -> &'a [u8] {
    if text.len == 0 {
        return b"";
    }
    // SAFETY: by contract.
    unsafe { core::slice::from_raw_parts(text.data, text.len) }
}

/// Seconds since the epoch, as of this turn of the event loop.
pub fn now() -> u64 {
    u64::try_from(ngx_time()).unwrap_or(0)
}
