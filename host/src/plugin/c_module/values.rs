//! Data across the boundary to C: read with checks, lent for one call.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::time::Duration;

use longshore_plugin_api::c_abi::{self, Code, ErrorBuffer, Pair, Str};
use longshore_plugin_api::{Error, ErrorCode, Retry};

/// Room for the message of an error, in bytes.
const MESSAGE_BYTES_MAX: usize = 2048;

/// The contract was broken.
pub(super) fn misbehaved(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Misbehaved, text)
}

/// Runs a function that C calls; a panic must not unwind into C, so it ends here and `fallback` is the answer.
pub(super) fn contained<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// Calls a function that answers a code, with room for its message.
///
/// # Errors
/// What the function answers.
pub(super) fn ask(function: impl FnOnce(*mut ErrorBuffer) -> Code) -> Result<(), Error> {
    let mut message = [0_u8; MESSAGE_BYTES_MAX];
    let mut buffer = ErrorBuffer {
        struct_size: size_of::<ErrorBuffer>(),
        retry: c_abi::RETRY_BY_CODE,
        reserved: 0,
        message: message.as_mut_ptr().cast(),
        message_capacity: MESSAGE_BYTES_MAX,
        message_len: 0,
        retry_after_ms: 0,
    };
    let code = function(&raw mut buffer);
    if code == c_abi::OK {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&message[..buffer.message_len.min(MESSAGE_BYTES_MAX)]);
    let text = if text.is_empty() { "the plugin gave no message" } else { &*text };
    let error = Error::new(ErrorCode(code), text);
    Err(match buffer.retry {
        0 => error.with_retry(Retry::Never),
        1 => error.with_retry(Retry::Now),
        2 if buffer.retry_after_ms > 0 => error.with_retry_after(Duration::from_millis(buffer.retry_after_ms)),
        2 => error.with_retry(Retry::Later),
        _ => error,
    })
}

/// Answers an error to C: its code, and its message where there is room.
///
/// # Safety
/// `buffer` is null or an error buffer as the header describes it.
pub(super) unsafe fn tell(buffer: *mut ErrorBuffer, error: &Error) -> Code {
    // SAFETY: the caller's promise; a null pointer becomes `None`.
    if let Some(buffer) = unsafe { buffer.as_mut() } {
        let text = error.message();
        let len = if buffer.message.is_null() { 0 } else { text.floor_char_boundary(buffer.message_capacity) };
        // SAFETY: the author says that `message_capacity` bytes fit, and `len` is at most that.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast::<c_char>(), buffer.message, len) };
        buffer.message_len = len;
        buffer.retry = match error.retry() {
            Retry::Never => 0,
            Retry::Now => 1,
            Retry::Later => 2,
        };
        let after_ms = error.retry_after().map_or(0, |pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        buffer.retry_after_ms = after_ms;
    }
    error.code().0
}

/// The bytes at `ptr`; `None` for null. The answer must not be kept beyond the call that lent them.
///
/// # Errors
/// `Misbehaved` for more than `max` bytes.
///
/// # Safety
/// `ptr` is null or leads to `len` readable bytes, which do not change while the answer is used.
pub(super) unsafe fn bytes<'a>(ptr: *const u8, len: usize, max: usize, what: &str) -> Result<Option<&'a [u8]>, Error> {
    if ptr.is_null() {
        return if len == 0 { Ok(None) } else { Err(misbehaved(format!("{what}: {len} bytes at a null pointer"))) };
    }
    if len > max {
        return Err(misbehaved(format!("{what}: {len} bytes, at most {max} are allowed")));
    }
    // SAFETY: not null, the caller says that `len` bytes are there, and `max` is far below `isize::MAX`.
    Ok(Some(unsafe { slice::from_raw_parts(ptr, len) }))
}

/// A text, or `None` for null.
///
/// # Errors
/// `Misbehaved` for more than `max` bytes, or bytes that are not UTF-8.
///
/// # Safety
/// As for [`bytes()`].
pub(super) unsafe fn text(text: Str, max: usize, what: &str) -> Result<Option<String>, Error> {
    // SAFETY: the caller's promise.
    let Some(bytes) = (unsafe { bytes(text.ptr.cast(), text.len, max, what)? }) else { return Ok(None) };
    match str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(misbehaved(format!("{what}: not UTF-8"))),
    }
}

/// A text for people: cut after `max` bytes, with marks where it is not UTF-8; empty for null.
///
/// # Safety
/// As for [`bytes()`].
pub(super) unsafe fn shown(text: Str, max: usize) -> String {
    // SAFETY: the caller's promise; fewer bytes than there are may be read.
    let bytes = unsafe { bytes(text.ptr.cast(), text.len.min(max), max, "") };
    String::from_utf8_lossy(bytes.ok().flatten().unwrap_or_default()).into_owned()
}

/// Names and values as C reads them, for as long as `map` lives.
pub(super) fn lend_pairs(map: &BTreeMap<String, String>) -> Vec<Pair> {
    map.iter().map(|(name, value)| Pair { name: Str::lend(name), value: Str::lend(value) }).collect()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn an_error_keeps_code_message_and_hint() {
        let told = Error::new(ErrorCode::Unavailable, "größe").with_retry(Retry::Now);
        for told in [told.clone(), told.clone().with_retry_after(Duration::from_millis(1500))] {
            // SAFETY: `ask` lends a buffer.
            let asked = ask(|buffer| unsafe { tell(buffer, &told) }).unwrap_err();
            assert_eq!(asked, told);
        }
        // SAFETY: null is allowed.
        assert_eq!(unsafe { tell(ptr::null_mut(), &told) }, 4);
        assert_eq!(ask(|_| 4711).unwrap_err().code(), ErrorCode(4711));
    }

    #[test]
    fn a_message_that_lies_about_its_length_or_is_no_text_is_shown_as_far_as_it_goes() {
        let error = ask(|buffer| {
            // SAFETY: `ask` lends a buffer.
            let buffer = unsafe { &mut *buffer };
            // SAFETY: there is room for one byte.
            unsafe { buffer.message.cast::<u8>().write(0xff) };
            (buffer.message_len, buffer.retry) = (usize::MAX, 77);
            ErrorCode::RateLimited.0
        });
        let error = error.unwrap_err();
        assert!(error.message().starts_with('\u{fffd}') && error.message().len() < MESSAGE_BYTES_MAX + 8);
        assert_eq!(error.retry(), Retry::Later);
    }

    #[test]
    fn texts_are_checked_before_a_byte_is_read() {
        let lying = Str { ptr: ptr::dangling(), len: usize::MAX };
        // SAFETY: more bytes than allowed are not read.
        let error = unsafe { text(lying, 100, "key") }.unwrap_err();
        assert_eq!(error.message(), "key: 18446744073709551615 bytes, at most 100 are allowed");
        let null = Str { ptr: ptr::null(), len: 3 };
        // SAFETY: null is not read.
        assert_eq!(unsafe { text(null, 100, "key") }.unwrap_err().message(), "key: 3 bytes at a null pointer");
        // SAFETY: null is not read.
        assert_eq!(unsafe { text(Str::NULL, 100, "key") }, Ok(None));
        let broken = Str { ptr: b"a\xff".as_ptr().cast(), len: 2 };
        // SAFETY: two bytes are there.
        assert_eq!(unsafe { text(broken, 100, "key") }.unwrap_err().message(), "key: not UTF-8");
        // SAFETY: two bytes are there.
        assert_eq!(unsafe { shown(broken, 100) }, "a\u{fffd}");
    }
}
