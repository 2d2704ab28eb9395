//! Who may own, and who may write, what this process is going to execute or believe.
//!
//! A file is as trustworthy as whoever can change it: its owner, its group where the group may write, everybody where everybody
//! may, and the same again for each folder above it, since who writes a folder replaces what is in it. In a folder with the
//! sticky bit only the owner of an entry replaces it, so that such a folder may stand above, though not hold plugins itself.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Denial;

/// The permission bits that let a group, and everybody, write.
const GROUP_WRITABLE: u32 = 0o020;
const WORLD_WRITABLE: u32 = 0o002;
/// The bit of a folder in which only an entry's owner may replace it.
const STICKY: u32 = 0o1000;
/// The permission bits of a mode, without the kind of file.
const MODE_BITS: u32 = 0o7777;

/// The system's list of users, read for names in `offloadersAllowedOwners`.
const USERS_FILE: &str = "/etc/passwd";
/// The most bytes of [`USERS_FILE`] that are read.
const USERS_BYTES_MAX: u64 = 8 << 20;

/// Word for the user that this process runs as.
pub const SELF: &str = "self";
/// Word for the superuser.
pub const ROOT: &str = "root";
/// Word for any owner.
pub const ANY: &str = "*";

/// Owner, group and mode of a file or folder, as its open handle tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// The owning user's number.
    pub uid: u32,
    /// The owning group's number.
    pub gid: u32,
    /// Permission bits, without the kind of file.
    pub mode: u32,
}

impl From<&Metadata> for Ownership {
    fn from(metadata: &Metadata) -> Self {
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & MODE_BITS }
    }
}

/// What a rule was applied to; the words of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The plugin's file.
    Plugin,
    /// The folder that holds it.
    Folder(String),
    /// A folder above.
    Above(String),
    /// A file or folder that the policy itself is read from.
    Policy(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin => f.write_str("it"),
            Self::Folder(_) => f.write_str("its folder"),
            Self::Above(path) => write!(f, "the folder {path} above it"),
            Self::Policy(path) => f.write_str(path),
        }
    }
}

impl Subject {
    /// What an operator hands to `chmod` and `chown`.
    fn target(&self) -> &str {
        match self {
            Self::Plugin => "FILE",
            Self::Folder(path) | Self::Above(path) | Self::Policy(path) => path,
        }
    }
}

/// Whose files are believed.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    /// `None` is anybody.
    users: Option<BTreeSet<u32>>,
    /// Groups whose members may write as well.
    groups: BTreeSet<u32>,
}

impl Owners {
    /// Reads `offloadersAllowedOwners`: `root`, `self`, names and numbers of users, or `*`. Beside root's group, this process's
    /// own may write, because who is in it is as near to the broker as its user is.
    ///
    /// # Errors
    /// Each name that the system does not know. Such a name allows nobody.
    pub(super) fn read(names: &[String]) -> (Self, Vec<String>) {
        let groups = [0, rustix::process::getegid().as_raw()].into();
        if names.iter().any(|name| name == ANY) {
            return (Self { users: None, groups }, Vec::new());
        }
        let (mut users, mut problems) = (BTreeSet::new(), Vec::new());
        for name in names {
            match number_of(name) {
                Ok(uid) => drop(users.insert(uid)),
                Err(problem) => problems.push(format!("offloadersAllowedOwners names `{name}`: {problem}")),
            }
        }
        (Self { users: Some(users), groups }, problems)
    }

    /// Judges one file or folder.
    ///
    /// # Errors
    /// `Owner`, `EverybodyWrites`, `GroupWrites`.
    pub(super) fn check(&self, subject: Subject, ownership: Ownership) -> Result<(), Denial> {
        let Ownership { uid, gid, mode } = ownership;
        if self.users.as_ref().is_some_and(|users| !users.contains(&uid)) {
            let target = subject.target().to_owned();
            return Err(Denial::Owner { subject, uid, allowed: self.listed(), target });
        }
        if matches!(subject, Subject::Above(_)) && mode & STICKY != 0 {
            return Ok(());
        }
        let target = subject.target().to_owned();
        if mode & WORLD_WRITABLE != 0 {
            return Err(Denial::EverybodyWrites { subject, mode, target });
        }
        if mode & GROUP_WRITABLE != 0 && !self.groups.contains(&gid) {
            return Err(Denial::GroupWrites { subject, mode, gid, target });
        }
        Ok(())
    }

    /// Judges a folder and every folder above it, links resolved.
    ///
    /// # Errors
    /// As [`check`](Self::check); `Unreadable` where a folder cannot be looked at.
    pub(super) fn check_chain(&self, folder: &Path, subject: impl Fn(String) -> Subject) -> Result<(), Denial> {
        let unreadable = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| Denial::Unreadable { path, problem: error.to_string() }
        };
        let real = folder.canonicalize().map_err(unreadable(folder))?;
        for (height, step) in real.ancestors().enumerate() {
            let metadata = std::fs::metadata(step).map_err(unreadable(step))?;
            let shown = step.display().to_string();
            let subject = if height == 0 { subject(shown) } else { Subject::Above(shown) };
            self.check(subject, Ownership::from(&metadata))?;
        }
        Ok(())
    }

    fn listed(&self) -> String {
        let numbers = self.users.iter().flatten().map(u32::to_string).collect::<Vec<_>>();
        if numbers.is_empty() { "nobody".to_owned() } else { format!("users {}", numbers.join(", ")) }
    }
}

fn number_of(name: &str) -> Result<u32, String> {
    match name {
        SELF => Ok(rustix::process::geteuid().as_raw()),
        ROOT => Ok(0),
        _ => match name.parse() {
            Ok(uid) => Ok(uid),
            Err(_) => {
                let users = super::trusted_file::read_text(Path::new(USERS_FILE), USERS_BYTES_MAX)
                    .map_err(|e| format!("{e}; give the user's number"))?;
                user_in(&users, name).ok_or_else(|| format!("no such user in {USERS_FILE}; give the user's number"))
            }
        },
    }
}

/// The number of `name` in a text of `name:password:number:…` lines.
fn user_in(users: &str, name: &str) -> Option<u32> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? == name { fields.nth(1)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(names: &[&str]) -> Owners {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (owners, problems) = Owners::read(&names);
        assert_eq!(problems, Vec::<String>::new());
        owners
    }

    fn folder() -> Subject {
        Subject::Folder("/plugins".to_owned())
    }

    #[test]
    fn the_owner_must_be_named() {
        let someone = Ownership { uid: 4711, gid: 4711, mode: 0o644 };
        let denial = owners(&[ROOT, SELF]).check(Subject::Plugin, someone).unwrap_err();
        assert!(matches!(denial, Denial::Owner { uid: 4711, .. }), "{denial}");
        assert!(denial.to_string().contains("offloadersAllowedOwners"), "{denial}");
        assert_eq!(owners(&["4711"]).check(Subject::Plugin, someone), Ok(()));
        assert_eq!(owners(&[ANY]).check(Subject::Plugin, someone), Ok(()));
        assert!(owners(&["4711"]).check(folder(), Ownership { uid: 0, ..someone }).is_err());
        let root = Ownership { uid: 0, gid: 0, mode: 0o755 };
        assert_eq!(owners(&[ROOT]).check(folder(), root), Ok(()));
    }

    #[test]
    fn writers_beside_the_owner() {
        let egid = rustix::process::getegid().as_raw();
        let other_gid = egid.wrapping_add(4711);
        let table = [
            (Subject::Plugin, other_gid, 0o644, true),
            (Subject::Plugin, other_gid, 0o664, false),
            (Subject::Plugin, egid, 0o664, true),
            (Subject::Plugin, 0, 0o664, true),
            (Subject::Plugin, egid, 0o646, false),
            // Who may add entries may add plugins, sticky or not.
            (folder(), egid, 0o1777, false),
            (folder(), other_gid, 0o1775, false),
            (folder(), egid, 0o775, true),
            (Subject::Above("/tmp".to_owned()), other_gid, 0o1777, true),
            (Subject::Above("/open".to_owned()), other_gid, 0o777, false),
        ];
        for (subject, gid, mode, allowed) in table {
            let judged = owners(&[ROOT]).check(subject.clone(), Ownership { uid: 0, gid, mode });
            assert_eq!(judged.is_ok(), allowed, "{subject} {gid} {mode:o}: {judged:?}");
        }
    }

    #[test]
    fn names_are_looked_up_and_unknown_ones_are_told() {
        assert_eq!(user_in("root:x:0:0::/:\nbroker:x:10:10::/:/bin/sh\n", "broker"), Some(10));
        assert_eq!(user_in("root:x:0:0::/:\n", "brok"), None);
        let (owners, problems) = Owners::read(&["no-such-user-here".to_owned()]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("`no-such-user-here`"), "{}", problems[0]);
        assert!(owners.check(Subject::Plugin, Ownership { uid: 0, gid: 0, mode: 0o600 }).is_err());
    }
}
