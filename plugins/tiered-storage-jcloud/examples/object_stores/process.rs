//! What work costs this process: time, processor time, and memory while something runs.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How often memory is looked at: seldom enough to cost nothing.
const LOOK: Duration = Duration::from_millis(20);

/// How long something takes that succeeds.
pub(crate) async fn timed<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<Duration, E> {
    let started = Instant::now();
    work.await.map(|_| started.elapsed())
}

/// Processor time that this process used so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Proportional set size, in bytes.
pub(crate) fn pss_bytes() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}

/// Looks for the highest memory until it is asked.
pub(crate) struct Peak {
    before: u64,
    highest: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Peak {
    pub(crate) fn begin() -> Self {
        let before = pss_bytes();
        let (highest, ended) = (Arc::new(AtomicU64::new(before)), Arc::new(AtomicBool::new(false)));
        let (shared, until) = (highest.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                shared.fetch_max(pss_bytes(), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        Self { before, highest, ended, thread }
    }

    /// How much higher than at the begin, in MiB.
    pub(crate) fn end(self) -> f64 {
        self.ended.store(true, Ordering::Relaxed);
        // It does nothing that could panic.
        let _ = self.thread.join();
        (self.highest.load(Ordering::Relaxed) - self.before) as f64 / f64::from(1 << 20)
    }
}
