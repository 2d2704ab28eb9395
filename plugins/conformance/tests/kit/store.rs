//! Stores in memory, found by the names that configurations give them; the probe of such a store; and the frames that
//! copies consist of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longshore_conformance::StoreProbe;
use longshore_plugin_api::{Error, ErrorCode, Result};

/// One store: objects by name, and what faulty drivers remember beside them.
#[derive(Default)]
pub(crate) struct Store {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Words that faults keep.
    marks: Mutex<BTreeSet<String>>,
    counts: Mutex<HashMap<&'static str, u64>>,
}

/// The store of this name, made when it is first named.
pub(crate) fn store(name: &str) -> Arc<Store> {
    static STORES: LazyLock<Mutex<HashMap<String, Arc<Store>>>> = LazyLock::new(Mutex::default);
    Arc::clone(lock(&STORES).entry(name.to_owned()).or_default())
}

/// A name that no store has yet.
pub(crate) fn new_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("shelf-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub(crate) fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        lock(&self.objects).insert(name.to_owned(), bytes.into());
    }

    pub(crate) fn get(&self, name: &str) -> Option<Bytes> {
        lock(&self.objects).get(name).cloned()
    }

    pub(crate) fn append(&self, name: &str, bytes: &[u8]) {
        let mut objects = lock(&self.objects);
        let object = objects.entry(name.to_owned()).or_default();
        *object = [object, bytes].concat().into();
    }

    /// As a rename in a folder: at once, over whatever is there.
    pub(crate) fn rename(&self, from: &str, to: &str) -> bool {
        let mut objects = lock(&self.objects);
        let moved = objects.remove(from);
        let found = moved.is_some();
        objects.extend(moved.map(|bytes| (to.to_owned(), bytes)));
        found
    }

    pub(crate) fn delete(&self, name: &str) {
        lock(&self.objects).remove(name);
    }

    pub(crate) fn delete_all(&self, prefix: &str) {
        lock(&self.objects).retain(|name, _| !name.starts_with(prefix));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.objects).keys().cloned().collect()
    }

    /// Remembers a word; whether it was new.
    pub(crate) fn mark(&self, word: &str) -> bool {
        lock(&self.marks).insert(word.to_owned())
    }

    pub(crate) fn unmark(&self, word: &str) {
        lock(&self.marks).remove(word);
    }

    /// The words that begin so, without their beginning.
    pub(crate) fn marked(&self, beginning: &str) -> Vec<String> {
        lock(&self.marks).iter().filter_map(|word| word.strip_prefix(beginning)).map(str::to_owned).collect()
    }

    pub(crate) fn is_marked(&self, word: &str) -> bool {
        lock(&self.marks).contains(word)
    }

    /// How often this was counted before.
    pub(crate) fn count(&self, what: &'static str) -> u64 {
        let mut counts = lock(&self.counts);
        let count = counts.entry(what).or_default();
        *count += 1;
        *count - 1
    }
}

/// Looks at a store behind the driver's back.
pub(crate) struct ShelfProbe(pub(crate) Arc<Store>);

impl StoreProbe for ShelfProbe {
    fn objects(&self) -> io::Result<Vec<String>> {
        Ok(self.0.names())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.get(name).map(|bytes| bytes.to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.put(name, bytes.to_vec());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.delete(name);
        Ok(())
    }
}

/// Length and CRC-32, then the bytes.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let (length, crc) = ((bytes.len() as u32).to_be_bytes(), crc32fast::hash(bytes).to_be_bytes());
    [&length, &crc, bytes].concat()
}

/// The bytes of the frame at `offset` of `object`, and where the next one begins.
pub(crate) fn unframe(name: &str, object: &Bytes, offset: usize, checked: bool) -> Result<(Bytes, usize)> {
    let damaged = || Error::new(ErrorCode::Corrupt, format!("{name} is damaged at offset {offset}"));
    let header = object.get(offset..offset + 8).ok_or_else(damaged)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let end = offset + 8 + number(&header[..4]);
    if end > object.len() {
        return Err(damaged());
    }
    let bytes = object.slice(offset + 8..end);
    let sound = !checked || crc32fast::hash(&bytes) as usize == number(&header[4..]);
    if sound { Ok((bytes, end)) } else { Err(damaged()) }
}
