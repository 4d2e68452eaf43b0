//! Holding a response back while the session behind its cookies is being made.
//!
//! The response's header has come to the first filter, and a save must finish before it may go on. The request is
//! parked in nginx's writer (`r->buffered`), body buffers are linked but not read, so that their producer sees
//! back-pressure; on release everything goes on as if the header had come just then.

use core::ptr;

use ngx::ffi::{
    NGX_AGAIN, NGX_ERROR, NGX_HTTP_SERVICE_UNAVAILABLE, NGX_OK, ngx_chain_add_copy, ngx_chain_t,
    ngx_connection_t, ngx_del_timer, ngx_http_clean_header, ngx_http_finalize_request,
    ngx_http_request_empty_handler, ngx_http_request_t, ngx_int_t, ngx_pool_t, ngx_send_pt,
};

use super::content::outage_ends;
use super::context::Context;
use super::filter::{next_body, next_header, send};
use super::settings;
use crate::http::Request;

/// A bit of `r->buffered` that no filter of nginx uses.
const BUFFERED: u32 = 0x08;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Holding,
    /// The response has no body; what comes is dropped.
    Discarding,
    Released,
}

/// A response that is or was held back.
pub struct Held {
    request: *mut ngx_http_request_t,
    state: State,
    /// Links of our own to buffers of the producer.
    chain: *mut ngx_chain_t,
    /// The last buffer has come.
    complete: bool,
    /// We set `c->write->delayed`, which keeps the send timeout away.
    delayed: bool,
    /// The connection's send function, while an upgraded connection must not send.
    send: ngx_send_pt,
    /// Release is waking the producer.
    poking: bool,
}

impl Drop for Held {
    /// The request ends while held: give the connection back as it was.
    fn drop(&mut self) {
        // SAFETY: the cleanup of a live request drops this, before its connection is gone.
        unsafe { self.give_back(Request::new(self.request)) };
    }
}

impl Held {
    fn delay(&mut self, connection: *mut ngx_connection_t) {
        // SAFETY: the connection of a live request.
        unsafe {
            let write = (*connection).write;
            if (*write).delayed() == 0 {
                (*write).set_delayed(1);
                self.delayed = true;
            }
        }
    }

    fn give_back(&mut self, request: Request<'_>) {
        let connection = request.raw().connection;
        // SAFETY: the connection of a live request; only what `begin` and `body` changed is changed back.
        unsafe {
            if core::mem::take(&mut self.delayed) {
                (*(*connection).write).set_delayed(0);
            }
            if let Some(send) = self.send.take() {
                (*connection).send = Some(send);
            }
        }
    }

    /// Marks the held buffers as consumed and frees the links.
    fn drop_chain(&mut self, pool: *mut ngx_pool_t) {
        let mut link = core::mem::replace(&mut self.chain, ptr::null_mut());
        while !link.is_null() {
            // SAFETY: our own links, made by `ngx_chain_add_copy`; their buffers live until they are consumed.
            unsafe {
                consume(link);
                let next = (*link).next;
                free_link(pool, link);
                link = next;
            }
        }
    }
}

/// # Safety
///
/// `link` is a live chain link with a buffer.
unsafe fn consume(link: *mut ngx_chain_t) {
    // SAFETY: by contract.
    unsafe {
        let buffer = (*link).buf;
        (*buffer).pos = (*buffer).last;
        (*buffer).file_pos = (*buffer).file_last;
    }
}

/// # Safety
///
/// `link` came from this pool's chain cache and is not used again. nginx's `ngx_free_chain` is a macro.
unsafe fn free_link(pool: *mut ngx_pool_t, link: *mut ngx_chain_t) {
    // SAFETY: by contract.
    unsafe {
        (*link).next = (*pool).chain;
        (*pool).chain = link;
    }
}

unsafe extern "C" fn send_nothing(_: *mut ngx_connection_t, _: *mut u8, _: usize) -> isize {
    NGX_AGAIN as isize
}

/// Begins to hold the response whose header is passing.
pub fn begin(request: Request<'_>, context: &mut Context) {
    let r = request.as_ptr();
    let connection = request.raw().connection;
    let mut held = Held {
        request: r,
        state: State::Holding,
        chain: ptr::null_mut(),
        complete: false,
        delayed: false,
        send: None,
        poking: false,
    };
    // SAFETY: a live request and its connection.
    unsafe {
        (*r).set_buffered((*r).buffered() | BUFFERED);
        if (*r).header_only() != 0 {
            held.delay(connection);
        }
        let upstream = (*r).upstream;
        if !upstream.is_null() && (*upstream).upgrade() != 0 {
            held.send = (*connection).send;
            (*connection).send = Some(send_nothing);
        }
        // Content handlers look at this to know whether a header went out.
        (*r).set_header_sent(1);
    }
    context.held = Some(held);
}

/// Another header of the same request. `true`: still holding, the new response takes the place of the old.
pub fn again(request: Request<'_>, context: &mut Context) -> bool {
    let Some(held) = &mut context.held else {
        return false;
    };
    if held.state != State::Holding {
        held.state = State::Released;
        return false;
    }
    held.drop_chain(request.pool());
    held.complete = false;
    // SAFETY: a live request.
    unsafe { (*request.as_ptr()).set_buffered((*request.as_ptr()).buffered() | BUFFERED) };
    true
}

/// The body of a response that is or was held.
pub fn body(request: Request<'_>, context: &mut Context, chain: *mut ngx_chain_t) -> ngx_int_t {
    let Some(held) = &mut context.held else {
        return next_body(request, chain);
    };
    match held.state {
        State::Holding => hold_body(request, held, chain),
        State::Discarding => discard_body(request, chain),
        State::Released if chain.is_null() && held.poking && nothing_left(request) => {
            // Waking the producer found nothing to write; the filters behind would call an empty chain an error.
            held.poking = false;
            NGX_OK as ngx_int_t
        }
        State::Released => next_body(request, chain),
    }
}

fn hold_body(request: Request<'_>, held: &mut Held, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: the chain is the caller's and live; links are copied into the request's pool, buffers stay the caller's
    // and count as busy until they are consumed.
    unsafe {
        let mut link = chain;
        while !link.is_null() {
            held.complete |= (*(*link).buf).last_buf() != 0;
            link = (*link).next;
        }
        if !chain.is_null()
            && ngx_chain_add_copy(request.pool(), &mut held.chain, chain) != NGX_OK as ngx_int_t
        {
            return NGX_ERROR as ngx_int_t;
        }
        let upstream = request.raw().upstream;
        let upstream_done = !upstream.is_null() && (*upstream).cleanup.is_null();
        if held.complete || upstream_done {
            // Not earlier: a delayed connection makes the event pipe spool to disk.
            held.delay(request.raw().connection);
        }
        if !upstream.is_null() && !(*upstream).peer.connection.is_null() {
            // It is we who keep the upstream waiting, so its read timeout must not fire.
            let read = (*(*upstream).peer.connection).read;
            if (*read).timer_set() != 0 && (*read).delayed() == 0 {
                ngx_del_timer(read);
            }
        }
    }
    NGX_AGAIN as ngx_int_t
}

fn discard_body(request: Request<'_>, chain: *mut ngx_chain_t) -> ngx_int_t {
    let mut link = chain;
    // SAFETY: the chain is the caller's and live.
    unsafe {
        while !link.is_null() {
            consume(link);
            link = (*link).next;
        }
        if (*request.raw().connection).buffered() != 0 {
            next_body(request, ptr::null_mut())
        } else {
            NGX_OK as ngx_int_t
        }
    }
}

fn nothing_left(request: Request<'_>) -> bool {
    let r = request.raw();
    // SAFETY: the connection of a live request.
    r.buffered() == 0 && r.postponed.is_null() && unsafe { (*r.connection).buffered() } == 0
}

/// The save is done: lets the response go. Afterwards the request may be gone.
pub fn release(request: Request<'_>, context: &mut Context) {
    let Some(held) = context
        .held
        .as_mut()
        .filter(|held| held.state == State::Holding)
    else {
        return;
    };
    let r = request.as_ptr();
    held.state = State::Released;
    held.give_back(request);
    // SAFETY: a live request.
    unsafe {
        (*r).set_buffered((*r).buffered() & !BUFFERED);
        (*r).set_header_sent(0);
    }
    if outage_ends(request, context, settings(request)) {
        context.outage_answered = true;
        // SAFETY: a live request; nothing of its response was sent. A status such as 303 that no error_page matched has
        // set `error_page` all the same.
        unsafe {
            ngx_http_clean_header(r);
            (*r).set_error_page(0);
        }
        return replace(request, context, NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t);
    }
    if send(request, context).is_err() {
        return fail(request, context);
    }
    match next_header(request) {
        rc if rc == NGX_ERROR as ngx_int_t => fail(request, context),
        rc if rc > NGX_OK as ngx_int_t => replace(request, context, rc),
        _ => release_body(request, context),
    }
}

fn release_body(request: Request<'_>, context: &mut Context) {
    let Some(held) = &mut context.held else {
        return;
    };
    let r = request.as_ptr();
    // SAFETY: a live request; the links are ours and are freed after the filters have taken the buffers.
    unsafe {
        if (*r).header_only() != 0 {
            held.state = State::Discarding;
            held.drop_chain(request.pool());
        } else if !held.chain.is_null() {
            let chain = core::mem::replace(&mut held.chain, ptr::null_mut());
            let rc = next_body(request, chain);
            let mut link = chain;
            while !link.is_null() {
                let next = (*link).next;
                free_link(request.pool(), link);
                link = next;
            }
            if rc == NGX_ERROR as ngx_int_t {
                return fail(request, context);
            }
        }
        wake_producer(request, context);
    }
}

/// The content handler, the upstream or the writer goes on. Afterwards the request may be gone.
fn wake_producer(request: Request<'_>, context: &mut Context) {
    let r = request.as_ptr();
    // SAFETY: a live request; its connection's data is the request that may write now.
    unsafe {
        if (*(*r).connection).data.cast::<ngx_http_request_t>() != r {
            return;
        }
        if let Some(held) = &mut context.held {
            held.poking = true;
        }
        if let Some(write) = (*r).write_event_handler {
            write(r);
        }
    }
}

/// The filters behind failed; most likely the client is gone.
fn fail(request: Request<'_>, context: &mut Context) {
    let r = request.as_ptr();
    // SAFETY: a live request, its connection and upstream.
    unsafe {
        (*(*r).connection).set_error(1);
        let upstream = (*r).upstream;
        let caching = !upstream.is_null()
            && !(*upstream).cleanup.is_null()
            && (*upstream).buffering() != 0
            && !(*upstream).pipe.is_null()
            && ((*upstream).cacheable() != 0 || (*upstream).store() != 0);
        if caching {
            // As for a client that is lost after the header: the cache gets its file.
            if let Some(held) = &mut context.held {
                held.drop_chain(request.pool());
                held.state = State::Discarding;
            }
            (*(*upstream).pipe).set_downstream_error(1);
            if let Some(write) = (*r).write_event_handler {
                write(r);
            }
            return;
        }
        stop_upstream(request);
        ngx_http_finalize_request(r, NGX_ERROR as ngx_int_t);
    }
}

/// Another status takes the place of the held response, 416 for instance.
fn replace(request: Request<'_>, context: &mut Context, status: ngx_int_t) {
    let r = request.as_ptr();
    if let Some(held) = &mut context.held {
        held.drop_chain(request.pool());
    }
    // SAFETY: a live request; nothing of its response was sent.
    unsafe {
        (*r).set_header_only(0);
        stop_upstream(request);
        ngx_http_finalize_request(r, status);
    }
}

/// Stops an upstream that still runs. Its cleanup gives a reference to the request back, so one is taken first.
///
/// # Safety
///
/// The request is live.
unsafe fn stop_upstream(request: Request<'_>) {
    let r = request.as_ptr();
    // SAFETY: by contract; `cleanup` points to the handler while the upstream runs, and is null otherwise.
    unsafe {
        let upstream = (*r).upstream;
        if upstream.is_null() || (*upstream).cleanup.is_null() {
            return;
        }
        if let Some(cleanup) = *(*upstream).cleanup {
            let main = (*r).main;
            (*main).set_count((*main).count() + 1);
            cleanup(r.cast());
            (*r).write_event_handler = Some(ngx_http_request_empty_handler);
        }
    }
}
