//! Panics end here: as an error with the panic's message, or quietly where nobody waits for an answer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task::JoinError;

use crate::error::{Error, ErrorCode, Result};

/// Runs `body`; a panic becomes an error.
pub(crate) fn catch<T>(call: &'static str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(call, payload)))
}

/// Drops `value`; a panic of its drop goes no further. The panic hook has reported it.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        discard(payload);
    }
}

/// The error for a task that ended without an answer.
pub(crate) fn lost_task(call: &'static str, lost: JoinError) -> Error {
    match lost.try_into_panic() {
        Ok(payload) => panicked(call, payload),
        Err(_) => Error::new(ErrorCode::Cancelled, format!("{call} was cancelled")),
    }
}

fn panicked(call: &'static str, payload: Box<dyn Any + Send>) -> Error {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    };
    discard(payload);
    Error::new(ErrorCode::Panicked, format!("{call} panicked: {message}"))
}

/// Drops a panic's payload, whose own drop may panic in turn; that second payload is leaked rather than given a third try.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _leaked = std::mem::ManuallyDrop::new(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let number = 7;
        let error = catch::<()>("health", || panic!("disk {number} is on fire")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Panicked);
        assert_eq!(error.to_string(), "health panicked: disk 7 is on fire");
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_contained() {
        let error = catch::<()>("health", || std::panic::panic_any(PanicsOnDrop)).unwrap_err();
        assert_eq!(error.to_string(), "health panicked: a panic without a message");
        drop_quietly(PanicsOnDrop);
    }
}
