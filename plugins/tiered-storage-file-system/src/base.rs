//! From a base as it is spelled to the store and the folder that it names.

use std::path::PathBuf;

use crate::hdfs::NAMENODE_PORT;

/// What to write instead of a base that cannot be used.
const ADVICE: &str = "use file:///absolute/folder or hdfs://namenode:port/folder";

/// Which store a base is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Store {
    /// This machine, and what it mounts.
    Local,
    /// The HDFS of this NameNode (`host:port`) or name service, as it is spelled.
    Hdfs(String),
}

/// A folder below which ledgers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) store: Store,
    /// Absolute; on HDFS it may also be relative to the user's home folder.
    pub(crate) folder: PathBuf,
}

/// The base that a URI names. `default_fs` gives the NameNode to `hdfs:///folder`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub(crate) fn parse(uri: &str, default_fs: Option<&str>) -> Result<Base, String> {
    match uri.split_once(':') {
        Some(("file", rest)) => local(without_local_authority(rest)),
        Some(("hdfs", rest)) => hdfs(rest, default_fs),
        Some(("viewfs", _)) => Err(format!("viewfs joins several file systems and is not supported: {ADVICE}")),
        Some((scheme @ ("webhdfs" | "swebhdfs" | "hftp" | "hsftp"), _)) => {
            Err(format!("{scheme} is HDFS over HTTP and is not supported: use hdfs://namenode:{NAMENODE_PORT}/folder"))
        }
        Some((scheme, _)) if !scheme.contains('/') => Err(format!("scheme `{scheme}` is not known: {ADVICE}")),
        _ => local(uri),
    }
}

/// The base that an old version of Pulsar knew: a path without a scheme is on the store of `default`, a relative one in the
/// working folder of the broker, or on HDFS in the user's home folder.
///
/// # Errors
/// As [`parse`]; `Ok(None)` for a relative one where the working folder is not known.
pub(crate) fn parse_old(
    path: &str,
    default: &Base,
    default_fs: Option<&str>,
    working_folder: Option<&PathBuf>,
) -> Result<Option<Base>, String> {
    if path.contains(':') || (path.starts_with('/') && default.store == Store::Local) {
        return parse(path, default_fs).map(Some);
    }
    let folder = match default.store {
        Store::Local => working_folder.map(|folder| folder.join(path)),
        Store::Hdfs(_) => Some(PathBuf::from(path)),
    };
    Ok(folder.map(|folder| Base { store: default.store.clone(), folder }))
}

fn without_local_authority(rest: &str) -> &str {
    match rest.strip_prefix("//") {
        Some(with_authority) => with_authority.strip_prefix("localhost").unwrap_or(with_authority),
        None => rest,
    }
}

fn local(path: &str) -> Result<Base, String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(format!("not an absolute folder: {ADVICE}"));
    }
    Ok(Base { store: Store::Local, folder: PathBuf::from(path) })
}

fn hdfs(rest: &str, default_fs: Option<&str>) -> Result<Base, String> {
    let (authority, path) = split_authority(rest);
    let authority = match authority {
        "" => default_fs.and_then(|uri| Some(split_authority(uri.strip_prefix("hdfs:")?).0)).unwrap_or_default(),
        authority => authority,
    };
    if authority.is_empty() {
        return Err("no NameNode is named, here or in fs.defaultFS: use hdfs://namenode:port/folder".to_owned());
    }
    let fits = |character: char| character.is_ascii_alphanumeric() || "-._:[]".contains(character);
    if !authority.chars().all(fits) {
        return Err("the NameNode's name has a character that no host name has: use hdfs://namenode:port".to_owned());
    }
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') || path.contains('\0') || path.split('/').any(|part| part == ".." || part.contains(':')) {
        return Err("not an absolute folder: use hdfs://namenode:port/folder".to_owned());
    }
    Ok(Base { store: Store::Hdfs(authority.to_owned()), folder: PathBuf::from(path) })
}

/// Splits what comes behind `hdfs:`.
fn split_authority(rest: &str) -> (&str, &str) {
    match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn on_hdfs(authority: &str, folder: &str) -> Base {
        Base { store: Store::Hdfs(authority.to_owned()), folder: folder.into() }
    }

    #[test]
    fn local_folders_in_all_their_spellings() {
        for uri in ["file:///a/b", "file:/a/b", "/a/b", "file://localhost/a/b"] {
            let base = parse(uri, None).unwrap();
            assert_eq!((base.store, base.folder.as_path()), (Store::Local, Path::new("/a/b")), "{uri}");
        }
    }

    #[test]
    fn hdfs_names_its_namenode_or_leaves_it_to_the_profile() {
        assert_eq!(parse("hdfs://nn:9000", None), Ok(on_hdfs("nn:9000", "/")));
        assert_eq!(parse("hdfs://cluster/tier", None), Ok(on_hdfs("cluster", "/tier")));
        for uri in ["hdfs:///tier", "hdfs:/tier"] {
            assert_eq!(parse(uri, Some("hdfs://nn:9000/else")), Ok(on_hdfs("nn:9000", "/tier")), "{uri}");
            assert!(parse(uri, Some("file:///")).unwrap_err().contains("no NameNode"), "{uri}");
        }
    }

    #[test]
    fn what_is_no_base_says_what_to_write() {
        for (uri, part) in [
            ("viewfs://cluster/x", "viewfs joins several"),
            ("webhdfs://nn:9870", "use hdfs://namenode:8020"),
            ("s3a://bucket", "scheme `s3a` is not known"),
            ("data/tier", "not an absolute folder"),
            ("file:data", "not an absolute folder"),
            ("file://server/share", "not an absolute folder"),
            ("hdfs://nn:9000/../x", "not an absolute folder"),
            ("hdfs://user@nn:9000/x", "no host name has"),
        ] {
            let problem = parse(uri, None).unwrap_err();
            assert!(problem.contains(part), "{uri}: {problem}");
        }
    }

    #[test]
    fn old_bases_without_a_scheme_are_on_the_default_store() {
        let (local, hdfs) = (parse("/tier", None).unwrap(), on_hdfs("nn:9000", "/"));
        let working = PathBuf::from("/srv/broker");
        let old = |path, default| parse_old(path, default, None, Some(&working)).unwrap().unwrap();
        assert_eq!(old("pulsar", &local).folder, Path::new("/srv/broker/pulsar"));
        assert_eq!(old("/pulsar", &local).folder, Path::new("/pulsar"));
        assert_eq!(old("pulsar", &hdfs), on_hdfs("nn:9000", "pulsar"));
        assert_eq!(old("/pulsar", &hdfs), on_hdfs("nn:9000", "/pulsar"));
        assert_eq!(old("file:///pulsar", &hdfs).store, Store::Local);
    }
}
