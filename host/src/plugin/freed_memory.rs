//! Gives memory back to the system that was freed and that the allocator keeps.
//!
//! glibc keeps what is freed in the heap of the thread that had it, for requests of that heap alone. What a topic's producers
//! leave there is of no use to an offload, nor what an offload leaves to anybody else: so it is given back when a client has
//! left, when an offload begins and when it ended, and when a cold copy is closed, not more often than each [`PAUSE`]. A driver's memory is among it,
//! because a plugin has the host's libc. Elsewhere than on glibc nothing is done.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// Between two times. To look through the heaps takes milliseconds, during which a heap's threads wait.
const PAUSE: Duration = Duration::from_secs(5);

static STATE: Mutex<State> = Mutex::new(State { is_due: false, last: None });

struct State {
    /// Whether a task is there that will do it.
    is_due: bool,
    last: Option<Instant>,
}

fn state() -> MutexGuard<'static, State> {
    // No code panics while it holds it.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task's; the next one may be asked for when it is gone, its runtime's end included.
struct Due;

impl Drop for Due {
    fn drop(&mut self) {
        *state() = State { is_due: false, last: Some(Instant::now()) };
    }
}

/// Gives back what is free when it is dropped.
pub(super) struct GivesBack;

impl Drop for GivesBack {
    fn drop(&mut self) {
        give_back_memory();
    }
}

/// Gives back what is free, at once or when the pause is over. Does nothing outside of a runtime.
pub fn give_back_memory() {
    let Ok(runtime) = Handle::try_current() else { return };
    let pause = {
        let mut state = state();
        if std::mem::replace(&mut state.is_due, true) {
            return;
        }
        state.last.map_or(Duration::ZERO, |last| PAUSE.saturating_sub(last.elapsed()))
    };
    let due = Due;
    runtime.spawn(async move {
        tokio::time::sleep(pause).await;
        // A panic in there has nobody who should hear of it, and the runtime's end may come before it.
        let _ = tokio::task::spawn_blocking(trim).await;
        drop(due);
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    use std::ffi::c_int;

    // SAFETY: glibc's malloc.h declares it so. It takes no pointer, touches no memory that somebody has, and any thread may call it
    // at any time.
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> c_int;
    }
    // Whether anything was given back is nobody's concern.
    malloc_trim(0);
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Far more than other tests of this process take or free meanwhile.
    const FREED_BYTES: usize = 256 << 20;
    /// Short enough to lie in the heap, and not on pages of its own.
    const PIECE_BYTES: usize = 32 << 10;

    fn resident_bytes() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells what is resident");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of KiB") << 10
    }

    #[test]
    fn what_was_freed_below_what_is_kept_goes_back() {
        let mut pieces: Vec<Vec<u8>> = (0..FREED_BYTES / PIECE_BYTES).map(|_| vec![1; PIECE_BYTES]).collect();
        let kept = pieces.pop();
        let before = resident_bytes();
        drop(pieces);
        trim();
        let after = resident_bytes();
        drop(kept);
        assert!(after + FREED_BYTES / 2 < before, "{before} bytes became {after}");
    }
}
