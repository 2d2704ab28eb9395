//! How errors of files and of their format become the plugin's errors.

use std::fmt;
use std::io;

use longshore_plugin_api::{Error, ErrorCode};

/// An error of the format library while doing `what` (verb, object and path).
pub(crate) fn from_map_file(what: impl fmt::Display, error: map_file::Error) -> Error {
    match error {
        map_file::Error::Io { file, source, action } => Error::io(format_args!("{what}: {action} {file}"), &source),
        map_file::Error::Corrupt { .. } => Error::new(ErrorCode::Corrupt, format!("{what}: {error}")),
        map_file::Error::Unsupported { .. } => Error::new(ErrorCode::Unsupported, format!("{what}: {error}")),
        map_file::Error::ValueTooLarge { .. } => Error::new(ErrorCode::InvalidArgument, format!("{what}: {error}")),
        other => Error::new(ErrorCode::Internal, format!("{what}: {other}")),
    }
}

/// Turns an error of the operating system into ours; `what` is verb, object and path.
pub(crate) fn io_error<D: fmt::Display>(what: D) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::io(what, &source)
}

/// A blocking task ended without an answer: it panicked, or the runtime is going down.
pub(crate) fn from_join(what: impl fmt::Display, error: tokio::task::JoinError) -> Error {
    let code = if error.is_panic() { ErrorCode::Panicked } else { ErrorCode::Cancelled };
    Error::new(code, format!("{what} did not end")).with_source(&error)
}
