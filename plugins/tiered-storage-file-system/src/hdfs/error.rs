//! What HDFS answers, as errors whose kind says what to do.
//!
//! The NameNode names the Java class of what it threw; its text is a stack trace, of which the first line is for people.

use std::io::{self, ErrorKind};

use hdfs_native::HdfsError;

/// Characters of a server's text that a message repeats.
const TEXT_MAX: usize = 300;

/// How the crate begins to say that every replica was tried.
const ALL_FAILED: &str = "All DataNodes failed";

/// Turns an error of the crate into one of the seam.
pub(crate) fn from_hdfs(error: HdfsError) -> io::Error {
    io::Error::new(kind(&error), text(&error))
}

fn kind(error: &HdfsError) -> ErrorKind {
    use HdfsError as E;
    match error {
        E::FileNotFound(_) => ErrorKind::NotFound,
        E::AlreadyExists(_) => ErrorKind::AlreadyExists,
        E::IsADirectoryError(_) => ErrorKind::IsADirectory,
        E::InvalidPath(_) | E::InvalidArgument(_) | E::UrlParseError(_) => ErrorKind::InvalidInput,
        E::UnsupportedFeature(_) | E::UnsupportedErasureCodingPolicy(_) => ErrorKind::Unsupported,
        E::SASLError(_) | E::GSSAPIError(..) | E::NoSASLMechanism => ErrorKind::PermissionDenied,
        E::IOError(source) => kind_of_connection(source.kind()),
        E::DataTransferError(_) | E::ChecksumError | E::BlocksNotFound(_) | E::ErasureCodingError(_) => {
            ErrorKind::ConnectionAborted
        }
        // Only said where closing a file takes too long.
        E::OperationFailed(_) => ErrorKind::TimedOut,
        E::RPCError(class, _) | E::FatalRPCError(class, _) => kind_of_class(class),
        _ => ErrorKind::Other,
    }
}

/// Of an error on the way to a server: none of them says anything about a file.
fn kind_of_connection(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::TimedOut
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => kind,
        _ => ErrorKind::ConnectionAborted,
    }
}

fn kind_of_class(class: &str) -> ErrorKind {
    match class.rsplit(['.', '$']).next().unwrap_or(class) {
        // The lease goes with the file that it is for.
        "FileNotFoundException" | "LeaseExpiredException" => ErrorKind::NotFound,
        "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => ErrorKind::AlreadyExists,
        "PathIsNotEmptyDirectoryException" => ErrorKind::DirectoryNotEmpty,
        "ParentNotDirectoryException" | "PathIsNotDirectoryException" => ErrorKind::NotADirectory,
        "AccessControlException" | "AuthorizationException" | "InvalidToken" | "SaslException" => {
            ErrorKind::PermissionDenied
        }
        "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaByStorageTypeExceededException" => {
            ErrorKind::QuotaExceeded
        }
        "InvalidPathException" | "HadoopIllegalArgumentException" | "IllegalArgumentException" => {
            ErrorKind::InvalidInput
        }
        // Standing by, starting, overloaded, without DataNodes: `IOException` is what it throws then.
        "StandbyException"
        | "SafeModeException"
        | "RetriableException"
        | "NotReplicatedYetException"
        | "IOException" => ErrorKind::ConnectionAborted,
        _ => ErrorKind::Other,
    }
}

fn text(error: &HdfsError) -> String {
    let text = match error {
        HdfsError::RPCError(class, text) | HdfsError::FatalRPCError(class, text) => {
            let first_line = text.lines().next().unwrap_or_default();
            match first_line.starts_with(class.as_str()) {
                true => first_line.to_owned(),
                false => format!("{class}: {first_line}"),
            }
        }
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => format!(
            "{error}; with hadoop.security.authentication=kerberos the broker needs libgssapi_krb5 and a valid ticket \
             (KRB5CCNAME, or KRB5_CLIENT_KTNAME for a keytab)"
        ),
        // What follows is the crate's own rendering of each machine.
        HdfsError::DataTransferError(text) if text.starts_with(ALL_FAILED) => {
            "no DataNode that has the block answers for it".to_owned()
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::ErrorCode;

    use super::*;
    use crate::error::io_error;

    fn code(error: HdfsError) -> ErrorCode {
        io_error("read /tier/x")(from_hdfs(error)).code()
    }

    fn thrown(class: &str) -> HdfsError {
        HdfsError::RPCError(class.to_owned(), format!("{class}: why\n\tat a.b.C(D.java:1)"))
    }

    #[test]
    fn only_an_answer_that_says_so_is_not_found() {
        assert_eq!(code(HdfsError::FileNotFound("/x".to_owned())), ErrorCode::NotFound);
        assert_eq!(code(thrown("java.io.FileNotFoundException")), ErrorCode::NotFound);
        for kind in [ErrorKind::NotFound, ErrorKind::UnexpectedEof, ErrorKind::ConnectionRefused, ErrorKind::Other] {
            assert_eq!(code(HdfsError::IOError(kind.into())), ErrorCode::Unavailable, "{kind:?}");
        }
        for class in ["org.apache.hadoop.ipc.StandbyException", "org.apache.hadoop.ipc.RetriableException"] {
            assert_eq!(code(thrown(class)), ErrorCode::Unavailable, "{class}");
        }
        assert_eq!(code(HdfsError::IOError(ErrorKind::TimedOut.into())), ErrorCode::Timeout);
    }

    #[test]
    fn refusals_and_quotas_keep_their_meaning() {
        let denied = thrown("org.apache.hadoop.security.AccessControlException");
        assert_eq!(code(denied), ErrorCode::PermissionDenied);
        let full = thrown("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException");
        assert_eq!(code(full), ErrorCode::StorageFull);
        let kerberos = from_hdfs(HdfsError::NoSASLMechanism);
        assert!(kerberos.to_string().contains("hadoop.security.authentication"), "{kerberos}");
    }

    #[test]
    fn a_stack_trace_is_cut_to_its_first_line() {
        let error = from_hdfs(thrown("java.io.IOException"));
        assert_eq!(error.to_string(), "java.io.IOException: why");
        let gone = from_hdfs(HdfsError::DataTransferError(format!("{ALL_FAILED}: [DatanodeInfoProto {{}}]")));
        assert_eq!(gone.to_string(), "no DataNode that has the block answers for it");
        let long = from_hdfs(HdfsError::DataTransferError("ä".repeat(10_000)));
        assert!(long.to_string().chars().count() <= TEXT_MAX + 1);
    }
}
