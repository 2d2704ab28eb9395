//! How a child is started, told to end, and made to end.
//!
//! A child is this binary again, started by `fork` and `exec` of `/proc/self/exe`, so that it is the same version whatever became
//! of the file. It gets three descriptors and nothing else: the socket as its standard input, the sealed memory file with the
//! library as its standard output, a pipe to the host's log as its standard error; no descriptor has to be inherited by number,
//! so nothing can leak. It is the first of a process group of its own: a Ctrl-C at the terminal is the broker's alone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::super::own_metrics::OwnMetrics;
use super::super::settings::PluginSettings;

/// The hidden subcommand that a child runs.
pub const SUBCOMMAND: &str = "offloader-child";

/// Bytes that the socket holds in each direction, if the system allows: a mebibyte then goes out without waiting.
const SOCKET_BYTES: usize = 4 << 20;

/// How long a child that was told to end may take: after its last answer, and again after `SIGTERM`.
pub(super) const EXIT_PATIENCE: Duration = Duration::from_millis(500);

/// Everything that a child of a plugin needs.
pub(super) struct Plan {
    /// The library's file name.
    pub(super) file: String,
    /// The plugin's name and version.
    pub(super) label: String,
    /// The bytes that were checked, sealed.
    pub(super) library: OwnedFd,
    /// Their SHA-256.
    pub(super) sha256: [u8; 32],
    /// Where the library's own metrics go.
    pub(super) own: Arc<OwnMetrics>,
    pub(super) settings: Arc<PluginSettings>,
}

/// Starts a child for `driver`; the answer is the host's end of the socket with it.
pub(super) fn start(plan: &Plan, driver: &str) -> io::Result<(Child, UnixStream)> {
    let settings = &plan.settings.isolation;
    let (ours, theirs) = StdStream::pair()?;
    for end in [&ours, &theirs] {
        // A smaller one works too.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(end, SOCKET_BYTES);
    }
    ours.set_nonblocking(true)?;
    let environment = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| settings.hands_on(name)));
    let child = Command::new(&settings.binary)
        .arg0(format!("longshore: driver {driver} of {}", plan.label))
        .arg(SUBCOMMAND)
        .stdin(OwnedFd::from(theirs))
        .stdout(plan.library.as_fd().try_clone_to_owned()?)
        .stderr(Stdio::piped())
        .env_clear()
        .envs(environment)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// Waits for the end of a child that should end by itself; then it is asked to, then made to. It is reaped in any case.
pub(super) async fn end(child: &mut Child) -> io::Result<ExitStatus> {
    if let Ok(status) = timeout(EXIT_PATIENCE, child.wait()).await {
        return status;
    }
    terminate(child).await
}

/// Asks a child to end, then makes it. It is reaped in any case.
pub(super) async fn terminate(child: &mut Child) -> io::Result<ExitStatus> {
    // A child that was reaped has no number any more, so that nobody else's can be meant.
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(status) = timeout(EXIT_PATIENCE, child.wait()).await {
        return status;
    }
    kill(child).await
}

/// Makes a child end at once.
pub(super) async fn kill(child: &mut Child) -> io::Result<ExitStatus> {
    // It may have ended meanwhile.
    let _ = child.start_kill();
    child.wait().await
}
