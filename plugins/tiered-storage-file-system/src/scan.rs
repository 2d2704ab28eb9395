//! Lists complete copies below a base, in the order of their paths, a page at a time.
//!
//! A copy is a folder named `<ledger id>-<uid>` with a `data` and an `index` that are not empty. Names that begin with a dot
//! are attempts and copies on their way out. What disappears while it is looked at is left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longshore_plugin_api::{Error, ErrorCode, Result, ScanPage, ScanRequest, ScannedLedger};

use crate::error::io_error;
use crate::paths::{DATA, INDEX, NAME_PARTS_MAX, parse_copy_name};
use crate::stored_file::is_absent;

/// Separates the number of the base from the path below it in a page's `next`.
const BASE_SEPARATOR: char = ':';

/// No page holds more copies, whatever was asked for.
const PAGE_COPIES_MAX: u32 = 10_000;

/// One page of the copies below `bases`, one base after the other. Blocks.
pub(crate) fn page(bases: &[PathBuf], request: &ScanRequest) -> Result<ScanPage> {
    let (first_base, after) = parse_after(request.after.as_deref())?;
    let limit = request.limit.clamp(1, PAGE_COPIES_MAX) as usize;
    let mut found: Vec<(usize, Found)> = Vec::new();
    for (number, base) in bases.iter().enumerate().skip(first_base) {
        let after = if number == first_base { after.as_slice() } else { &[] };
        // One more than the page holds tells whether there is another page.
        let mut walk = Walk { found: Vec::new(), wanted: limit + 1 - found.len() };
        walk.folder(base, &mut Vec::new(), after)?;
        found.extend(walk.found.into_iter().map(|found| (number, found)));
        if found.len() > limit {
            break;
        }
    }
    let last = found.get(limit).map(|_| &found[limit - 1]);
    let next = last.map(|(number, last)| format!("{number}{BASE_SEPARATOR}{}", last.path));
    let ledgers = found.into_iter().take(limit).map(|(_, found)| found.ledger).collect();
    Ok(ScanPage { ledgers, next })
}

fn parse_after(after: Option<&str>) -> Result<(usize, Vec<String>)> {
    let Some(after) = after else { return Ok((0, Vec::new())) };
    let parsed = after.split_once(BASE_SEPARATOR).and_then(|(base, path)| Some((base.parse().ok()?, path)));
    let Some((base, path)) = parsed else {
        let message = format!("scan after {after:?}: pass the `next` of the page before");
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    };
    Ok((base, path.split('/').map(str::to_owned).collect()))
}

struct Found {
    ledger: ScannedLedger,
    path: String,
}

struct Walk {
    found: Vec<Found>,
    wanted: usize,
}

impl Walk {
    /// Walks the folders of `folder` whose path below the base is greater than `after`. `parts` is that path.
    fn folder(&mut self, folder: &Path, parts: &mut Vec<String>, after: &[String]) -> Result<()> {
        let names = sorted_folder_names(folder).map_err(io_error(format_args!("list folder {}", folder.display())))?;
        for name in names {
            if self.found.len() == self.wanted {
                break;
            }
            let below: &[String] = match after.first() {
                Some(first) if name < *first => continue,
                Some(first) if name == *first => &after[1..],
                _ => &[],
            };
            let resumed = after.len() == 1 && after[0] == name;
            let path = folder.join(&name);
            parts.push(name);
            if let Some((ledger_id, uid)) = parse_copy_name(&parts[parts.len() - 1]) {
                if let Some(size_bytes) = size_of_copy(&path).filter(|_| !resumed) {
                    let managed_ledger = Some(parts[..parts.len() - 1].join("/")).filter(|name| !name.is_empty());
                    let ledger = ScannedLedger { ledger_id, uid, managed_ledger, size_bytes };
                    self.found.push(Found { ledger, path: parts.join("/") });
                }
            } else if parts.len() <= NAME_PARTS_MAX {
                self.folder(&path, parts, below)?;
            }
            parts.pop();
        }
        Ok(())
    }
}

fn sorted_folder_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Links are not followed: a link upwards would never end.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

/// Bytes of all files of a complete copy.
fn size_of_copy(folder: &Path) -> Option<u64> {
    let len = |name: &str| fs::metadata(folder.join(name)).ok().filter(|it| it.is_file()).map(|it| it.len());
    let main = len(DATA).filter(|len| *len > 0)? + len(INDEX).filter(|len| *len > 0)?;
    let sides = [DATA, INDEX].map(|name| len(&map_file::checksum::side_file_name(name)).unwrap_or(0));
    Some(main + sides.iter().sum::<u64>())
}
