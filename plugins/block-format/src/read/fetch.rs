//! Fetches extents of a copy with one request: bytes are copied out of the client's chunks and checksummed while the processor
//! has them at hand, and readers have each extent as soon as it is whole.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::spare::SpareBuffer;
use longshore_plugin_api::{Error, ErrorCode, Result};

use super::extents::{Arrivals, Source};
use super::open_copy::OpenCopy;
use crate::granule_check::GranuleCheck;
use crate::store::requests::{Receive, Requests};
use crate::user_metadata::UserMetadata;

/// Bytes of an extent, if no granule is longer: little enough to stay near the processor, and much for each answer to a reader.
const EXTENT_BYTES: u64 = 1 << 20;

/// One copy's data object.
#[derive(Clone)]
pub(super) struct CopySource {
    pub(super) copy: Arc<OpenCopy>,
    pub(super) requests: Arc<Requests>,
}

impl Source for CopySource {
    /// Where there are checksums, extents begin and end where granules do.
    fn cut(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let index = &self.copy.index;
        let (mut extents, mut start) = (Vec::new(), range.start);
        while start < range.end {
            let mut end = start + EXTENT_BYTES;
            if index.extension().is_some() && end < range.end {
                let granule = index.granule(index.granule_at(end));
                end = if granule.start > start { granule.start } else { granule.end };
            }
            extents.push(start..end.min(range.end));
            start = end;
        }
        extents
    }

    /// A mismatch may have happened on the way, so it is looked at twice.
    async fn fetch(self, arrivals: Arrivals) {
        let Self { copy, requests } = self;
        let range = arrivals.range();
        let mut assembly = Assembly { copy: &copy, arrivals, filling: None, damaged: Vec::new(), looks_left: 1 };
        let ended = requests.get_chunks(&copy.data_key, range, &mut assembly).await;
        let Assembly { arrivals, damaged, .. } = assembly;
        finish(&copy, arrivals, ended);
        for arrivals in damaged {
            let range = arrivals.range();
            tracing::warn!(key = copy.data_key, ?range, "read again: a checksum did not match");
            let mut assembly = Assembly { copy: &copy, arrivals, filling: None, damaged: Vec::new(), looks_left: 0 };
            let ended = requests.get_chunks(&copy.data_key, range, &mut assembly).await;
            finish(&copy, assembly.arrivals, ended);
        }
    }
}

/// What did not come never will.
fn finish(copy: &OpenCopy, arrivals: Arrivals, ended: Result<()>) {
    match (ended, arrivals.next()) {
        (_, None) => {}
        (Err(error), _) => arrivals.fail(&error),
        (Ok(()), Some(next)) => {
            let problem = format!("the object ends here, its index says at {}", copy.index.data_bytes());
            arrivals.fail(&crate::Error::corrupt(&copy.data_key, next.start, problem).into());
        }
    }
}

/// Puts extents together from what comes.
struct Assembly<'a> {
    copy: &'a OpenCopy,
    arrivals: Arrivals,
    filling: Option<Filling>,
    /// Extents that are to be looked at again.
    damaged: Vec<Arrivals>,
    looks_left: u32,
}

/// The extent that is coming.
struct Filling {
    range: Range<u64>,
    buffer: SpareBuffer,
    check: GranuleCheck,
    found: Result<()>,
}

impl Assembly<'_> {
    fn begin_extent(&self) -> Option<Filling> {
        let range = self.arrivals.next()?;
        let index = &self.copy.index;
        let buffer = self.arrivals.extents().spares().buffer((range.end - range.start) as usize);
        let check = GranuleCheck::begin(index, index.granule_at(range.start));
        Some(Filling { range, buffer, check, found: Ok(()) })
    }

    fn end_extent(&mut self, Filling { buffer, found, .. }: Filling) {
        match found {
            Ok(()) => self.arrivals.arrived(Ok(buffer.freeze())),
            Err(_) if self.looks_left > 0 => self.damaged.extend(self.arrivals.split_next()),
            Err(error) => self.arrivals.arrived(Err(error)),
        }
    }
}

impl Receive for Assembly<'_> {
    fn begin(&mut self, object_bytes: Option<u64>, user_metadata: Option<&UserMetadata>) -> Result<()> {
        if let Some(user_metadata) = user_metadata {
            user_metadata.check_format_version(&self.copy.data_key)?;
        }
        let expected = self.copy.index.data_bytes();
        match object_bytes.filter(|found| *found != expected) {
            None => Ok(()),
            Some(found) => {
                let problem = format!("the object has {found} bytes, its index says {expected}");
                Err(crate::Error::corrupt(&self.copy.data_key, found.min(expected), problem).into())
            }
        }
    }

    fn chunk(&mut self, chunk: Bytes) -> Result<()> {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let Some(mut filling) = self.filling.take().or_else(|| self.begin_extent()) else {
                return Err(Error::new(ErrorCode::Internal, "more bytes came than were asked for"));
            };
            let room = (filling.range.end - filling.range.start) as usize - filling.buffer.len();
            let (these, behind) = rest.split_at(rest.len().min(room));
            filling.take(self.copy, these);
            rest = behind;
            if these.len() == room { self.end_extent(filling) } else { self.filling = Some(filling) }
        }
        Ok(())
    }
}

impl Filling {
    fn take(&mut self, copy: &OpenCopy, bytes: &[u8]) {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        if self.found.is_ok() {
            // What was copied is what is checked.
            let checked = self.check.pass(&copy.index, &copy.data_key, &self.buffer[at..]);
            self.found = checked.map_err(Error::from);
        }
    }
}
