//! Walking nginx's lists of headers.

use ngx::ffi::{ngx_list_t, ngx_table_elt_t};

/// The elements of a list of headers, those with hash 0 too.
///
/// # Safety
///
/// `list` is a live list of headers, and stays so while the elements are used.
pub unsafe fn elements(
    list: *const ngx_list_t,
) -> impl Iterator<Item = *mut ngx_table_elt_t> + Clone {
    // SAFETY: by contract.
    let first = unsafe { &raw const (*list).part };
    core::iter::successors(Some(first), |part| {
        // SAFETY: the parts of a list are linked and end with null.
        let next = unsafe { (**part).next };
        (!next.is_null()).then_some(next.cast_const())
    })
    .flat_map(|part| {
        // SAFETY: each part holds `nelts` initialised elements.
        let (elts, n) = unsafe { ((*part).elts.cast::<ngx_table_elt_t>(), (*part).nelts) };
        // SAFETY: `add` stays inside the part.
        (0..n).map(move |i| unsafe { elts.add(i) })
    })
}
