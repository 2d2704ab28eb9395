//! Why the policy does not admit a file: each reason a sentence that says what to do.

use super::owners::Subject;

/// Why a file is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// Owned by somebody whose files are not believed.
    #[error(
        "{subject} belongs to user {uid}, believed are {allowed}; run `chown root {target}` after making sure of what it \
         is, or name the user in offloadersAllowedOwners"
    )]
    Owner {
        /// What was looked at.
        subject: Subject,
        /// Its owner.
        uid: u32,
        /// Who would be believed.
        allowed: String,
        /// For the command.
        target: String,
    },
    /// Everybody may write it.
    #[error(
        "everybody may write {subject} (mode {mode:o}); run `chmod o-w {target}` after making sure that it is what you \
         installed"
    )]
    EverybodyWrites {
        /// What was looked at.
        subject: Subject,
        /// Its mode.
        mode: u32,
        /// For the command.
        target: String,
    },
    /// A group beside root's and the broker's own may write it.
    #[error(
        "group {gid} may write {subject} (mode {mode:o}); run `chmod g-w {target}` after making sure that it is what you \
         installed"
    )]
    GroupWrites {
        /// What was looked at.
        subject: Subject,
        /// Its mode.
        mode: u32,
        /// Its group.
        gid: u32,
        /// For the command.
        target: String,
    },
    /// A folder of the chain cannot be looked at.
    #[error("{path} cannot be looked at: {problem}")]
    Unreadable {
        /// Which.
        path: String,
        /// The operating system's words.
        problem: String,
    },
    /// A rule is asked for and cannot be read, so nothing is admitted.
    #[error("the policy cannot be read, so no file is admitted: {0}")]
    Policy(String),
    /// Its hash is not in the list.
    #[error(
        "its sha256 {sha256} is not in offloadersAllowlistFile={list}; after making sure of what it is, add the line that \
         `sha256sum` prints for it"
    )]
    NotListed {
        /// The hash.
        sha256: String,
        /// The list.
        list: String,
    },
    /// A signature is required and there is none.
    #[error("it has no signature {path}, and offloadersRequireSignature=true; sign it with one of: {keys}")]
    Unsigned {
        /// Where the signature should be.
        path: String,
        /// The keys that would do.
        keys: String,
    },
    /// There is a signature, and it cannot be read.
    #[error("its signature {path} cannot be used: {problem}; sign the file again or remove the signature")]
    SignatureUnreadable {
        /// Where it is.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// There is a signature, and no key confirms it.
    #[error(
        "its signature {path} is confirmed by no key (tried: {keys}); the file or the signature is not what was signed, \
         or the signer's key is missing in offloadersSignatureKeysDirectory"
    )]
    SignatureWrong {
        /// Where it is.
        path: String,
        /// The keys that were tried.
        keys: String,
    },
    /// A verdict is required and there is none.
    #[error(
        "nobody has verified it (sha256 {sha256}), and offloadersRequireVerdict=true; run `longshore offloaders verify \
         --record {directory} FILE`"
    )]
    VerdictMissing {
        /// The hash.
        sha256: String,
        /// Where the verdict should be.
        directory: String,
    },
    /// It passed on another version of the host.
    #[error(
        "it was verified by {by}, this is {ours}, and offloadersRequireVerdict=true; run `longshore offloaders verify \
         --record {directory} FILE` again"
    )]
    VerdictStale {
        /// The host that verified it.
        by: String,
        /// This host.
        ours: String,
        /// Where verdicts are.
        directory: String,
    },
    /// It failed when it was verified.
    #[error(
        "it failed when it was verified on {when}: {reason}; if the cause is gone, verify it again with --record {directory}"
    )]
    VerdictFailed {
        /// Time, ISO-8601.
        when: String,
        /// Why.
        reason: String,
        /// Where verdicts are.
        directory: String,
    },
    /// There is a verdict, and it cannot be read.
    #[error("its verdict {path} cannot be used: {problem}; verify it again with --record, or remove the verdict")]
    VerdictUnreadable {
        /// Where it is.
        path: String,
        /// What is wrong.
        problem: String,
    },
}
