//! The threads of plugins, told apart by their names: each library's runtime threads get a name of their own, and a thread that
//! an author starts without naming it inherits it from the thread that starts it.
//!
//! Source: proc(5), `/proc/pid/task/tid/comm`: at most 15 bytes.

use std::collections::HashMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

/// How the names of the host's own threads begin: the main one, those of its runtime, the stores', the children's watch.
const HOST: [&str; 7] =
    ["longshore", "tokio-r", "metadata-commit", "ledger-commit", "ledger-checkpoi", "host-watch", "main"];

/// The most bytes of a thread's name.
const NAME_BYTES_MAX: usize = 15;

/// The name for the threads of the library of this plugin whose bytes have this SHA-256, which no other library's threads have:
/// `p3-tiered-stor`. A library is started once in a process, so it keeps the name of its first start.
pub(super) fn name_for(plugin: &str, library: &[u8; 32]) -> String {
    static NAMES: Mutex<Option<HashMap<[u8; 32], String>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    let next = names.len() as u64 + 1;
    names.entry(*library).or_insert_with(|| name(next, plugin)).clone()
}

/// Whether [`name`] makes such a name.
fn is_of_a_runtime(name: &str) -> bool {
    let number = name.strip_prefix('p').and_then(|rest| rest.split_once('-')).map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn name(number: u64, plugin: &str) -> String {
    let mut name = format!("p{number}-{plugin}");
    // Nothing that a plugin may be called is longer than a byte for each character.
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}

/// The threads of this process at a moment, by name.
#[derive(Debug, Default)]
pub(super) struct Threads(HashMap<String, u64>);

impl Threads {
    /// Reads a file for each thread; a thread that ends meanwhile is not counted.
    pub(super) fn now() -> Self {
        let mut threads = Self::default();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            if let Ok(comm) = fs::read_to_string(task.path().join("comm")) {
                *threads.0.entry(comm.trim_end_matches('\n').to_owned()).or_default() += 1;
            }
        }
        threads
    }

    /// Those that somebody else than the host named, and that belong to no library's runtime: threads that libraries started and
    /// named themselves. The host's own have the names in `HOST`.
    pub(super) fn named_by_others(&self) -> u64 {
        let is_ours = |name: &str| HOST.iter().any(|own| name.starts_with(own)) || is_of_a_runtime(name);
        self.0.iter().filter(|(name, _)| !is_ours(name)).map(|(_, count)| count).sum()
    }

    /// How many are called `name`.
    pub(super) fn called(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name(3, "tiered-storage-file-system"), "p3-tiered-stora");
        assert_eq!(name(12, "x"), "p12-x");
        assert_ne!(name_for("same", &[1; 32]), name_for("same", &[2; 32]));
        assert_eq!(name_for("same", &[1; 32]), name_for("same", &[1; 32]));
    }

    #[test]
    fn threads_that_others_named_are_told_from_the_hosts_and_the_runtimes() {
        let threads = [("longshore", 1), ("tokio-rt-worker", 4), ("p12-tape", 2), ("rewinder", 3), ("p-x", 1)];
        let threads = Threads(threads.map(|(name, count)| (name.to_owned(), count)).into());
        assert_eq!(threads.named_by_others(), 4);
    }

    #[test]
    fn a_thread_is_counted_while_it_lives_with_those_it_starts() {
        let name = name_for("counted", &[3; 32]);
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let parent = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let child = std::thread::spawn(move || {
                tell.send(()).unwrap();
                let _ = stopped.recv();
            });
            child.join().unwrap();
        });
        told.recv().unwrap();
        assert_eq!(Threads::now().called(&name), 2);
        drop(stop);
        parent.unwrap().join().unwrap();
        assert_eq!(Threads::now().called(&name), 0);
    }
}
