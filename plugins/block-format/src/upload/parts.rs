//! Uploads the data object in parts, several at once: when `parts_in_flight_max` are under way, filling the next one waits for
//! the first to be there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_plugin_api::{Error, ErrorCode, LedgerReader, Result};
use tokio::task::JoinSet;

use super::Copy;
use super::filling::{FilledPart, Filling};
use crate::encoder::{DataCrcs, EncodedEntry};
use crate::store::requests::{BegunUpload, Requests};
use crate::store::{ListRequest, ObjectAttributes, PartTag};

/// How often an object is looked for whose completion is in doubt.
const LOOKS_MAX: u32 = 5;
/// The pause behind the first look; each further one is twice as long.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Where the data object's bytes go.
pub(super) struct PartSink<'a> {
    requests: &'a Arc<Requests>,
    key: &'a str,
    attributes: &'a ObjectAttributes,
    ledger: &'a LedgerReader,
    part_bytes: usize,
    in_flight_max: usize,
    filling: Filling,
    upload: Option<BegunUpload>,
    parts_begun: u32,
    in_flight: PartsInFlight,
    /// Where parts go that are under way when the copy ends early.
    given_up: &'a Mutex<PartsInFlight>,
    done: Vec<PartTag>,
}

/// Parts on their way: the tag and the length of each.
pub(super) type PartsInFlight = JoinSet<Result<(PartTag, u64)>>;

impl Drop for PartSink<'_> {
    fn drop(&mut self) {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.in_flight);
    }
}

impl<'a> PartSink<'a> {
    /// Parts have `part_bytes`, the whole object has `object_bytes` or more.
    pub(super) fn new(copy: &'a Copy, part_bytes: u64, object_bytes: u64) -> Self {
        Self {
            requests: &copy.requests,
            key: &copy.keys.data,
            attributes: &copy.data_attributes,
            ledger: &copy.ledger,
            part_bytes: usize::try_from(part_bytes).unwrap_or(usize::MAX),
            in_flight_max: copy.options.parts_in_flight_max.max(1),
            filling: Filling::new(object_bytes),
            upload: None,
            parts_begun: 0,
            in_flight: JoinSet::new(),
            given_up: &copy.given_up,
            done: Vec::new(),
        }
    }

    /// Appends as much of an entry as there is room for, and says whether that was all of it.
    pub(super) fn append(&mut self, encoded: &mut EncodedEntry) -> bool {
        self.filling.append(encoded, self.part_bytes - self.filling.len());
        encoded.remaining() == 0
    }

    /// Sends the part that is full, and waits until another one may be filled.
    pub(super) async fn make_room(&mut self) -> Result<()> {
        self.send_part().await?;
        while self.in_flight.len() >= self.in_flight_max {
            self.join_one().await?;
        }
        Ok(())
    }

    /// Checksums of all that was appended.
    pub(super) fn crcs(&mut self) -> DataCrcs {
        self.filling.crcs()
    }

    /// Uploads what is left and makes the object visible.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.upload.is_none() {
            return self.put_whole().await;
        }
        self.send_part().await?;
        while !self.in_flight.is_empty() {
            self.join_one().await?;
        }
        self.done.sort_by_key(|part| part.number);
        self.complete().await
    }

    /// An object of one part needs no upload in parts.
    async fn put_whole(&mut self) -> Result<()> {
        let FilledPart { body, .. } = self.filling.take();
        let len = body.len() as u64;
        self.requests.put(self.key, body, self.attributes).await?;
        self.ledger.progress(len);
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        let upload = match &self.upload {
            Some(begun) => begun.upload.clone(),
            None => {
                let begun = self.requests.begin_multipart(self.key, self.attributes).await?;
                self.upload.insert(begun).upload.clone()
            }
        };
        let FilledPart { body, crc32c } = self.filling.take();
        if body.is_empty() {
            return Ok(());
        }
        // A part that failed meanwhile ends the copy before another one is sent.
        while let Some(joined) = self.in_flight.try_join_next() {
            self.count(joined)?;
        }
        self.parts_begun += 1;
        let (number, len) = (self.parts_begun, body.len() as u64);
        let (requests, key) = (self.requests.clone(), self.key.to_owned());
        self.in_flight.spawn(async move {
            match requests.put_part(&key, &upload, number, body, crc32c).await {
                Ok(tag) => Ok((tag, len)),
                Err(error) => Err(unless_forgotten(&requests, &key, error).await),
            }
        });
        Ok(())
    }

    async fn join_one(&mut self) -> Result<()> {
        match self.in_flight.join_next().await {
            Some(joined) => self.count(joined),
            None => Ok(()),
        }
    }

    fn count(&mut self, joined: Result<Result<(PartTag, u64)>, tokio::task::JoinError>) -> Result<()> {
        let ended = joined.map_err(|error| {
            let code = if error.is_panic() { ErrorCode::Panicked } else { ErrorCode::Cancelled };
            Error::new(code, format!("a part of {} did not end", self.key)).with_source(&error)
        })?;
        let (tag, len) = ended?;
        self.done.push(tag);
        self.ledger.progress(len);
        Ok(())
    }

    /// A completion may have taken effect although its answer was lost: then the upload is gone and the object is there.
    /// What it holds is verified in any case.
    async fn complete(&self) -> Result<()> {
        let Some(begun) = &self.upload else { return Ok(()) };
        if let Err(error) = self.requests.complete_multipart(self.key, &begun.upload, &self.done).await {
            let in_doubt = error.is_retryable() || error.code() == ErrorCode::NotFound;
            if !in_doubt || !self.appears().await {
                return Err(unless_forgotten(self.requests, self.key, error).await);
            }
            tracing::info!(key = self.key, %error, "the upload's completion was in doubt, the object is there");
        }
        if begun.may_have_twin {
            crate::removal::abort_uploads(self.requests, self.key).await?;
        }
        Ok(())
    }

    /// Whether the object is there, or soon is: a store whose answer was lost may still be putting it together.
    async fn appears(&self) -> bool {
        let mut pause = LOOK_PAUSE;
        for _ in 1..LOOKS_MAX {
            if self.requests.head(self.key).await.is_ok() {
                return true;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.requests.head(self.key).await.is_ok()
    }
}

/// An upload that the store does not know any more, in a bucket that is there, is no missing object: the whole copy may be made
/// again.
async fn unless_forgotten(requests: &Requests, key: &str, error: Error) -> Error {
    let one = ListRequest { limit: 1, ..ListRequest::default() };
    if error.code() != ErrorCode::NotFound || requests.list(&one).await.is_err() {
        return error;
    }
    let message = format!("the store has forgotten the upload of {key}: {}", error.message());
    Error::new(ErrorCode::Unavailable, message).with_chain(error.chain().to_vec())
}
