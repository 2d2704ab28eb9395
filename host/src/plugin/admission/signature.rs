//! Detached signatures: `NAME.so.sig` beside `NAME.so`, ed25519 over the file's bytes, made and checked with stock tools.
//!
//! The signature file has the 64 bytes as `openssl pkeyutl -sign -rawin` writes them, or their base64 text. A key is a file
//! `NAME.pem` with one ed25519 public key (`-----BEGIN PUBLIC KEY-----`, as `openssl pkey -pubout` writes it); its name without
//! the ending is what reports call the signer. A signature counts when any one key confirms it, so that keys are changed by
//! adding the new one, signing again, and removing the old one.
//!
//! The check is the strict one: a malleable signature or a weak key confirms nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{PUBLIC_KEY_LENGTH, SIGNATURE_LENGTH, Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::owners::{Owners, Subject};
use super::trusted_file;

/// The most bytes of a signature file.
const SIGNATURE_BYTES_MAX: u64 = 4096;
/// The most bytes of a key file.
const KEY_BYTES_MAX: u64 = 16 << 10;
/// The most keys of a folder; each costs one check of each signed file.
const KEYS_MAX: usize = 64;
/// The ending of a key's file.
const KEY_ENDING: &str = "pem";
/// What follows a plugin's whole name in its signature's.
pub(super) const SIGNATURE_ENDING: &str = ".sig";

/// The marks around a public key.
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";
/// A `SubjectPublicKeyInfo` of ed25519 (RFC 8410, OID 1.3.101.112) up to its 32 bytes of key.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The keys of a folder, by name.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_name: BTreeMap<String, VerifyingKey>,
    /// Key files that confirm nothing, and why.
    pub(super) problems: Vec<String>,
    /// Over names and keys, so that a change shows.
    pub(super) digest: [u8; 32],
}

impl Keys {
    /// Reads every key of `folder`. What cannot be read or is not believed is a problem, and confirms nothing.
    pub(super) fn read(folder: &Path, owners: &Owners) -> Self {
        let mut keys = Self::default();
        if let Err(denial) = owners.check_chain(folder, Subject::Policy) {
            keys.problems.push(denial.to_string());
        } else if let Err(error) = keys.read_folder(folder, owners) {
            keys.problems.push(format!("{} cannot be listed: {error}", folder.display()));
        } else if keys.by_name.is_empty() && keys.problems.is_empty() {
            keys.problems.push(format!("{} has no key, a file NAME.{KEY_ENDING}", folder.display()));
        }
        let mut digest = Sha256::new();
        for (name, key) in &keys.by_name {
            digest.update((name.len() as u64).to_le_bytes());
            digest.update(name);
            digest.update(key.as_bytes());
        }
        keys.digest = digest.finalize().into();
        keys
    }

    fn read_folder(&mut self, folder: &Path, owners: &Owners) -> io::Result<()> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == KEY_ENDING) {
                paths.push(path);
            }
            if paths.len() > KEYS_MAX {
                self.problems.push(format!("{} has more than {KEYS_MAX} keys; none is used", folder.display()));
                return Ok(());
            }
        }
        paths.sort();
        for path in paths {
            match read_key(&path, owners) {
                Ok(key) => {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    self.by_name.insert(name, key);
                }
                Err(problem) => self.problems.push(format!("{}: {problem}", path.display())),
            }
        }
        Ok(())
    }

    /// The first key, by name, that confirms `signature` over `bytes`.
    pub(super) fn signer(&self, signature: &[u8; SIGNATURE_LENGTH], bytes: &[u8]) -> Option<&str> {
        let signature = Signature::from_bytes(signature);
        let confirms = |key: &VerifyingKey| key.verify_strict(bytes, &signature).is_ok();
        self.by_name.iter().find(|(_, key)| confirms(key)).map(|(name, _)| name.as_str())
    }

    /// The names of the keys, for a sentence.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        if names.is_empty() { "no key".to_owned() } else { names.join(", ") }
    }
}

/// Where the signature of `plugin` lies.
pub fn signature_path(plugin: &Path) -> PathBuf {
    let mut name = OsString::from(plugin);
    name.push(SIGNATURE_ENDING);
    name.into()
}

/// The bytes of a plugin's signature file; `None` where there is none.
pub(super) fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match trusted_file::read(path, SIGNATURE_BYTES_MAX) {
        Ok(content) => Ok(Some(content.bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The signature in a signature file's bytes: raw, or base64 with blanks and line breaks anywhere.
pub(super) fn parse(bytes: &[u8]) -> Option<[u8; SIGNATURE_LENGTH]> {
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn read_key(path: &Path, owners: &Owners) -> Result<VerifyingKey, String> {
    let content = trusted_file::read(path, KEY_BYTES_MAX).map_err(|e| e.to_string())?;
    let subject = Subject::Policy(path.display().to_string());
    owners.check(subject, content.ownership).map_err(|denial| denial.to_string())?;
    let text = std::str::from_utf8(&content.bytes).map_err(|_| "it is not text")?;
    parse_key(text)
}

fn parse_key(pem: &str) -> Result<VerifyingKey, String> {
    if pem.contains("PRIVATE KEY-----") {
        return Err("it holds a private key, which signs; keep it away from here and write the public one with \
                    `openssl pkey -in KEY -pubout`"
            .to_owned());
    }
    let wanted = "an ed25519 public key is wanted, as `openssl pkey -in KEY -pubout` writes it";
    let (_, after) = pem.split_once(PEM_BEGIN).ok_or_else(|| format!("it has no `{PEM_BEGIN}`; {wanted}"))?;
    let (inside, rest) = after.split_once(PEM_END).ok_or_else(|| format!("it has no `{PEM_END}`; {wanted}"))?;
    if rest.contains(PEM_BEGIN) {
        return Err("it has more than one key; give each a file, whose name then says who signed".to_owned());
    }
    let text: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(text).map_err(|e| format!("its base64 cannot be read: {e}"))?;
    let key: &[u8; PUBLIC_KEY_LENGTH] = der
        .strip_prefix(&SPKI_PREFIX)
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| format!("it is a key of another kind; {wanted}"))?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| "its bytes are no point of the curve".to_owned())?;
    if key.is_weak() { Err("it is a weak key, which would confirm anything".to_owned()) } else { Ok(key) }
}

#[cfg(test)]
pub(super) mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    /// A signer that is the same in each run.
    pub(in crate::plugin) fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    /// The PEM text of its public key.
    pub(in crate::plugin) fn pem(key: &SigningKey) -> String {
        let der = [&SPKI_PREFIX[..], key.verifying_key().as_bytes()].concat();
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der))
    }

    fn keys(files: &[(&str, &str)]) -> Keys {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Keys::read(folder.path(), &Owners::read(&["root".to_owned(), "self".to_owned()]).0)
    }

    #[test]
    fn whoever_signed_is_named() {
        let (alice, bob, eve) = (signing_key(1), signing_key(2), signing_key(3));
        let keys = keys(&[("alice.pem", &pem(&alice)), ("bob.pem", &pem(&bob)), ("README", "no key")]);
        assert_eq!(keys.problems, Vec::<String>::new());
        let signed = |key: &SigningKey| key.sign(b"plugin").to_bytes();
        assert_eq!(keys.signer(&signed(&alice), b"plugin"), Some("alice"));
        assert_eq!(keys.signer(&signed(&bob), b"plugin"), Some("bob"));
        assert_eq!(keys.signer(&signed(&eve), b"plugin"), None);
        assert_eq!(keys.signer(&signed(&bob), b"plugim"), None);
    }

    #[test]
    fn raw_and_base64_are_read_and_nothing_else() {
        let raw = signing_key(1).sign(b"x").to_bytes();
        let text = STANDARD.encode(raw);
        let folded = format!("{}\n{}\n", &text[..64], &text[64..]);
        for bytes in [&raw[..], text.as_bytes(), folded.as_bytes()] {
            assert_eq!(parse(bytes), Some(raw));
        }
        for bytes in [&raw[1..], b"", &text.as_bytes()[..80], &[0xff; 88]] {
            assert_eq!(parse(bytes), None);
        }
    }

    #[test]
    fn what_is_no_key_is_told_and_confirms_nothing() {
        let good = pem(&signing_key(1));
        let two = format!("{good}{good}");
        let private = good.replace("PUBLIC", "PRIVATE");
        let rsa = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode([0x30; 44]));
        // The neutral element: its signatures are easily made.
        let weak = format!("{PEM_BEGIN}{}{PEM_END}", STANDARD.encode([&SPKI_PREFIX[..], &[1], &[0; 31]].concat()));
        for (text, word) in [
            (two.as_str(), "more than one key"),
            (&private, "private key"),
            (&rsa, "of another kind"),
            (&weak, "weak key"),
            ("ssh-ed25519 AAAA", "openssl pkey"),
            ("-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----", "base64"),
        ] {
            let keys = keys(&[("a.pem", text)]);
            assert_eq!(keys.by_name.len(), 0);
            assert!(keys.problems[0].contains(word), "{word}: {:?}", keys.problems);
        }
        assert!(keys(&[]).problems[0].contains("has no key"));
    }
}
