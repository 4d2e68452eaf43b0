//! Walking nginx's lists of headers.

use ngx::ffi::{ngx_list_part_t, ngx_list_t, ngx_table_elt_t};

/// The elements of a list of headers, those with hash 0 too.
///
/// # Safety
///
/// `list` is a live list of headers, and stays so while the elements are used.
pub unsafe fn elements(list: *const ngx_list_t) -> Elements {
    Elements {
        // SAFETY: by contract.
        part: unsafe { &raw const (*list).part },
        next: 0,
    }
}

/// See [`elements`].
#[derive(Clone)]
pub struct Elements {
    /// Null when there are no more.
    part: *const ngx_list_part_t,
    next: usize,
}

impl Iterator for Elements {
    type Item = *mut ngx_table_elt_t;

    fn next(&mut self) -> Option<*mut ngx_table_elt_t> {
        // SAFETY: the parts of a list are linked and end with null; each holds `nelts` initialised elements.
        unsafe {
            while let Some(part) = self.part.as_ref() {
                if self.next < part.nelts {
                    let element = part.elts.cast::<ngx_table_elt_t>().add(self.next);
                    self.next += 1;
                    return Some(element);
                }
                self.part = part.next;
                self.next = 0;
            }
        }
        None
    }
}
