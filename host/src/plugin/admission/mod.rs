//! The operator's policy: which of the files that could be loaded may be.
//!
//! Four rules, asked in this order, each about the bytes that were read and that `load` will open: who owns and may write the
//! file ([`owners`]), whether its hash is listed ([`allow_list`]), whether a trusted key signed it ([`signature`]), what verifying
//! it found out ([`verdict`]). The first two settle what the last two cost.
//!
//! A rule that is asked for and cannot be read admits nothing: no mistake in a policy opens a door. Everything is read when the
//! policy is, except what lies beside or about one file (its signature, its verdict), which is read when that file is judged.
//! [`Policy::fingerprint`] covers all of it, so that a later look at the folder judges again exactly the files that a change
//! concerns. Nothing is kept in memory between two policies, and nothing is written but verdicts.

mod allow_list;
mod denial;
mod owners;
mod signature;
mod trusted_file;
mod verdict;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use self::allow_list::AllowList;
pub use self::denial::Denial;
use self::owners::Owners;
pub use self::owners::{ANY, Ownership, ROOT, SELF, Subject};
use self::signature::Keys;
pub use self::signature::signature_path;
pub use self::verdict::{REASON_CHARS_MAX, Verdict, this_host, verdict_path};
use super::inspect::Image;

/// What the operator asks for. The names of the configuration keys stand at the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// `offloadersAllowlistFile`: hashes of the files that may be loaded; without it every hash may.
    pub allow_list: Option<PathBuf>,
    /// `offloadersSignatureKeysDirectory`: public keys of those whose signatures count; without it none is looked at.
    pub keys_directory: Option<PathBuf>,
    /// `offloadersRequireSignature`: whether a file without a signature is refused.
    pub require_signature: bool,
    /// `offloadersVerdictsDirectory`: what `offloaders verify --record` found out; a file that failed there is refused.
    pub verdicts_directory: Option<PathBuf>,
    /// `offloadersRequireVerdict`: whether a file that was not verified by this version is refused.
    pub require_verdict: bool,
    /// `offloadersAllowedOwners`: users whose files are believed: names, numbers, [`ROOT`], [`SELF`], [`ANY`].
    pub allowed_owners: Vec<String>,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            allow_list: None,
            keys_directory: None,
            require_signature: false,
            verdicts_directory: None,
            require_verdict: false,
            allowed_owners: vec![ROOT.to_owned(), SELF.to_owned()],
        }
    }
}

/// The rules, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Who owns and may write the file and its folders.
    Owner,
    /// The allow-list.
    AllowList,
    /// The detached signature.
    Signature,
    /// The recorded verdict.
    Verdict,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::AllowList => "allow-list",
            Self::Signature => "signature",
            Self::Verdict => "verdict",
        })
    }
}

/// How a rule judged one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is satisfied; the text says by what.
    Satisfied(String),
    /// The policy does not ask for it; the text says what is there all the same.
    NotAsked(String),
    /// It refuses the file.
    Denied(Denial),
}

/// One rule's judgement of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The rule.
    pub rule: Rule,
    /// What it says.
    pub ruling: Ruling,
    /// For the signature: the name of the key that confirms it.
    pub signed_by: Option<String>,
}

/// An admitted file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The name of the key whose signature it bears.
    pub signed_by: Option<String>,
}

/// Everything that can change the judgement of one file, in 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl AsRef<[u8]> for Fingerprint {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The policy as it stood when it was read.
#[derive(Debug)]
pub struct Policy {
    settings: AdmissionSettings,
    owners: Owners,
    /// Present where one is asked for.
    allow_list: Option<Result<AllowList, String>>,
    keys: Option<Keys>,
    problems: Vec<String>,
}

impl Policy {
    /// Reads what `settings` name. Never fails: what cannot be read is told by [`problems`](Self::problems) and admits nothing.
    /// Reads files, so call it where blocking is allowed.
    pub fn read(settings: &AdmissionSettings) -> Self {
        let (owners, mut problems) = Owners::read(&settings.allowed_owners);
        let allow_list = settings.allow_list.as_deref().map(|path| read_allow_list(path, &owners));
        let keys = settings.keys_directory.as_deref().map(|folder| Keys::read(folder, &owners));
        if let Some(Err(problem)) = &allow_list {
            problems.push(problem.clone());
        }
        for problem in keys.iter().flat_map(|keys| &keys.problems) {
            problems.push(format!("offloadersSignatureKeysDirectory: {problem}"));
        }
        let mut policy = Self { settings: settings.clone(), owners, allow_list, keys, problems };
        policy.problems.extend(policy.keys_missing().err());
        policy.problems.extend(policy.verdicts_missing().err());
        policy
    }

    /// Everything about the policy itself that somebody should see to.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Decides whether `image`, which was read from `path`, may be loaded.
    ///
    /// # Errors
    /// The first rule that refuses it.
    pub fn admit(&self, path: &Path, image: &Image) -> Result<Admission, Denial> {
        let mut admission = Admission::default();
        for rule in [Rule::Owner, Rule::AllowList, Rule::Signature, Rule::Verdict] {
            let judgement = self.judge(rule, path, image);
            if let Ruling::Denied(denial) = judgement.ruling {
                return Err(denial);
            }
            admission.signed_by = admission.signed_by.or(judgement.signed_by);
        }
        Ok(admission)
    }

    /// What every rule says of `image`, which was read from `path`.
    pub fn judge_all(&self, path: &Path, image: &Image) -> Vec<Judgement> {
        [Rule::Owner, Rule::AllowList, Rule::Signature, Rule::Verdict].map(|rule| self.judge(rule, path, image)).into()
    }

    /// Everything but the bytes that decides on the file at `path` with this owner and content. Equal fingerprints mean equal
    /// judgements; it costs a few looks at the file system and reads nothing but the signature and the verdict.
    pub fn fingerprint(&self, path: &Path, ownership: Ownership, sha256: &[u8; 32]) -> Fingerprint {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        add(sha256);
        add(format!("{:?}", self.settings).as_bytes());
        add(format!("{:?}", self.owner(path, ownership)).as_bytes());
        add(format!("{:?}", self.listed(sha256)).as_bytes());
        if let Some(keys) = &self.keys {
            let signature = signature::read_file(&signature_path(path)).map_err(|e| e.to_string());
            // Without a signature no key can matter.
            if signature != Ok(None) {
                add(&keys.digest);
            }
            add(format!("{signature:?}").as_bytes());
        }
        if let Some(directory) = &self.settings.verdicts_directory {
            let bytes = Verdict::read_bytes(&verdict_path(directory, &hex(sha256)), &self.owners);
            add(format!("{bytes:?}").as_bytes());
            add(format!("{:?}", self.verdicts_missing()).as_bytes());
        }
        Fingerprint(digest.finalize().into())
    }

    fn judge(&self, rule: Rule, path: &Path, image: &Image) -> Judgement {
        let mut signed_by = None;
        let ruling = match rule {
            Rule::Owner => self.owner(path, image.ownership),
            Rule::AllowList => self.listed(&image.sha256),
            Rule::Signature => self.signature(path, &image.bytes).map(|(ruling, signer)| {
                signed_by = signer;
                ruling
            }),
            Rule::Verdict => self.verdict(&image.sha256),
        };
        Judgement { rule, ruling: ruling.unwrap_or_else(Ruling::Denied), signed_by }
    }

    fn owner(&self, path: &Path, ownership: Ownership) -> Result<Ruling, Denial> {
        self.owners.check(Subject::Plugin, ownership)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.owners.check_chain(folder, Subject::Folder)?;
        let Ownership { uid, mode, .. } = ownership;
        Ok(Ruling::Satisfied(format!("it belongs to user {uid}, mode {mode:o}")))
    }

    fn listed(&self, sha256: &[u8; 32]) -> Result<Ruling, Denial> {
        let (Some(list), Some(path)) = (&self.allow_list, &self.settings.allow_list) else {
            return Ok(Ruling::NotAsked("no offloadersAllowlistFile".to_owned()));
        };
        let list = list.as_ref().map_err(|problem| Denial::Policy(problem.clone()))?;
        if list.contains(sha256) {
            return Ok(Ruling::Satisfied(format!("its hash is in {}", path.display())));
        }
        Err(Denial::NotListed { sha256: hex(sha256), list: path.display().to_string() })
    }

    /// The ruling, and who signed.
    fn signature(&self, path: &Path, bytes: &[u8]) -> Result<(Ruling, Option<String>), Denial> {
        let path = signature_path(path);
        let shown = path.display().to_string();
        let unreadable = |problem: String| Denial::SignatureUnreadable { path: shown.clone(), problem };
        let Some(keys) = &self.keys else {
            self.keys_missing().map_err(Denial::Policy)?;
            let there =
                if path.exists() { "it has a signature, which is not looked at" } else { "it has no signature" };
            return Ok((Ruling::NotAsked(format!("{there}: no offloadersSignatureKeysDirectory")), None));
        };
        let Some(file) = signature::read_file(&path).map_err(|e| unreadable(e.to_string()))? else {
            if self.settings.require_signature {
                return Err(Denial::Unsigned { path: shown, keys: keys.names() });
            }
            return Ok((Ruling::NotAsked("it has no signature, and none is required".to_owned()), None));
        };
        let signature = signature::parse(&file)
            .ok_or_else(|| unreadable("it has neither 64 bytes nor the base64 of them".to_owned()))?;
        match keys.signer(&signature, bytes) {
            Some(signer) => Ok((Ruling::Satisfied(format!("signed by {signer}")), Some(signer.to_owned()))),
            None => Err(Denial::SignatureWrong { path: shown, keys: keys.names() }),
        }
    }

    fn verdict(&self, sha256: &[u8; 32]) -> Result<Ruling, Denial> {
        self.verdicts_missing().map_err(Denial::Policy)?;
        let Some(directory) = &self.settings.verdicts_directory else {
            return Ok(Ruling::NotAsked("no offloadersVerdictsDirectory".to_owned()));
        };
        let (sha256, shown) = (hex(sha256), directory.display().to_string());
        let path = verdict_path(directory, &sha256);
        let unreadable = |problem: String| Denial::VerdictUnreadable { path: path.display().to_string(), problem };
        let Some(bytes) = Verdict::read_bytes(&path, &self.owners).map_err(unreadable)? else {
            if self.settings.require_verdict {
                return Err(Denial::VerdictMissing { sha256, directory: shown });
            }
            return Ok(Ruling::NotAsked("nobody has verified it, and nobody must".to_owned()));
        };
        let verdict = Verdict::parse(&bytes, &sha256).map_err(unreadable)?;
        let Verdict { reason, host, verified_at, .. } = verdict;
        if !verdict.passed {
            return Err(Denial::VerdictFailed { when: verified_at, reason, directory: shown });
        }
        if host != this_host() && self.settings.require_verdict {
            return Err(Denial::VerdictStale { by: host, ours: this_host(), directory: shown });
        }
        Ok(Ruling::Satisfied(format!("verified on {verified_at} by {host}")))
    }

    /// Whether keys are asked for and not named.
    fn keys_missing(&self) -> Result<(), String> {
        if self.settings.require_signature && self.settings.keys_directory.is_none() {
            return Err("offloadersRequireSignature=true needs offloadersSignatureKeysDirectory".to_owned());
        }
        Ok(())
    }

    /// Whether verdicts are asked for and not named, or kept where others may write.
    fn verdicts_missing(&self) -> Result<(), String> {
        match &self.settings.verdicts_directory {
            None if self.settings.require_verdict => {
                Err("offloadersRequireVerdict=true needs offloadersVerdictsDirectory".to_owned())
            }
            // One that is not there yet has no verdicts.
            Some(directory) if directory.exists() => self
                .owners
                .check_chain(directory, Subject::Policy)
                .map_err(|denial| format!("offloadersVerdictsDirectory: {denial}")),
            _ => Ok(()),
        }
    }
}

/// Reads the allow-list; the error names the file and, where one is wrong, the line.
fn read_allow_list(path: &Path, owners: &Owners) -> Result<AllowList, String> {
    let shown = path.display().to_string();
    let content = trusted_file::read(path, allow_list::LIST_BYTES_MAX)
        .map_err(|error| format!("offloadersAllowlistFile={shown}: {error}"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    owners
        .check(Subject::Policy(shown.clone()), content.ownership)
        .and_then(|()| owners.check_chain(folder, Subject::Policy))
        .map_err(|denial| format!("offloadersAllowlistFile={shown}: {denial}"))?;
    let text =
        std::str::from_utf8(&content.bytes).map_err(|_| format!("offloadersAllowlistFile={shown}: it is not UTF-8"))?;
    let list = AllowList::parse(text).map_err(|(line, problem)| format!("{shown}:{line}: {problem}"))?;
    if list.len() == 0 {
        tracing::warn!(list = shown, "the allow-list is empty: no offloader will be loaded");
    }
    Ok(list)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
