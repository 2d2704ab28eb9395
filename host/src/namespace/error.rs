//! Why a tenant's or namespace's request is refused. The admin room maps the kinds to status codes.

use crate::metadata::MetadataError;

/// Why a request is refused; the texts are the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 409.
    #[error("{0}")]
    Exists(String),
    /// 400.
    #[error("{0}")]
    Invalid(String),
    /// 412.
    #[error("{0}")]
    Refused(String),
    /// 422.
    #[error("{0}")]
    Unprocessable(String),
    /// 406.
    #[error("{0}")]
    NotAcceptable(String),
    /// 409, tried several times.
    #[error("Concurrent modification")]
    Conflict,
    /// 500.
    #[error("{0}")]
    Metadata(String),
}

impl From<MetadataError> for NamespaceError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Conflict { .. } => Self::Conflict,
            error => Self::Metadata(error.to_string()),
        }
    }
}
