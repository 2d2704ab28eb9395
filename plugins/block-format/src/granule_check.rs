//! Holds bytes of a data object against the checksums of their granules, where its index has any.

use std::ops::Range;

use crate::crc;
use crate::error::{Error, Result};
use crate::index::Index;

impl Index {
    /// Holds the bytes of neighbouring granules, `first` and those behind it, against their checksums; says nothing where
    /// there are none. `bytes` begin and end where granules do.
    ///
    /// # Errors
    /// `Corrupt` with the offset of the first granule that does not match.
    pub fn check_granules(&self, object: &str, first: usize, bytes: &[u8]) -> Result<()> {
        if self.extension().is_none() {
            return Ok(());
        }
        let mut check = GranuleCheck::begin(self, first);
        check.pass(self, object, bytes)?;
        match check.torn(self) {
            Some((start, end)) => {
                let problem = format!("{} bytes of a granule of {}", check.at - start, end - start);
                Err(Error::corrupt(object, check.at, problem))
            }
            None => Ok(()),
        }
    }
}

/// Holds the bytes of neighbouring granules against their checksums as they come.
#[derive(Clone, Debug)]
pub(crate) struct GranuleCheck {
    granule: usize,
    /// Where the next byte is.
    at: u64,
    crc: u32,
}

impl GranuleCheck {
    /// The first byte to come is that of granule `first`.
    pub(crate) fn begin(index: &Index, first: usize) -> Self {
        let before = index.extension().zip(first.checked_sub(1));
        let crc = before.map_or(0, |(extension, before)| extension.running_crcs[before]);
        Self { granule: first, at: index.granule_start(first), crc }
    }

    /// The next bytes; says nothing where there are no checksums.
    ///
    /// # Errors
    /// `Corrupt` with the offset of the first granule that does not match. The check is of no more use then.
    pub(crate) fn pass(&mut self, index: &Index, object: &str, mut bytes: &[u8]) -> Result<()> {
        let Some(extension) = index.extension() else { return Ok(()) };
        while !bytes.is_empty() && self.granule < index.entries().len() {
            let granule = index.granule(self.granule);
            let (these, behind) = bytes.split_at(bytes.len().min((granule.end - self.at) as usize));
            self.crc = crc::append(self.crc, these);
            self.at += these.len() as u64;
            bytes = behind;
            if self.at == granule.end {
                if self.crc != extension.running_crcs[self.granule] {
                    let len = granule.end - granule.start;
                    let problem = format!("the checksum of the {len} bytes from here on does not match");
                    return Err(Error::corrupt(object, granule.start, problem));
                }
                self.granule += 1;
            }
        }
        Ok(())
    }

    /// Where the granule begins and ends of which only a part came.
    fn torn(&self, index: &Index) -> Option<(u64, u64)> {
        let Range { start, end } = (self.granule < index.entries().len()).then(|| index.granule(self.granule))?;
        (self.at > start).then_some((start, end))
    }
}
