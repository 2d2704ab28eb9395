//! Lists complete copies below a base, in the order of their paths, a page at a time.
//!
//! A copy is a folder named `<ledger id>-<uid>` with a `data` and an `index` that are not empty. Names that begin with a dot
//! are attempts and copies on their way out. What disappears while it is looked at is left out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_plugin_api::{Error, ErrorCode, Result, ScanPage, ScanRequest, ScannedLedger};
use map_file::checksum::side_file_name;

use crate::error::io_error;
use crate::file_system::{FileSystem, Kind, Listed, is_absent};
use crate::paths::{DATA, INDEX, NAME_PARTS_MAX, parse_copy_name};

/// Separates the number of the base from the path below it in a page's `next`.
const BASE_SEPARATOR: char = ':';

/// No page holds more copies, whatever was asked for.
const PAGE_COPIES_MAX: u32 = 10_000;

/// One page of the copies below `bases`, one base after the other. Blocks.
pub(crate) fn page(bases: &[(Arc<dyn FileSystem>, PathBuf)], request: &ScanRequest) -> Result<ScanPage> {
    let (first_base, after) = parse_after(request.after.as_deref())?;
    let limit = request.limit.clamp(1, PAGE_COPIES_MAX) as usize;
    let mut found: Vec<(usize, Found)> = Vec::new();
    for (number, (file_system, base)) in bases.iter().enumerate().skip(first_base) {
        let after = if number == first_base { after.as_slice() } else { &[] };
        // One more than the page holds tells whether there is another page.
        let wanted = limit + 1 - found.len();
        let mut walk = Walk { file_system: file_system.as_ref(), found: Vec::new(), wanted };
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

struct Walk<'a> {
    file_system: &'a dyn FileSystem,
    found: Vec<Found>,
    wanted: usize,
}

impl Walk<'_> {
    /// Walks the folders of `folder` whose path below the base is greater than `after`. `parts` is that path.
    fn folder(&mut self, folder: &Path, parts: &mut Vec<String>, after: &[String]) -> Result<()> {
        for name in self.sorted_folder_names(folder)? {
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
                if resumed {
                    // The last one of the page before.
                } else if let Some(size_bytes) = self.size_of_copy(&path)? {
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

    fn sorted_folder_names(&self, folder: &Path) -> Result<Vec<String>> {
        let folders = self.list(folder)?.into_iter().filter(|it| it.kind == Kind::Folder && !it.name.starts_with('.'));
        let mut names: Vec<String> = folders.map(|it| it.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Bytes of all files of a copy, or `None` where it is not complete.
    fn size_of_copy(&self, folder: &Path) -> Result<Option<u64>> {
        let listed = self.list(folder)?;
        let len = |name: &str| {
            listed.iter().find(|it| it.name == name).and_then(|it| match it.kind {
                Kind::File(len) => Some(len),
                Kind::Folder => None,
            })
        };
        let complete = [DATA, INDEX].iter().all(|name| len(name).is_some_and(|len| len > 0));
        let names = [DATA, INDEX].into_iter().flat_map(|name| [name.to_owned(), side_file_name(name)]);
        Ok(complete.then(|| names.filter_map(|name| len(&name)).sum()))
    }

    /// What is in `folder`; nothing where it went meanwhile.
    fn list(&self, folder: &Path) -> Result<Vec<Listed>> {
        match self.file_system.list(folder) {
            Err(e) if is_absent(&e) => Ok(Vec::new()),
            listed => listed.map_err(io_error(format_args!("list folder {}", folder.display()))),
        }
    }
}
