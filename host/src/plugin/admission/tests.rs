//! The rules together, over real files, and the promise that a fingerprint makes.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use ed25519_dalek::Signer;
use tempfile::TempDir;

use super::signature::tests::{pem, signing_key};
use super::*;
use crate::plugin::inspect;

const BYTES: &[u8] = b"the bytes of a plugin";

/// A folder with `plugins/tape.so`, `keys/alice.pem`, an empty `verdicts` and the settings that name none of them.
struct Place {
    folder: TempDir,
    settings: AdmissionSettings,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plugins", "keys", "verdicts"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let place = Self { folder, settings: AdmissionSettings::default() };
        place.put("plugins/tape.so", BYTES);
        place.put("keys/alice.pem", pem(&signing_key(1)).as_bytes());
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
        set_permissions(self.at(name), Permissions::from_mode(0o644)).unwrap();
    }

    fn image(&self) -> Image {
        inspect::read(&self.at("plugins/tape.so"), 1 << 20).unwrap()
    }

    fn policy(&self) -> Policy {
        Policy::read(&self.settings)
    }

    fn admit(&self) -> Result<Admission, Denial> {
        self.policy().admit(&self.at("plugins/tape.so"), &self.image())
    }

    fn fingerprint(&self) -> Fingerprint {
        let image = self.image();
        self.policy().fingerprint(&self.at("plugins/tape.so"), image.ownership, &image.sha256)
    }

    /// What the folder is judged by, before and after `change`; equal fingerprints must mean equal judgements.
    fn changes(&self, change: impl FnOnce()) -> bool {
        let before = (self.fingerprint(), self.admit());
        change();
        let after = (self.fingerprint(), self.admit());
        assert!(before.0 != after.0 || before.1 == after.1, "{before:?} became {after:?}");
        before.0 != after.0
    }

    fn verdict(&self, passed: bool) -> Verdict {
        Verdict {
            sha256: self.image().sha256_hex(),
            passed,
            reason: "signal 6 (SIGABRT)".to_owned(),
            host: this_host(),
            verified_at: "2026-01-02T03:04:05Z".to_owned(),
        }
    }
}

#[test]
fn without_settings_everything_of_ours_is_admitted() {
    let place = Place::new();
    assert_eq!(place.policy().problems(), Vec::<String>::new().as_slice());
    assert_eq!(place.admit(), Ok(Admission::default()));
}

#[test]
fn a_file_or_folder_that_everybody_may_write_is_refused() {
    let place = Place::new();
    set_permissions(place.at("plugins/tape.so"), Permissions::from_mode(0o646)).unwrap();
    assert!(matches!(place.admit(), Err(Denial::EverybodyWrites { subject: Subject::Plugin, mode: 0o646, .. })));
    set_permissions(place.at("plugins/tape.so"), Permissions::from_mode(0o644)).unwrap();
    set_permissions(place.at("plugins"), Permissions::from_mode(0o1777)).unwrap();
    assert!(matches!(place.admit(), Err(Denial::EverybodyWrites { subject: Subject::Folder(_), mode: 0o1777, .. })));
    set_permissions(place.at("plugins"), Permissions::from_mode(0o755)).unwrap();
    set_permissions(place.at(""), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(place.admit(), Err(Denial::EverybodyWrites { subject: Subject::Above(_), mode: 0o777, .. })));
}

#[test]
fn an_allow_list_admits_by_hash_and_a_spoilt_one_nothing() {
    let mut place = Place::new();
    place.settings.allow_list = Some(place.at("allowed"));
    let hex = place.image().sha256_hex();
    for (list, word) in [
        (None, Some("offloadersAllowlistFile=")),
        (Some(String::new()), Some("is not in offloadersAllowlistFile=")),
        (Some(format!("{hex}  any-name.so\n")), None),
        (Some(format!("{hex}\nnonsense\n")), Some("allowed:2: `nonsense` is not a SHA-256")),
        (Some("\u{fffd}".repeat(9)), Some("allowed:1: ")),
    ] {
        if let Some(list) = &list {
            place.put("allowed", list.as_bytes());
        }
        let judged = place.admit();
        let text = judged.as_ref().map_err(Denial::to_string).err();
        assert_eq!(judged.is_ok(), word.is_none(), "{list:?}: {text:?}");
        assert!(word.is_none_or(|word| text.as_ref().unwrap().contains(word)), "{list:?}: {text:?}");
    }
    place.put("allowed", format!("{hex}\n").as_bytes());
    set_permissions(place.at("allowed"), Permissions::from_mode(0o666)).unwrap();
    let text = place.admit().unwrap_err().to_string();
    assert!(text.contains("everybody may write") && text.contains("allowed"), "{text}");
}

#[test]
fn signatures_are_required_confirmed_and_named() {
    let mut place = Place::new();
    place.settings.require_signature = true;
    assert!(matches!(place.admit(), Err(Denial::Policy(text)) if text.contains("offloadersSignatureKeysDirectory")));
    place.settings.keys_directory = Some(place.at("keys"));
    let denial = place.admit().unwrap_err();
    assert!(matches!(&denial, Denial::Unsigned { keys, .. } if keys == "alice"), "{denial}");
    place.put("plugins/tape.so.sig", &signing_key(1).sign(BYTES).to_bytes());
    assert_eq!(place.admit(), Ok(Admission { signed_by: Some("alice".to_owned()) }));
    place.put("plugins/tape.so.sig", b"nonsense");
    assert!(matches!(place.admit(), Err(Denial::SignatureUnreadable { .. })));
}

#[test]
fn a_wrong_signature_is_refused_though_none_is_required() {
    let mut place = Place::new();
    place.put("plugins/tape.so.sig", &signing_key(2).sign(BYTES).to_bytes());
    assert!(place.admit().is_ok(), "without keys a signature says nothing");
    place.settings.keys_directory = Some(place.at("keys"));
    assert!(matches!(place.admit(), Err(Denial::SignatureWrong { .. })));
    fs::remove_file(place.at("plugins/tape.so.sig")).unwrap();
    assert!(place.admit().is_ok());
}

#[test]
fn keys_that_others_may_write_confirm_nothing() {
    let mut place = Place::new();
    place.settings.keys_directory = Some(place.at("keys"));
    place.put("plugins/tape.so.sig", &signing_key(1).sign(BYTES).to_bytes());
    assert!(place.admit().is_ok());
    set_permissions(place.at("keys/alice.pem"), Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(place.admit(), Err(Denial::SignatureWrong { .. })));
    assert!(place.policy().problems()[0].contains("everybody may write"), "{:?}", place.policy().problems());
    set_permissions(place.at("keys/alice.pem"), Permissions::from_mode(0o644)).unwrap();
    set_permissions(place.at("keys"), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(place.admit(), Err(Denial::SignatureWrong { .. })));
}

#[test]
fn verdicts_are_by_content_and_by_host() {
    let mut place = Place::new();
    place.settings.require_verdict = true;
    assert!(matches!(place.admit(), Err(Denial::Policy(text)) if text.contains("offloadersVerdictsDirectory")));
    place.settings.verdicts_directory = Some(place.at("verdicts"));
    assert!(matches!(place.admit(), Err(Denial::VerdictMissing { .. })));
    place.verdict(true).record(&place.at("verdicts")).unwrap();
    assert_eq!(place.admit(), Ok(Admission::default()));
    let older = Verdict { host: "longshore 0.0.1 with plugin API 1.0.0".to_owned(), ..place.verdict(true) };
    older.record(&place.at("verdicts")).unwrap();
    assert!(matches!(place.admit(), Err(Denial::VerdictStale { .. })));
    place.settings.require_verdict = false;
    assert!(place.admit().is_ok());
    // A failure counts whoever found it, and only for the content that failed.
    Verdict { passed: false, ..older }.record(&place.at("verdicts")).unwrap();
    let denial = place.admit().unwrap_err().to_string();
    assert!(denial.contains("signal 6 (SIGABRT)") && denial.contains("2026-01-02"), "{denial}");
    place.put("plugins/tape.so", b"repaired");
    assert!(place.admit().is_ok());
    let other = Verdict { sha256: "00".repeat(32), ..place.verdict(true) };
    fs::copy(
        other.record(&place.at("verdicts")).unwrap(),
        verdict_path(&place.at("verdicts"), &place.image().sha256_hex()),
    )
    .unwrap();
    assert!(matches!(place.admit(), Err(Denial::VerdictUnreadable { .. })));
}

#[test]
fn a_fingerprint_changes_with_what_concerns_the_file_and_with_nothing_else() {
    let mut place = Place::new();
    let hex = place.image().sha256_hex();
    let other = "00".repeat(32);
    place.put("allowed", hex.as_bytes());
    place.settings = AdmissionSettings {
        allow_list: Some(place.at("allowed")),
        keys_directory: Some(place.at("keys")),
        verdicts_directory: Some(place.at("verdicts")),
        ..AdmissionSettings::default()
    };
    let bob = || pem(&signing_key(2));
    assert!(!place.changes(|| ()), "nothing");
    assert!(!place.changes(|| place.put("allowed", format!("{other}\n{hex}\n").as_bytes())), "another file is allowed");
    assert!(!place.changes(|| place.put("keys/bob.pem", bob().as_bytes())), "a key, for an unsigned file");
    let verdict = place.verdict(true);
    let elsewhere = Verdict { sha256: other, ..verdict.clone() };
    assert!(!place.changes(|| drop(elsewhere.record(&place.at("verdicts")))), "a verdict on another file");
    assert!(place.changes(|| drop(verdict.record(&place.at("verdicts")))), "a verdict on it");
    assert!(place.changes(|| place.put("plugins/tape.so.sig", &signing_key(2).sign(BYTES).to_bytes())), "a signature");
    assert!(place.changes(|| fs::remove_file(place.at("keys/bob.pem")).unwrap()), "a key, for a signed file");
    assert!(place.changes(|| fs::remove_file(place.at("plugins/tape.so.sig")).unwrap()), "no signature");
    assert!(place.changes(|| place.put("allowed", b"")), "it is not allowed any more");
    assert!(place.changes(|| place.put("allowed", b"nonsense")), "the list is spoilt");
    place.put("allowed", hex.as_bytes());
    assert!(
        place.changes(|| set_permissions(place.at("plugins"), Permissions::from_mode(0o777)).unwrap()),
        "its folder"
    );
    set_permissions(place.at("plugins"), Permissions::from_mode(0o755)).unwrap();
    assert!(
        place.changes(|| set_permissions(place.at("verdicts"), Permissions::from_mode(0o777)).unwrap()),
        "verdicts"
    );
}
