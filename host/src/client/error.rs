//! What can go wrong between this client and a broker.

use crate::protocol::command::Command;

use super::MessageId;

/// Why a call of the client failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is not a service URL that this client speaks.
    #[error("`{0}` is not a service URL; allowed: pulsar://host:port, pulsar+ssl://host:port")]
    Url(String),
    /// Nobody answers there.
    #[error("cannot connect to {address}: {problem}; is the broker running?")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// TLS cannot be had as it was asked for.
    #[error("TLS: cannot {what}: {problem}")]
    Tls {
        /// What was tried, on what.
        what: String,
        /// What is wrong.
        problem: String,
    },
    /// The connection, or this producer or consumer, has ended.
    #[error("{0}")]
    Closed(String),
    /// The broker said no.
    #[error("the broker refused to {what}: {message} (error {code})")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The protocol's `ServerError`.
        code: i32,
        /// The broker's words.
        message: String,
    },
    /// No answer in time.
    #[error("the broker did not {what} within {seconds} s")]
    TimedOut {
        /// What was tried.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A message that was received is damaged.
    #[error("message {id} is damaged: {problem}")]
    Corrupt {
        /// Its id; a batch by the entry's.
        id: MessageId,
        /// What does not match.
        problem: String,
    },
    /// A message that is too large to be sent.
    #[error("a message of {size} bytes with its metadata is too large; the broker takes up to {limit}")]
    TooLarge {
        /// Bytes with metadata.
        size: usize,
        /// Most that the broker takes.
        limit: usize,
    },
    /// Something that this client does not do.
    #[error("{0}")]
    Unsupported(String),
}

impl ClientError {
    pub(super) fn refused(what: &'static str, code: i32, message: &str) -> Self {
        Self::Refused { what, code, message: message.to_owned() }
    }

    pub(super) fn unexpected(what: &str, answer: &Command) -> Self {
        Self::Closed(format!("the broker answered `{what}` with {}", answer.name()))
    }
}
