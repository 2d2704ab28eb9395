//! The other process: it loads the library that it was given and serves the one driver that the host makes of it.
//!
//! It reads nothing but the descriptors that it was started with, and answers nobody but the host. It ends when the host says
//! so, and at once when the host is gone: a thread of its own waits for that from the first moment on, so that not even a
//! library's constructor that never returns leaves an orphan. One thread serves the connection; an author's code runs on the
//! library's own runtime, as it does in the broker.

mod ledger;
mod metrics;
mod server;
mod services;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use longshore_plugin_api::{Error, ErrorCode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::SealFlags;
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use sha2::{Digest, Sha256};

use self::server::Server;
use super::super::admission::Ownership;
use super::super::inspect::{self, Image};
use super::frame::{self, Frame, HEADER_BYTES, Header, Kind, ProtocolError};
use super::link::{Limits, Link};
use super::message::{self, Hello};

/// How the child ends where it was not started by a broker, or was told nonsense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// Its descriptors are not what a broker gives.
    #[error("this command is started by the broker alone, which hands it a socket and a library: {0}")]
    Descriptors(String),
    /// The system refuses.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// The host's first words.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// Runs until the host says that it is enough.
///
/// # Errors
/// See [`ChildError`].
pub fn run() -> Result<(), ChildError> {
    let (stream, library) = take_descriptors()?;
    end_with_the_host(&stream)?;
    let (hello, id) = greet(&stream)?;
    limit(&hello);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ChildError::System("start the runtime", error))?;
    runtime.block_on(async {
        let connected = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
        let stream = connected.map_err(|error| ChildError::System("use the socket", error))?;
        let limits = Limits {
            entries_bytes_max: usize::try_from(hello.entries_bytes_max).unwrap_or(usize::MAX),
            calls_max: usize::try_from(hello.calls_max).unwrap_or(usize::MAX),
            // The host has deadlines; here nobody is impatient.
            patience: Duration::MAX,
            unanswered_max: u32::MAX,
        };
        let link = Link::new(stream, limits);
        let server = Arc::new(Server::new(&link, &hello));
        // Loading runs constructors: not on the thread that serves.
        let loading = Arc::clone(&server);
        link.serve_first(id, tokio::task::spawn_blocking(move || loading.load(&hello, library)));
        tokio::select! {
            ended = Arc::clone(&link).run(Arc::clone(&server) as _) => ended.map_err(ChildError::from),
            () = server.finished() => Ok(()),
        }
    })
}

/// Takes over the socket and the library, and leaves descriptors behind that the library may use as any program does.
fn take_descriptors() -> Result<(StdStream, OwnedFd), ChildError> {
    let foreign = |error: io::Error| ChildError::Descriptors(error.to_string());
    let stream = StdStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(foreign)?);
    stream.peer_addr().map_err(foreign)?;
    let library = io::stdout().as_fd().try_clone_to_owned().map_err(foreign)?;
    let seals = rustix::fs::fcntl_get_seals(&library).map_err(|errno| foreign(errno.into()))?;
    if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW) {
        return Err(ChildError::Descriptors("the library is not sealed".to_owned()));
    }
    let nothing = File::open("/dev/null").map_err(|error| ChildError::System("open /dev/null", error))?;
    let replaced = dup2_stdin(&nothing).and_then(|()| dup2_stdout(io::stderr()));
    replaced.map_err(|errno| ChildError::System("replace the standard descriptors", errno.into()))?;
    Ok((stream, library))
}

/// Ends this process when the other end of `stream` is closed, whatever the library is doing then.
///
/// The system's own offer, a signal at the parent's death, comes with the death of the *thread* that started the child, which
/// may be a pool's.
fn end_with_the_host(stream: &StdStream) -> Result<(), ChildError> {
    let watched = stream.try_clone().map_err(|error| ChildError::System("watch the socket", error))?;
    let watch = move || {
        loop {
            // Nothing is asked for but that the other end hung up, which is always told.
            let mut polled = [PollFd::new(&watched, PollFlags::empty())];
            if poll(&mut polled, None).is_ok() && polled[0].revents().contains(PollFlags::HUP) {
                // No destructor of the library may hold this up.
                let _ = kill_process(getpid(), Signal::KILL);
            }
        }
    };
    let started = std::thread::Builder::new().name("host-watch".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| ChildError::System("start a thread", error))
}

/// Reads the host's first frame, which must be [`Hello`]; the answer is its number too.
fn greet(mut stream: &StdStream) -> Result<(Hello, u64), ChildError> {
    let mut read = |bytes: &mut [u8]| stream.read_exact(bytes).map_err(|error| ProtocolError::Io(error.to_string()));
    let mut bytes = BytesMut::zeroed(HEADER_BYTES);
    read(&mut bytes)?;
    let Some(Header { len, .. }) = Header::peek(&bytes, 0)? else { return Err(ProtocolError::CutOff.into()) };
    bytes.resize(HEADER_BYTES + len, 0);
    read(&mut bytes[HEADER_BYTES..])?;
    let frame: Frame = frame::take(&mut bytes, 0)?.ok_or(ProtocolError::CutOff)?;
    if frame.kind != Kind::Hello {
        return Err(ProtocolError::Unexpected(frame.kind).into());
    }
    let (_, hello): (_, Hello) = message::read_call(&frame)?;
    if hello.version != message::VERSION {
        return Err(ProtocolError::Version { theirs: hello.version, ours: message::VERSION }.into());
    }
    Ok((hello, frame.id))
}

/// No core files; as much memory as the host allows.
fn limit(hello: &Hello) {
    let limits = [(Resource::Core, Some(0)), (Resource::Data, Some(hello.memory_bytes_max).filter(|max| *max > 0))];
    for (resource, max) in limits {
        let Some(max) = max else { continue };
        if let Err(error) = setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) }) {
            let _ = writeln!(io::stderr(), "the limit {resource:?} could not be set to {max}: {error}");
        }
    }
}

/// Reads the library and makes sure that it is what the host checked.
fn read_library(library: OwnedFd, hello: &Hello) -> Result<Image, Error> {
    let mut file = File::from(library);
    let failed = |error: io::Error| Error::io("read the library that the host gave", &error);
    let metadata = file.metadata().map_err(failed)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // Whoever wrote it shares its place in the file with us.
    io::Seek::rewind(&mut file).map_err(failed)?;
    file.read_to_end(&mut bytes).map_err(failed)?;
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    if sha256[..] != hello.sha256[..] {
        return Err(Error::new(ErrorCode::Internal, "the library that the host gave is not the one that it checked"));
    }
    // The host has judged who owned the file; this is the memory's own.
    Ok(Image { bytes: bytes.into(), sha256, ownership: Ownership::from(&metadata) })
}

/// What the library says about itself, checked as the host checked it.
fn identify(image: &Image) -> Result<super::super::elf::FoundNote, Error> {
    let found = inspect::identify(image).map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
    inspect::admit(&found.note).map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?;
    Ok(found)
}
