//! What the machine does with bytes when nobody is in between.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

use crate::MIB;

/// Bytes that a plain reader asks for at once.
const READ_BYTES: usize = MIB as usize;
/// Writes that one flush makes durable, as a writer with all of them in flight would do it.
const WRITE_BYTES: usize = 256 << 10;

/// Appends `bytes` bytes, with an fdatasync after each `group_bytes`, to one file as a hot store would grow it.
pub(crate) fn append(folder: &Path, bytes: u64, group_bytes: u64) -> Result<Duration> {
    let path = folder.join("raw-append");
    let piece = payloads(WRITE_BYTES);
    let began = Instant::now();
    let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let mut left = bytes;
    while left > 0 {
        let mut group = group_bytes.min(left);
        left -= group;
        while group > 0 {
            let part = group.min(piece.len() as u64);
            file.write_all(&piece[..part as usize])?;
            group -= part;
        }
        file.sync_data()?;
    }
    let took = began.elapsed();
    fs::remove_file(&path)?;
    Ok(took)
}

/// `cp` and fsync.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<Duration> {
    let began = Instant::now();
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    File::open(to)?.sync_all()?;
    Ok(began.elapsed())
}

/// Reads a file from front to back.
pub(crate) fn read(path: &Path) -> Result<Duration> {
    let mut buffer = vec![0; READ_BYTES];
    let began = Instant::now();
    let mut file = File::open(path)?;
    while file.read(&mut buffer)? > 0 {}
    Ok(began.elapsed())
}

/// Reads a file from front to back and sends it through a TCP connection within this machine.
pub(crate) fn read_through_tcp(path: &Path) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut receiver = TcpStream::connect(listener.local_addr()?)?;
    let (mut sender, _) = listener.accept()?;
    let began = Instant::now();
    let received = thread::spawn(move || {
        let mut buffer = vec![0; READ_BYTES];
        while receiver.read(&mut buffer)? > 0 {}
        std::io::Result::Ok(())
    });
    let (mut file, mut buffer) = (File::open(path)?, vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => sender.write_all(&buffer[..read])?,
        }
    }
    drop(sender);
    received.join().expect("the receiving thread does not panic")?;
    Ok(began.elapsed())
}

/// Lets the system forget what it holds of the files below `path` in memory, so that the next read asks the disk.
pub(crate) fn forget(path: &Path) -> Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| forget(&entry?.path()));
    }
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

/// Brings the files below `path` into memory, so that the next read does not ask the disk.
pub(crate) fn warm(path: &Path) -> Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| warm(&entry?.path()));
    }
    let (file, mut buffer, mut at) = (File::open(path)?, vec![0; READ_BYTES], 0);
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(()),
            read => at += read as u64,
        }
    }
}

/// Payloads that compress to about a half: random letters out of 16.
pub(crate) fn payloads(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| b'a' + random.u8(0..16)).take(bytes).collect()
}
