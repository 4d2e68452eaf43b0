//! A directive's value: fixed text, or text with variables.

use ngx::ffi::{
    NGX_OK, ngx_conf_t, ngx_http_compile_complex_value, ngx_http_compile_complex_value_t,
    ngx_http_complex_value_t, ngx_int_t, ngx_palloc, ngx_str_t,
};

use super::Request;

/// A value that may contain variables, compiled once while the configuration is read.
///
/// Memory belongs to the configuration pool, which outlives every request that uses it.
#[derive(Clone, Copy)]
pub struct Value {
    text: &'static [u8],
    /// Null for fixed text.
    compiled: *mut ngx_http_complex_value_t,
}

impl Value {
    /// Fixed text.
    pub const fn fixed(text: &'static [u8]) -> Value {
        Value {
            text,
            compiled: core::ptr::null_mut(),
        }
    }

    /// Compiles `text`. `None`: nginx has already logged what is wrong, an unknown variable for instance.
    ///
    /// # Safety
    ///
    /// `cf` is the live context of the configuration that `text` belongs to.
    pub unsafe fn compile(cf: *mut ngx_conf_t, text: ngx_str_t) -> Option<Value> {
        // SAFETY: directive arguments live in the configuration pool, like all that uses them.
        let bytes: &'static [u8] = unsafe { core::mem::transmute(text.as_bytes()) };
        if !bytes.contains(&b'$') {
            return Some(Value::fixed(bytes));
        }
        let mut text = text;
        // SAFETY: the structure is zeroed and all fields that nginx reads are set; `cf` is live by contract.
        unsafe {
            let compiled = ngx_palloc((*cf).pool, size_of::<ngx_http_complex_value_t>()).cast();
            let mut ccv: ngx_http_compile_complex_value_t = core::mem::zeroed();
            ccv.cf = cf;
            ccv.value = &mut text;
            ccv.complex_value = compiled;
            if compiled.is_null() || ngx_http_compile_complex_value(&mut ccv) != NGX_OK as ngx_int_t
            {
                return None;
            }
            Some(Value {
                text: bytes,
                compiled,
            })
        }
    }

    /// The text as it is for every request; `None` when variables decide.
    pub fn as_fixed(&self) -> Option<&'static [u8]> {
        self.compiled.is_null().then_some(self.text)
    }

    /// The value for this request.
    ///
    /// A variable that cannot be evaluated makes the value empty, as in nginx's own `log_format`.
    pub fn eval<'r>(&self, request: Request<'r>) -> &'r [u8] {
        if self.compiled.is_null() {
            return self.text;
        }
        let mut out = ngx_str_t::empty();
        // SAFETY: the request is live, the value was compiled for this cycle, and the result lives in the request's pool.
        unsafe {
            use ngx::ffi::ngx_http_complex_value;
            if ngx_http_complex_value(request.as_ptr(), self.compiled, &mut out)
                != NGX_OK as ngx_int_t
            {
                return b"";
            }
            core::slice::from_raw_parts(
                if out.len == 0 {
                    core::ptr::dangling()
                } else {
                    out.data
                },
                out.len,
            )
        }
    }

    /// nginx's idea of truth, as in `proxy_no_cache`: neither empty nor `0`.
    pub fn is_true(&self, request: Request<'_>) -> bool {
        let value = self.eval(request);
        !value.is_empty() && value != b"0"
    }
}
