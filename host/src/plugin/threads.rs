//! The threads of plugins, told apart by their names: each library's runtime threads get a name of their own, and a thread that
//! an author starts without naming it inherits it from the thread that starts it.
//!
//! Source: proc(5), `/proc/pid/task/tid/comm`: at most 15 bytes.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes of a thread's name.
const NAME_BYTES_MAX: usize = 15;

/// A name for the threads of one more library of this plugin, which no other library's threads have: `p3-tiered-stor`.
pub(super) fn name_for(plugin: &str) -> String {
    static LIBRARIES: AtomicU64 = AtomicU64::new(1);
    name(LIBRARIES.fetch_add(1, Ordering::Relaxed), plugin)
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
        assert_ne!(name_for("same"), name_for("same"));
    }

    #[test]
    fn a_thread_is_counted_while_it_lives_with_those_it_starts() {
        let name = name_for("counted");
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
