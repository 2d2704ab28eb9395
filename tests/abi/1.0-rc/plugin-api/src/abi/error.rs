//! [`FfiError`]: an error as it crosses; [`crate::error::Error`] is its face on either side.

use std::time::Duration;

use abi_stable::StableAbi;
use abi_stable::std_types::{RString, RVec};

use super::requests::Pairs;
use crate::error::{Error, ErrorCode, Retry};

/// An error of an operation. Frozen; owned by the receiver.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiError {
    /// A number of [`ErrorCode`]; one that the receiver does not know is shown as it is.
    pub code: u32,
    /// 0 never, 1 at once, 2 later; any other number means never.
    pub retry: u32,
    /// With `retry` 2: no sooner than so many milliseconds from now; 0 where nobody said.
    pub retry_after_ms: u64,
    /// What was tried, on what, what to do.
    pub message: RString,
    /// The causes, nearest first.
    pub chain: RVec<RString>,
    /// What later versions may add.
    pub extras: Pairs,
}

impl From<Error> for FfiError {
    fn from(error: Error) -> Self {
        Self {
            code: error.code().0,
            retry: match error.retry() {
                Retry::Never => 0,
                Retry::Now => 1,
                Retry::Later => 2,
            },
            retry_after_ms: error.retry_after().map_or(0, |pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            message: error.message().into(),
            chain: error.chain().iter().map(|cause| RString::from(cause.as_str())).collect(),
            extras: Pairs::new(),
        }
    }
}

impl From<FfiError> for Error {
    fn from(error: FfiError) -> Self {
        let retry = match error.retry {
            1 => Retry::Now,
            2 => Retry::Later,
            _ => Retry::Never,
        };
        let chain = error.chain.iter().map(|cause| cause.as_str().to_owned()).collect();
        let face = Error::new(ErrorCode(error.code), error.message.as_str()).with_retry(retry).with_chain(chain);
        match (retry, error.retry_after_ms) {
            (Retry::Later, pause @ 1..) => face.with_retry_after(Duration::from_millis(pause)),
            _ => face,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_crosses_whole() {
        let error = Error::new(ErrorCode(4711), "write block 3")
            .with_retry(Retry::Now)
            .with_chain(vec!["connection reset".to_owned(), "os error 104".to_owned()]);
        assert_eq!(Error::from(FfiError::from(error.clone())), error);
        let later = error.with_retry_after(Duration::from_millis(1500));
        assert_eq!(Error::from(FfiError::from(later.clone())), later);
    }
}
