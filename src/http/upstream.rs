//! The answer of an upstream, as it came.

use ngx::ffi::{ngx_http_upstream_t, ngx_table_elt_t};

use super::Request;
use super::list::elements;

/// The upstream of a request, whatever its protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Upstream(*mut ngx_http_upstream_t);

impl Upstream {
    /// The upstream the request was last passed to. It may be done long ago.
    pub fn of(request: Request<'_>) -> Option<Upstream> {
        let upstream = request.raw().upstream;
        (!upstream.is_null()).then_some(Upstream(upstream))
    }

    /// Whether the response that passes now is this upstream's, and is no stored one.
    pub fn answers(self, request: Request<'_>) -> bool {
        // SAFETY: the upstream of a live request; its cleanup is taken away when it is done.
        request.raw().cached() == 0 && unsafe { !(*self.0).cleanup.is_null() }
    }

    /// Whether its answer led to another location: by X-Accel-Redirect, or since nginx has a page for its status.
    pub fn led_elsewhere(self, request: Request<'_>) -> bool {
        const FIRST_INTERCEPTED: usize = 300;
        // SAFETY: the upstream of a live request, which keeps its configuration.
        unsafe {
            let headers = &(*self.0).headers_in;
            let intercepts = !(*self.0).conf.is_null() && (*(*self.0).conf).intercept_errors != 0;
            request.raw().cached() == 0
                && (*self.0).cleanup.is_null()
                && (!headers.x_accel_redirect.is_null()
                    || (intercepts && headers.status_n >= FIRST_INTERCEPTED))
        }
    }

    /// The headers as they came, those that nginx hides or rewrites too.
    pub fn headers<'r>(
        self,
        _request: Request<'r>,
    ) -> impl Iterator<Item = &'r ngx_table_elt_t> + Clone {
        // SAFETY: the list lives in the request's pool.
        unsafe { elements(&raw const (*self.0).headers_in.headers).map(|header| &*header) }
    }

    /// Keeps the answer out of nginx's caches. This works as long as the header has not gone to the client.
    pub fn keep_out_of_cache(self) {
        // SAFETY: the upstream of a live request; nginx reads this when it has sent the header.
        unsafe { (*self.0).set_cacheable(0) };
    }
}
