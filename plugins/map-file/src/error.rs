//! What can be wrong with a file, or with what a caller asks of a writer.

use std::io;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Stored bytes are not what a writer of this format leaves, a file that ends too early included.
    #[error("{file} is damaged at offset {offset}: {problem}")]
    Corrupt {
        /// The source's name.
        file: String,
        /// Bytes from the start of the file to what is wrong.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A sound file of a kind that is not read here: another version, codec, key or value class.
    #[error("{file} cannot be read: {problem}")]
    Unsupported {
        /// The source's name.
        file: String,
        /// What is not supported, and what is.
        problem: String,
    },
    /// The source or the sink failed.
    #[error("{action} {file}")]
    Io {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// The source's or the sink's name.
        file: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The caller appended keys in descending order.
    #[error("key {key} cannot follow key {previous}: keys of a map file never descend")]
    KeyOutOfOrder {
        /// The key refused.
        key: i64,
        /// The last key written.
        previous: i64,
    },
    /// The caller appended a value whose length does not fit the format's 31 bits.
    #[error("the value of key {key} has {len} bytes, a record holds at most {max}")]
    ValueTooLarge {
        /// The key refused.
        key: i64,
        /// The value's length in bytes.
        len: u64,
        /// The longest possible value in bytes.
        max: u64,
    },
}

impl Error {
    pub(crate) fn corrupt(file: &str, offset: u64, problem: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, problem: problem.into() }
    }

    pub(crate) fn unsupported(file: &str, problem: impl Into<String>) -> Self {
        Self::Unsupported { file: file.to_owned(), problem: problem.into() }
    }

    /// A failed read of `file`.
    pub fn read(file: &str, source: io::Error) -> Self {
        Self::Io { action: "read", file: file.to_owned(), source }
    }

    /// A failed write to `file`.
    pub fn write(file: &str, source: io::Error) -> Self {
        Self::Io { action: "write", file: file.to_owned(), source }
    }

    /// Whether the same call may succeed later without anybody changing the file.
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind as K;
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), K::Interrupted | K::TimedOut | K::ResourceBusy | K::StorageFull))
    }
}
