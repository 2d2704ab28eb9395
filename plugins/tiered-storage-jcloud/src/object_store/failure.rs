//! Why a request has no answer, on its way through opendal and out of it.

use std::fmt;

use longshore_plugin_api::{Error, ErrorCode, Retry};
use opendal::ErrorKind;

use super::http::causes;
use super::refusal::Refusal;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The store refused it.
    Refused(Box<Refusal>),
    /// It, or its answer, was lost on the way.
    Lost(String),
    /// It took too long to connect, or its answer stopped.
    TimedOut(String),
    /// The answer is not what the protocol says.
    Garbled(String),
    /// It was not made.
    NotMade(Error),
}

impl Failure {
    /// What became of a request in the HTTP client.
    pub(crate) fn of_client(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_timeout() { Self::TimedOut(causes(&error)) } else { Self::Lost(causes(&error)) }
    }

    /// As opendal carries it; [`of_opendal`](Self::of_opendal) finds it again.
    pub(super) fn into_opendal(self) -> opendal::Error {
        opendal::Error::new(ErrorKind::Unexpected, "send request").set_source(self)
    }

    /// What became of a request that opendal made.
    pub(super) fn of_opendal(error: &opendal::Error) -> Self {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = next {
            if let Some(failure) = cause.downcast_ref::<Self>() {
                return failure.clone();
            }
            next = cause.source();
        }
        // What opendal says itself: an answer that it cannot read, or a request that it cannot make.
        let text = match std::error::Error::source(error) {
            Some(source) => format!("{}: {}", error.message(), causes(source)),
            None => error.message().to_owned(),
        };
        match error.kind() {
            ErrorKind::Unexpected if error.is_temporary() => Self::Garbled(text),
            ErrorKind::ConfigInvalid => Self::NotMade(Error::new(ErrorCode::InvalidConfig, text)),
            ErrorKind::Unsupported => Self::NotMade(Error::new(ErrorCode::Unsupported, text)),
            _ => Self::NotMade(Error::new(ErrorCode::Internal, text)),
        }
    }

    /// Whether the store knows no such object.
    pub(crate) fn is_absent_object(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is_absent_object())
    }

    /// The error of a request that concerned `key` in `bucket`; an empty key is the bucket's own.
    pub(crate) fn into_error(self, bucket: &str, key: &str) -> Error {
        let place = if key.is_empty() { format!("bucket {bucket}") } else { format!("{key} in bucket {bucket}") };
        match self {
            Self::Refused(refusal) => {
                let error = Error::new(refusal.error_code(), format!("{place}: {refusal}"));
                match refusal.retry_after {
                    _ if refusal.is_expiry() => error.with_retry(Retry::Now),
                    Some(pause) if error.is_retryable() => error.with_retry_after(pause),
                    _ => error,
                }
            }
            Self::Lost(how) => Error::new(ErrorCode::Unavailable, format!("{place}: {how}")),
            Self::TimedOut(how) => Error::new(ErrorCode::Timeout, format!("{place}: {how}")),
            Self::Garbled(how) => {
                Error::new(ErrorCode::Unavailable, format!("{place}: the store's answer cannot be read: {how}"))
            }
            Self::NotMade(error) => Error::new(error.code(), format!("{place}: {}", error.message()))
                .with_retry(error.retry())
                .with_chain(error.chain().to_vec()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Lost(how) | Self::TimedOut(how) | Self::Garbled(how) => f.write_str(how),
            Self::NotMade(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn a_refusal_survives_its_way_through_opendal() {
        let refusal = Refusal::read(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), b"");
        let carried = Failure::Refused(refusal.into()).into_opendal().with_operation("read").with_context("k", "v");
        let error = Failure::of_opendal(&carried).into_error("b", "k");
        assert_eq!(error.code(), ErrorCode::RateLimited);
        assert_eq!(error.to_string(), "k in bucket b: the store answered 503");
    }

    #[test]
    fn what_cannot_be_reached_or_read_is_never_not_found() {
        for failure in [Failure::Lost("x".into()), Failure::Garbled("x".into())] {
            assert!(!failure.is_absent_object());
            assert_eq!(failure.into_error("b", "").code(), ErrorCode::Unavailable);
        }
        assert_eq!(Failure::TimedOut("x".into()).into_error("b", "").code(), ErrorCode::Timeout);
    }
}
