//! What went wrong in a plugin, in a form that survives the boundary: a stable code, a message, a hint for retries
//! and the chain of causes as text.

use std::fmt;
use std::time::Duration;

/// A stable error code. The numbers never change; a host shows a number that it does not know as it is.
///
/// A new code earns its place when a caller would *act* differently.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retry:ident;)*) => {
        #[allow(non_upper_case_globals)]
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($number);)*

            /// The code's name, or `None` for a number that this version does not know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The retry hint that an error of this code carries unless its author says otherwise.
            pub const fn default_retry(self) -> Retry {
                match self.0 {
                    $($number => Retry::$retry,)*
                    _ => Retry::Never,
                }
            }
        }
    };
}

codes! {
    /// The ledger's cold copy (or the container that should hold it) does not exist.
    NotFound = 1, Never;
    /// The store knows us and says no, or does not know us.
    PermissionDenied = 2, Never;
    /// The store asks for fewer requests.
    RateLimited = 3, Later;
    /// The store cannot be reached or answers with a passing fault.
    Unavailable = 4, Later;
    /// A deadline passed.
    Timeout = 5, Later;
    /// The configuration cannot work; the message names the key.
    InvalidConfig = 6, Never;
    /// The caller broke the contract (an empty or open ledger, `first > last`).
    InvalidArgument = 7, Never;
    /// Stored bytes are not what was written; the message names file and offset.
    Corrupt = 8, Never;
    /// A read beyond the last entry.
    OutOfRange = 9, Never;
    /// This driver does not offer the operation.
    Unsupported = 10, Never;
    /// Something else changed the same thing meanwhile.
    Conflict = 11, Never;
    /// The caller dropped the operation.
    Cancelled = 12, Never;
    /// The plugin panicked; the message is the panic's.
    Panicked = 13, Never;
    /// Any other fault.
    Internal = 14, Never;
    /// No space is left on the store, or a quota is used up.
    StorageFull = 15, Later;
    /// The contract was broken; said by the layer between an author's code and the host, never by a good plugin.
    Misbehaved = 16, Never;
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

/// Whether the same call may succeed if it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Not before something else changes.
    Never,
    /// At once.
    Now,
    /// After a pause.
    Later,
}

/// An error of a plugin's operation.
///
/// Messages are lower case without a full stop and say what was tried, on what, and what to do next. A cause goes to
/// [`Error::with_source`], not into the message. Never put a secret into either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    retry: Retry,
    retry_after: Option<Duration>,
    message: String,
    chain: Vec<String>,
}

impl Error {
    /// An error with the code's default retry hint and no cause.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, retry: code.default_retry(), retry_after: None, message: message.into(), chain: Vec::new() }
    }

    /// Appends `source` and all its causes, each rendered by `Display`.
    #[must_use]
    pub fn with_source(mut self, source: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(cause) = next {
            self.chain.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Replaces the chain of causes, nearest first.
    #[must_use]
    pub fn with_chain(mut self, chain: Vec<String>) -> Self {
        self.chain = chain;
        self
    }

    /// Replaces the retry hint.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self.retry_after = None;
        self
    }

    /// The same call may succeed after `pause` and hardly sooner, as a store says that asks for fewer requests.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.retry = Retry::Later;
        self.retry_after = Some(pause);
        self
    }

    /// An input or output error of the operating system while doing `what` (verb, object and path), with the code that
    /// its kind stands for.
    pub fn io(what: impl fmt::Display, source: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let code = match source.kind() {
            K::NotFound => ErrorCode::NotFound,
            K::PermissionDenied | K::ReadOnlyFilesystem => ErrorCode::PermissionDenied,
            K::StorageFull | K::QuotaExceeded => ErrorCode::StorageFull,
            K::TimedOut => ErrorCode::Timeout,
            K::Interrupted | K::StaleNetworkFileHandle | K::ResourceBusy => ErrorCode::Unavailable,
            K::UnexpectedEof | K::InvalidData => ErrorCode::Corrupt,
            _ => ErrorCode::Internal,
        };
        Self::new(code, what.to_string()).with_source(source)
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The retry hint.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// How long to wait before the same call is made again, where somebody said; only with [`Retry::Later`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What was tried, on what, what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The causes, nearest first.
    pub fn chain(&self) -> &[String] {
        &self.chain
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retry != Retry::Never
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.chain {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The result of a plugin's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names_and_unknown_ones_are_kept() {
        assert_eq!(ErrorCode::Corrupt.to_string(), "Corrupt");
        assert_eq!(ErrorCode(4711).to_string(), "code 4711");
        assert_eq!(ErrorCode(4711).default_retry(), Retry::Never);
    }

    #[test]
    fn a_full_disk_says_so_and_may_be_retried_later() {
        let e = Error::io("write data file /tier/x", &std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!((e.code(), e.retry()), (ErrorCode::StorageFull, Retry::Later));
        assert_eq!(e.to_string(), "write data file /tier/x: no storage space");
    }
}
