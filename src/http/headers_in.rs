//! Editing the request's headers, before they go upstream.
//!
//! `proxy_pass` and its relatives walk `headers_in.headers` and do not look at `hash`, so a header that shall not go
//! upstream has to leave the list: an edit builds a new list. Subrequests begin with a copy of their parent's list
//! head that shares the elements; building a new list also keeps an edit from reaching the parent.

use core::fmt;
use core::ptr;

use ngx::ffi::{
    ngx_hash_key, ngx_http_header_t, ngx_http_headers_in, ngx_list_create, ngx_list_push,
    ngx_list_t, ngx_str_t, ngx_table_elt_t,
};
use session::{Hidden, cookie_pairs, hide_cookies};
use thiserror::Error;

use super::Request;
use super::list::elements;

/// Why a header name in the configuration is refused.
#[derive(Debug, Error)]
pub enum NameError {
    #[error("a header name is one or more letters, digits or any of !#$%&'*+-.^_`|~")]
    NotAToken,
    #[error("this header carries the request itself and cannot be replaced")]
    Reserved,
}

/// A request header that this module owns: it sets it, and a client never does.
#[derive(Debug, Clone)]
pub struct HeaderName {
    text: Box<[u8]>,
    lowcase: Box<[u8]>,
    hash: usize,
    /// Where nginx keeps a pointer to the header, as an offset in `headers_in`.
    pointer: Option<usize>,
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &HeaderName) -> bool {
        self.matches(&other.text)
    }
}

impl Eq for HeaderName {}

/// Headers that frame or route the request: to replace them would be a way to smuggle one.
const RESERVED: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "cookie",
    "range",
];

impl HeaderName {
    /// Checks a name of the configuration.
    pub fn parse(text: &[u8]) -> Result<HeaderName, NameError> {
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        if text.is_empty() || !text.iter().all(token) {
            return Err(NameError::NotAToken);
        }
        let lowcase: Box<[u8]> = text.to_ascii_lowercase().into();
        if RESERVED
            .iter()
            .any(|name| folded_eq(name.as_bytes(), &lowcase))
        {
            return Err(NameError::Reserved);
        }
        Ok(HeaderName {
            text: text.into(),
            hash: hash(&lowcase),
            pointer: known_pointer(&lowcase),
            lowcase,
        })
    }

    /// The name as it was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Whether `name`, as a client may spell it, means this header once nginx or a CGI-style upstream has folded it.
    pub fn matches(&self, name: &[u8]) -> bool {
        folded_eq(&self.lowcase, name)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

/// As nginx hashes names.
fn hash(lowcase: &[u8]) -> usize {
    // SAFETY: only reads the bytes.
    unsafe { ngx_hash_key(lowcase.as_ptr().cast_mut(), lowcase.len()) }
}

/// Where nginx keeps a pointer to the header of that name, if it knows the header.
fn known_pointer(lowcase: &[u8]) -> Option<usize> {
    // SAFETY: the table is never written, and ends with an entry without a name.
    let known = unsafe {
        let first = ptr::addr_of!(ngx_http_headers_in).cast::<ngx_http_header_t>();
        let entries = (0..).map(|index| &*first.add(index));
        let mut entries = entries.take_while(|entry| entry.name.len > 0);
        entries.find(|entry| entry.name.as_bytes().eq_ignore_ascii_case(lowcase))?
    };
    Some(known.offset).filter(|offset| *offset > 0)
}

/// Case and `-`/`_` do not distinguish headers: CGI makes both the same variable.
fn folded_eq(a: &[u8], b: &[u8]) -> bool {
    let fold = |c: &u8| {
        if *c == b'_' {
            b'-'
        } else {
            c.to_ascii_lowercase()
        }
    };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

/// The headers of a request as they are now, for later: an edit leaves the list as it is and builds another.
pub struct Snapshot(ngx_list_t);

impl Snapshot {
    /// The headers of this moment.
    pub fn of(request: Request<'_>) -> Snapshot {
        Snapshot(request.raw().headers_in.headers)
    }

    /// The values of the headers of that name.
    ///
    /// # Safety
    ///
    /// The request whose headers they are is live for `'r`.
    pub unsafe fn values<'r>(&'r self, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
        // SAFETY: by contract; the elements are in the request's pool.
        unsafe { elements(&self.0).map(|header| &*header) }
            .filter(|header| header.key.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
            .map(|header| header.value.as_bytes())
    }
}

/// Says of a cookie's name whether the upstream may not see it.
pub type Hide<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// What an edit does to the header list. All headers that none of the fields names stay as they are, in order.
pub struct Edit<'a> {
    /// Headers to take out, whoever sent them.
    pub remove: &'a [HeaderName],
    /// Headers to take out as well: the client may send these.
    pub hide: &'a [&'a HeaderName],
    /// Headers to add after that.
    pub set: &'a [(&'a HeaderName, ngx_str_t)],
    /// Which cookies to take out of the Cookie headers.
    pub hide_cookie: Option<&'a Hide<'a>>,
    /// Cookies to add after all others.
    pub add_cookie: Option<&'a str>,
}

/// Out of memory; the request cannot go on, since a header that must not go upstream might.
#[derive(Debug, Error)]
#[error("out of memory")]
pub struct OutOfMemory;

impl Edit<'_> {
    /// Applies the edit. Nothing is allocated when nothing changes.
    pub fn apply(&self, request: Request<'_>) -> Result<(), OutOfMemory> {
        if !self.changes_any(request) {
            return Ok(());
        }
        // The cookies to add may need a header of their own.
        let most = headers(request).count() + self.set.len() + 1;
        let list = NewList::create(request, most)?;
        let mut last_cookie = ptr::null_mut();
        for header in headers(request) {
            let copy = self.copy(request, &list, header)?;
            if is_cookie(header) && !copy.is_null() {
                last_cookie = copy;
            }
        }
        if let Some(cookies) = self.add_cookie {
            add_cookies(request, &list, last_cookie, cookies)?;
        }
        for &(name, value) in self.set {
            list.push(new_header(&name.text, &name.lowcase, name.hash, value))?;
        }
        list.install(request);
        self.fix_known_headers(request)?;
        if self.hide_cookie.is_some() || self.add_cookie.is_some() {
            link_cookies(request)?;
        }
        Ok(())
    }

    fn changes_any(&self, request: Request<'_>) -> bool {
        if !self.set.is_empty() || self.add_cookie.is_some() {
            return true;
        }
        let may_change = self.hide_cookie.is_some() || self.removed().next().is_some();
        may_change && headers(request).any(|header| self.removes(header) || self.hides(header))
    }

    fn removes(&self, header: &ngx_table_elt_t) -> bool {
        self.removed()
            .any(|name| name.matches(header.key.as_bytes()))
    }

    /// The names of the headers to take out.
    fn removed(&self) -> impl Iterator<Item = &HeaderName> {
        self.remove.iter().chain(self.hide.iter().copied())
    }

    fn hides(&self, header: &ngx_table_elt_t) -> bool {
        self.hide_cookie.is_some_and(|hide| {
            let mut cookies = cookie_pairs(header.value.as_bytes());
            is_cookie(header) && cookies.any(|(name, _)| hide(name))
        })
    }

    fn copy(
        &self,
        request: Request<'_>,
        list: &NewList,
        header: &ngx_table_elt_t,
    ) -> Result<*mut ngx_table_elt_t, OutOfMemory> {
        if self.removes(header) {
            return Ok(ptr::null_mut());
        }
        let mut copy = *header;
        if let Some(hide) = self.hide_cookie.filter(|_| is_cookie(header)) {
            match hide_cookies(header.value.as_bytes(), hide) {
                Hidden::Unchanged => {}
                Hidden::Empty => return Ok(ptr::null_mut()),
                Hidden::Line(line) => copy.value = request.store(&line).ok_or(OutOfMemory)?,
            }
        }
        list.push(copy)
    }

    /// nginx keeps pointers to the headers it knows (`$http_user_agent`, `$remote_user` are read through them).
    fn fix_known_headers(&self, request: Request<'_>) -> Result<(), OutOfMemory> {
        for name in self.removed() {
            let Some(pointer) = name.pointer else {
                continue;
            };
            let now = headers(request)
                .find(|h| name.matches(h.key.as_bytes()))
                .map_or(ptr::null(), ptr::from_ref);
            point_known_header(request, name, pointer, now.cast_mut())?;
        }
        Ok(())
    }
}

fn is_cookie(header: &ngx_table_elt_t) -> bool {
    header.key.as_bytes().eq_ignore_ascii_case(b"cookie")
}

/// The elements of the request's header list.
fn headers(request: Request<'_>) -> impl Iterator<Item = &ngx_table_elt_t> {
    // SAFETY: the list and its elements are the live request's.
    unsafe { elements(&request.raw().headers_in.headers).map(|header| &*header) }
}

/// Puts cookies behind those of the last Cookie header, or into one of their own.
fn add_cookies(
    request: Request<'_>,
    list: &NewList,
    last: *mut ngx_table_elt_t,
    cookies: &str,
) -> Result<(), OutOfMemory> {
    // SAFETY: an element of the new list, or null.
    let Some(last) = (unsafe { last.as_mut() }) else {
        let value = request.store(cookies.as_bytes()).ok_or(OutOfMemory)?;
        let header = new_header(b"Cookie", b"cookie", hash(b"cookie"), value);
        return list.push(header).map(drop);
    };
    let line = [last.value.as_bytes(), b"; ", cookies.as_bytes()];
    last.value = request.store_all(&line).ok_or(OutOfMemory)?;
    Ok(())
}

/// A header for the list. Its name lives as long as the configuration.
fn new_header(name: &[u8], lowcase: &[u8], hash: usize, value: ngx_str_t) -> ngx_table_elt_t {
    // SAFETY: all-zero is valid for the structure, and newer versions need `next` to be null.
    let mut header: ngx_table_elt_t = unsafe { core::mem::zeroed() };
    header.key = ngx_str_t {
        len: name.len(),
        data: name.as_ptr().cast_mut(),
    };
    header.value = value;
    header.lowcase_key = lowcase.as_ptr().cast_mut();
    header.hash = hash;
    header
}

struct NewList(*mut ngx_list_t);

impl NewList {
    /// A list with room for so many at once.
    fn create(request: Request<'_>, room: usize) -> Result<NewList, OutOfMemory> {
        // SAFETY: the pool is the request's.
        let list = unsafe { ngx_list_create(request.pool(), room, size_of::<ngx_table_elt_t>()) };
        if list.is_null() {
            Err(OutOfMemory)
        } else {
            Ok(NewList(list))
        }
    }

    /// Adds a header, and says where it is.
    fn push(&self, header: ngx_table_elt_t) -> Result<*mut ngx_table_elt_t, OutOfMemory> {
        // SAFETY: the list was made for elements of this type.
        unsafe {
            let slot = ngx_list_push(self.0).cast::<ngx_table_elt_t>();
            if slot.is_null() {
                return Err(OutOfMemory);
            }
            slot.write(header);
            Ok(slot)
        }
    }

    /// Puts the list in place of the request's.
    fn install(self, request: Request<'_>) {
        // SAFETY: the list head is copied by value; `last` must then point into the copy while there is one part only.
        unsafe {
            let headers = &raw mut (*request.as_ptr()).headers_in.headers;
            *headers = *self.0;
            if (*self.0).last == &raw mut (*self.0).part {
                (*headers).last = &raw mut (*headers).part;
            }
        }
    }
}

/// Lets nginx's pointer to a known header point to `header` (null: there is none).
fn point_known_header(
    request: Request<'_>,
    name: &HeaderName,
    pointer: usize,
    header: *mut ngx_table_elt_t,
) -> Result<(), OutOfMemory> {
    if cfg!(not(ngx_linked_headers)) && &*name.lowcase == b"x-forwarded-for" {
        return point_forwarded_for(request, header);
    }
    // SAFETY: the offset is that of a pointer to a header in this structure.
    unsafe {
        let slot = (&raw mut (*request.as_ptr()).headers_in).byte_add(pointer);
        *slot.cast::<*mut ngx_table_elt_t>() = header;
    }
    Ok(())
}

/// Before nginx 1.23 this header is an array of pointers instead of a chain.
#[cfg(not(ngx_linked_headers))]
fn point_forwarded_for(
    request: Request<'_>,
    header: *mut ngx_table_elt_t,
) -> Result<(), OutOfMemory> {
    let headers = (!header.is_null()).then_some(header);
    // SAFETY: a live request.
    let slot = unsafe { &raw mut (*request.as_ptr()).headers_in.x_forwarded_for };
    point_array(request, slot, headers.into_iter())
}

#[cfg(ngx_linked_headers)]
fn point_forwarded_for(_: Request<'_>, _: *mut ngx_table_elt_t) -> Result<(), OutOfMemory> {
    Ok(())
}

/// Puts a fresh array of pointers to headers in place of one that a parent request may still use.
#[cfg(not(ngx_linked_headers))]
fn point_array(
    request: Request<'_>,
    slot: *mut ngx::ffi::ngx_array_t,
    headers: impl Iterator<Item = *mut ngx_table_elt_t>,
) -> Result<(), OutOfMemory> {
    use ngx::ffi::{ngx_array_create, ngx_array_push};
    // SAFETY: the array is made for pointers, in the request's pool; the slot is one of the request's own.
    unsafe {
        let array = ngx_array_create(request.pool(), 2, size_of::<*mut ngx_table_elt_t>());
        if array.is_null() {
            return Err(OutOfMemory);
        }
        for header in headers {
            let entry = ngx_array_push(array).cast::<*mut ngx_table_elt_t>();
            if entry.is_null() {
                return Err(OutOfMemory);
            }
            *entry = header;
        }
        *slot = *array;
    }
    Ok(())
}

/// Makes `$http_cookie` and `$cookie_*` see the Cookie headers that are in the list now.
#[cfg(ngx_linked_headers)]
fn link_cookies(request: Request<'_>) -> Result<(), OutOfMemory> {
    // SAFETY: the elements are those of the request's own new list; the chain ends with null.
    unsafe {
        let mut slot = &raw mut (*request.as_ptr()).headers_in.cookie;
        for header in headers(request).filter(|h| is_cookie(h)) {
            *slot = ptr::from_ref(header).cast_mut();
            slot = &raw mut (**slot).next;
        }
        *slot = ptr::null_mut();
    }
    Ok(())
}

#[cfg(not(ngx_linked_headers))]
fn link_cookies(request: Request<'_>) -> Result<(), OutOfMemory> {
    // SAFETY: a live request.
    let slot = unsafe { &raw mut (*request.as_ptr()).headers_in.cookies };
    let cookies = headers(request).filter(|h| is_cookie(h));
    point_array(request, slot, cookies.map(|h| ptr::from_ref(h).cast_mut()))
}
