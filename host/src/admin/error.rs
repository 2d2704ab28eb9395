//! Kinds of failures to status codes: the only place that knows which status answers what.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::answer::json_with;
use crate::managed_ledger::ManagedLedgerError;
use crate::namespace::NamespaceError;
use crate::offload::trigger::AlreadyRunning;
use crate::storage::ReadError;
use crate::topic::error::TopicError;
use crate::topic::names::NameError;

/// A refused request: the status and the reason that the caller reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {reason}")]
pub struct AdminError {
    status: StatusCode,
    reason: String,
}

impl AdminError {
    /// With any status.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// 404: there is no such thing.
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// 405: this broker, or this kind of topic, does not do that.
    pub fn not_allowed(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, reason)
    }

    /// 409: it is there already, or under way.
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason)
    }

    /// 412: a rule stands against it.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, reason)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(status = self.status.as_u16(), reason = self.reason, "an admin request failed");
        }
        json_with(self.status, &serde_json::json!({ "reason": self.reason }))
    }
}

impl From<NamespaceError> for AdminError {
    fn from(error: NamespaceError) -> Self {
        let status = match &error {
            NamespaceError::NotFound(_) => StatusCode::NOT_FOUND,
            NamespaceError::Exists(_) | NamespaceError::Conflict => StatusCode::CONFLICT,
            NamespaceError::Invalid(_) => StatusCode::BAD_REQUEST,
            NamespaceError::Refused(_) => StatusCode::PRECONDITION_FAILED,
            NamespaceError::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            NamespaceError::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            NamespaceError::Metadata(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<NameError> for AdminError {
    fn from(error: NameError) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<TopicError> for AdminError {
    fn from(error: TopicError) -> Self {
        let status = match &error {
            TopicError::NamespaceNotFound(_) => return Self::not_found("Namespace does not exist"),
            TopicError::Storage(ManagedLedgerError::NotFound(_))
            | TopicError::NotFound(_)
            | TopicError::SubscriptionNotFound { .. }
            | TopicError::ConsumerNotFound => StatusCode::NOT_FOUND,
            TopicError::SubscriptionExists => StatusCode::CONFLICT,
            TopicError::InvalidName(_)
            | TopicError::BadName(_)
            | TopicError::SubscriptionInUse
            | TopicError::InUse(_)
            | TopicError::ConsumerBusy(_)
            | TopicError::ConsumerAssign(_)
            | TopicError::ProducerBusy(_)
            | TopicError::ProducerFenced(_) => StatusCode::PRECONDITION_FAILED,
            TopicError::Terminated(_) | TopicError::NotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            TopicError::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            TopicError::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ManagedLedgerError> for AdminError {
    fn from(error: ManagedLedgerError) -> Self {
        let status = match &error {
            ManagedLedgerError::NotFound(_) => StatusCode::NOT_FOUND,
            ManagedLedgerError::Closed(_) | ManagedLedgerError::Fenced { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ReadError> for AdminError {
    fn from(error: ReadError) -> Self {
        let status = match &error {
            ReadError::OutOfRange { .. } => StatusCode::NOT_FOUND,
            ReadError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<AlreadyRunning> for AdminError {
    fn from(error: AlreadyRunning) -> Self {
        Self::conflict(error.to_string())
    }
}
