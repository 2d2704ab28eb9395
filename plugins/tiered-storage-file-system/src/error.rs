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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_damaged_file_keep_their_codes_and_causes() {
        let full = map_file::Error::write("data", io::ErrorKind::StorageFull.into());
        let error = from_map_file("write /tier/x/data", full);
        assert_eq!(error.code(), ErrorCode::StorageFull);
        assert_eq!(error.to_string(), "write /tier/x/data: write data: no storage space");

        let damaged =
            map_file::Error::Corrupt { file: "/tier/x/data".to_owned(), offset: 512, problem: "why".to_owned() };
        let error = from_map_file("read ledger 3", damaged);
        assert_eq!(error.code(), ErrorCode::Corrupt);
        assert_eq!(error.message(), "read ledger 3: /tier/x/data is damaged at offset 512: why");
    }
}
