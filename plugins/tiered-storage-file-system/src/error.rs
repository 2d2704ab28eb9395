//! How errors of files and of their format become the plugin's errors.

use std::fmt;
use std::io;

use longshore_plugin_api::{Error, ErrorCode};
use rustix::io::Errno;

/// An error of the format library while doing `what` (verb, object and path).
pub(crate) fn from_map_file(what: impl fmt::Display, error: map_file::Error) -> Error {
    match error {
        map_file::Error::Io { file, source, action } => from_io(format_args!("{what}: {action} {file}"), &source),
        map_file::Error::Corrupt { .. } => Error::new(ErrorCode::Corrupt, format!("{what}: {error}")),
        map_file::Error::Unsupported { .. } => Error::new(ErrorCode::Unsupported, format!("{what}: {error}")),
        map_file::Error::ValueTooLarge { .. } => Error::new(ErrorCode::InvalidArgument, format!("{what}: {error}")),
        other => Error::new(ErrorCode::Internal, format!("{what}: {other}")),
    }
}

/// Turns an error of a file system into ours; `what` is verb, object and path.
pub(crate) fn io_error<D: fmt::Display>(what: D) -> impl FnOnce(io::Error) -> Error {
    move |source| from_io(what, &source)
}

fn from_io(what: impl fmt::Display, source: &io::Error) -> Error {
    use io::ErrorKind as K;
    let code = match source.kind() {
        K::ConnectionRefused | K::ConnectionReset | K::ConnectionAborted | K::NotConnected | K::BrokenPipe => {
            ErrorCode::Unavailable
        }
        K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::AddrNotAvailable => ErrorCode::Unavailable,
        K::NotADirectory | K::AlreadyExists => ErrorCode::Conflict,
        K::Unsupported => ErrorCode::Unsupported,
        // What a server that is mounted `soft` and does not answer looks like.
        _ if source.raw_os_error() == Some(Errno::IO.raw_os_error()) => ErrorCode::Unavailable,
        _ => return Error::io(what, source),
    };
    Error::new(code, what.to_string()).with_source(source)
}

/// A blocking task ended without an answer: it panicked, or the runtime is going down.
pub(crate) fn from_join(what: impl fmt::Display, error: tokio::task::JoinError) -> Error {
    let code = if error.is_panic() { ErrorCode::Panicked } else { ErrorCode::Cancelled };
    Error::new(code, format!("{what} did not end")).with_source(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_damaged_file_keep_their_codes_and_causes() {
        let full = map_file::Error::write("data", io::ErrorKind::StorageFull.into());
        let error = from_map_file("write /tier/x/data", full);
        assert_eq!(error.code(), ErrorCode::StorageFull);
        assert_eq!(error.to_string(), "write /tier/x/data: write data: no storage space");

        let silent = io_error("read /tier/x/data")(Errno::IO.into());
        assert_eq!((silent.code(), silent.is_retryable()), (ErrorCode::Unavailable, true));

        let damaged =
            map_file::Error::Corrupt { file: "/tier/x/data".to_owned(), offset: 512, problem: "why".to_owned() };
        let error = from_map_file("read ledger 3", damaged);
        assert_eq!(error.code(), ErrorCode::Corrupt);
        assert_eq!(error.message(), "read ledger 3: /tier/x/data is damaged at offset 512: why");
    }
}
