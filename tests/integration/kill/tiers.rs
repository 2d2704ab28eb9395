//! What really lies in the cold tiers, whoever knows of it: folders of two drivers, and a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Where one driver keeps its copies.
pub(super) enum Tier {
    /// Driver `filesystem`, below this folder.
    FileSystem(PathBuf),
    /// Driver `example-folder`, in this folder.
    Example(PathBuf),
    /// Driver `aws-s3`.
    Bucket(Bucket),
}

impl Tier {
    pub(super) fn driver(&self) -> &'static str {
        match self {
            Self::FileSystem(_) => "filesystem",
            Self::Example(_) => "example-folder",
            Self::Bucket(_) => "aws-s3",
        }
    }

    /// Complete copies as `ledger-uid`; anything else that lies there by a name that no copy has.
    pub(super) fn copies(&self, topics: &[&str]) -> Result<BTreeSet<String>> {
        match self {
            Self::FileSystem(root) => {
                let of_topic = |topic: &&str| names(&root.join("public/default/persistent").join(topic));
                Ok(topics.iter().flat_map(of_topic).collect())
            }
            Self::Example(folder) => {
                let is_whole = |name: &String| folder.join(name).join("ledger").is_file();
                let told = |name: String| if is_whole(&name) { name } else { format!("part {name}") };
                Ok(names(folder).into_iter().map(told).collect())
            }
            Self::Bucket(bucket) => bucket.copies(),
        }
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A bucket of one's own on the server that the environment names.
pub(super) struct Bucket {
    pub(super) endpoint: String,
    pub(super) name: String,
    pub(super) access_key: String,
    pub(super) secret_key: String,
}

/// Pages of a listing; each has up to 1000 rows.
const PAGES_MAX: usize = 100;

impl Bucket {
    /// `None`, which is said, where no server is named and none is required.
    pub(super) fn of_environment(name: &str) -> Option<Self> {
        let value =
            |what: &str| std::env::var(format!("LONGSHORE_TEST_S3_{what}")).ok().filter(|value| !value.is_empty());
        let bucket = (|| {
            let name = format!("{name}-{:08x}", fastrand::u32(..));
            let (access_key, secret_key) = (value("ACCESS_KEY")?, value("SECRET_KEY")?);
            Some(Self { endpoint: value("ENDPOINT")?, name, access_key, secret_key })
        })();
        if bucket.is_none() {
            let required = std::env::var("LONGSHORE_REQUIRE_SERVERS").unwrap_or_default();
            let is_required = required.split_whitespace().any(|name| name == "S3" || name == "all");
            assert!(!is_required, "LONGSHORE_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY are not set");
            eprintln!("skipped: no server S3: scripts/servers/seaweedfs starts one and prints its variables");
        }
        bucket
    }

    /// A request as no driver makes it; the body of its answer.
    fn ask(&self, method: &str, query: &str) -> Result<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/servers/s3req");
        let target = format!("/{}{query}", self.name);
        let mut command = Command::new(script);
        command.args([&self.endpoint, &self.access_key, &self.secret_key, method, &target]);
        let output = command.output().context("run scripts/servers/s3req, which needs python3")?;
        ensure!(output.status.success(), "{method} {target}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes it.
    pub(super) fn make(&self) -> Result<()> {
        self.ask("PUT", "").map(|_| ())
    }

    fn keys(&self) -> Result<BTreeSet<String>> {
        let (mut keys, mut next) = (BTreeSet::new(), String::new());
        for _ in 0..PAGES_MAX {
            let page = self.ask("GET", &format!("?list-type=2{next}"))?;
            keys.extend(elements(&page, "Key"));
            match elements(&page, "NextContinuationToken").next() {
                Some(token) => next = format!("&continuation-token={}", encoded(&token)),
                None => return Ok(keys),
            }
        }
        bail!("bucket {} has more than {PAGES_MAX} pages", self.name)
    }

    /// A copy is a pair of objects; an object without the other, any other object and an open upload keep their names.
    fn copies(&self) -> Result<BTreeSet<String>> {
        let keys = self.keys()?;
        let uploads = self.ask("GET", "?uploads=")?;
        let mut found: BTreeSet<String> =
            elements(&uploads, "UploadId").map(|id| format!("open upload {id}")).collect();
        let mut halves: BTreeMap<String, usize> = BTreeMap::new();
        for key in keys {
            let data = key.strip_suffix("-index").unwrap_or(&key);
            match data.split_once("-ledger-") {
                Some((uid, ledger)) => *halves.entry(format!("{ledger}-{uid}")).or_default() += 1,
                None => drop(found.insert(format!("object {key}"))),
            }
        }
        found.extend(halves.into_iter().map(|(name, count)| if count == 2 { name } else { format!("half {name}") }));
        Ok(found)
    }
}

/// The texts of an XML answer's elements of that name.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = String> + 'a {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut parts = xml.split(&begin).skip(1).map(str::to_owned).collect::<Vec<_>>();
    parts.iter_mut().for_each(|part| part.truncate(part.find(&end).unwrap_or(0)));
    parts.into_iter()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
