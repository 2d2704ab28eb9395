//! What can be wrong with a stored object, or with the ledger that is to be written as one.

/// The result of every fallible call that knows only bytes.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an object could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Stored bytes are not what a writer of this format leaves, an object that ends too early included.
    #[error("{object} is damaged at offset {offset}: {problem}")]
    Corrupt {
        /// The object's key, or the file's path.
        object: String,
        /// Bytes from the object's start to what is wrong.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A sound object of a kind that is not read here.
    #[error("{object} cannot be read: {problem}")]
    Unsupported {
        /// The object's key, or the file's path.
        object: String,
        /// What is not supported, and what is.
        problem: String,
    },
    /// The entries are not those that the ledger's metadata announces, so no object can be made of them.
    #[error("ledger {ledger_id} was read with {found}")]
    LedgerMismatch {
        /// The ledger.
        ledger_id: u64,
        /// What was read, and what was announced.
        found: String,
    },
    /// An option, or a ledger, is beyond what the format can hold.
    #[error("{what} is {value}, it must be {bounds}")]
    OutOfBounds {
        /// What is out of bounds.
        what: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed, with its unit.
        bounds: String,
    },
}

impl Error {
    pub(crate) fn corrupt(object: &str, offset: u64, problem: impl Into<String>) -> Self {
        Self::Corrupt { object: object.to_owned(), offset, problem: problem.into() }
    }

    pub(crate) fn unsupported(object: &str, problem: impl Into<String>) -> Self {
        Self::Unsupported { object: object.to_owned(), problem: problem.into() }
    }

    /// Never: neither stored bytes nor a ledger that does not match its metadata get better by asking again.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl From<Error> for longshore_plugin_api::Error {
    fn from(error: Error) -> Self {
        use longshore_plugin_api::ErrorCode;
        let code = match &error {
            Error::Corrupt { .. } => ErrorCode::Corrupt,
            Error::Unsupported { .. } => ErrorCode::Unsupported,
            Error::LedgerMismatch { .. } | Error::OutOfBounds { .. } => ErrorCode::InvalidArgument,
        };
        Self::new(code, error.to_string())
    }
}
