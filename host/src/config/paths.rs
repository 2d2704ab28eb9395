//! Relative paths in keys: where they are looked for, and how a folder becomes a `file:` URI.

use std::path::{Path, PathBuf};

/// Finds the file or folder that `path` (the value of `key`) names: absolute as it is, relative in each search folder.
///
/// # Errors
/// A sentence that names the key and every place that was looked at.
pub fn resolve_existing(key: &str, path: &str, search_folders: &[PathBuf]) -> Result<PathBuf, String> {
    let as_given = Path::new(path);
    let candidates: Vec<PathBuf> = if as_given.is_absolute() || search_folders.is_empty() {
        vec![as_given.to_owned()]
    } else {
        search_folders.iter().map(|folder| folder.join(as_given)).collect()
    };
    if let Some(found) = candidates.iter().find(|candidate| candidate.exists()) {
        return Ok(found.clone());
    }
    let looked: Vec<String> = candidates.iter().map(|candidate| candidate.display().to_string()).collect();
    Err(format!("{key}={path}: nothing at {}", looked.join(" nor at ")))
}

/// `fileSystemURI` with an absolute folder: a value without a scheme is a folder, a relative one is in `working_folder`.
/// Values of other schemes and absolute `file:` URIs stay as they are.
pub fn absolute_file_uri(value: &str, working_folder: &Path) -> String {
    let folder = match value.strip_prefix("file:") {
        Some(rest) if rest.starts_with('/') => return value.to_owned(),
        Some(rest) => rest,
        None if value.contains("://") => return value.to_owned(),
        None => value,
    };
    format!("file://{}", working_folder.join(folder).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_search_folder_that_has_the_path_wins() {
        let work = tempfile::tempdir().unwrap();
        let conf = tempfile::tempdir().unwrap();
        std::fs::write(conf.path().join("p.xml"), "").unwrap();
        let folders = [work.path().to_owned(), conf.path().to_owned()];
        assert_eq!(resolve_existing("k", "p.xml", &folders), Ok(conf.path().join("p.xml")));
        std::fs::write(work.path().join("p.xml"), "").unwrap();
        assert_eq!(resolve_existing("k", "p.xml", &folders), Ok(work.path().join("p.xml")));
        let missing = resolve_existing("k", "q.xml", &folders).unwrap_err();
        let places = folders.each_ref().map(|folder| folder.join("q.xml").display().to_string());
        assert_eq!(missing, format!("k=q.xml: nothing at {} nor at {}", places[0], places[1]));
        assert_eq!(resolve_existing("k", "/no/such", &folders).unwrap_err(), "k=/no/such: nothing at /no/such");
    }

    #[test]
    fn folders_become_file_uris() {
        for (value, expected) in [
            ("data/offloaded", "file:///work/data/offloaded"),
            ("file:data/offloaded", "file:///work/data/offloaded"),
            ("/tier", "file:///tier"),
            ("file:///tier", "file:///tier"),
            ("file:/tier", "file:/tier"),
            ("hdfs://127.0.0.1:9000", "hdfs://127.0.0.1:9000"),
        ] {
            assert_eq!(absolute_file_uri(value, Path::new("/work")), expected, "{value}");
        }
    }
}
