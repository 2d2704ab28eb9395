//! The threads on which a library's C runs: a bounded number of calls at once, each of which can be told that nobody waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use longshore_plugin_api::abi::FfiCallContext;
use longshore_plugin_api::c_abi;
use longshore_plugin_api::runtime::{BLOCKING_THREADS_MAX, PluginRuntime, current_call, in_call};
use longshore_plugin_api::{Error, ErrorCode, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::values::contained;

/// Calls of one library that run at once; further ones wait, and give up with their caller. The threads beyond it are for giving
/// back drivers and handles, which must go on while calls are stuck.
const CALLS_MAX: usize = BLOCKING_THREADS_MAX - 16;

/// The threads of one library.
pub(super) struct Threads {
    runtime: &'static PluginRuntime,
    calls: Arc<Semaphore>,
}

/// One call, on its thread.
pub(super) struct Running {
    cancelled: CancellationToken,
    context: FfiCallContext,
}

impl Threads {
    pub(super) fn new(runtime: &'static PluginRuntime) -> Self {
        Self { runtime, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    pub(super) fn runtime(&self) -> &'static PluginRuntime {
        self.runtime
    }

    /// Runs `body` on a thread that may block; `call` names it. Dropping the future tells the call so, and does not end it: what it
    /// answers afterwards is dropped there.
    ///
    /// # Errors
    /// Those of `body`; `Panicked` where the host's own part of it does.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: &'static str,
        body: impl FnOnce(&Running) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cancelled = CancellationToken::new();
        let _given_up = cancelled.clone().drop_guard();
        let gone = || Error::new(ErrorCode::Cancelled, format!("{call} was cancelled"));
        // Held by the thread, so that calls that are stuck leave no trail of others behind them.
        let permit = Arc::clone(&self.calls).acquire_owned().await.map_err(|_| gone())?;
        let context = current_call();
        let task = self.runtime.handle().spawn_blocking(move || {
            let _permit = permit;
            if cancelled.is_cancelled() {
                return Err(Error::new(ErrorCode::Cancelled, format!("{call} was cancelled before it began")));
            }
            in_call(context, || body(&Running { cancelled, context }))
        });
        match task.await {
            Ok(answer) => answer,
            Err(lost) if lost.is_panic() => {
                Err(Error::new(ErrorCode::Panicked, format!("the host's part of {call} panicked")))
            }
            Err(_) => Err(gone()),
        }
    }

    /// Runs `body` on a thread that may block, at once and without an answer.
    pub(super) fn give_back(&self, body: impl FnOnce() + Send + 'static) {
        let handle = self.runtime.handle();
        // Where the system has no thread left tokio panics; then the object leaks.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(handle.spawn_blocking(body))));
    }
}

impl Running {
    /// The call as C sees it, for as long as `self` lives.
    pub(super) fn lend(&self) -> c_abi::Call {
        c_abi::Call {
            struct_size: size_of::<c_abi::Call>(),
            this: (&raw const self.cancelled).cast_mut().cast(),
            cancelled: is_cancelled,
            timeout_ms: self.context.timeout_ms,
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            trace_flags: self.context.trace_flags,
            reserved: 0,
        }
    }

    /// Tells when nobody waits for the call any more.
    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }
}

/// `cancelled` of `offloader_call_t`.
unsafe extern "C" fn is_cancelled(call: *const c_abi::Call) -> u32 {
    contained(1, || {
        // SAFETY: the header says that this is the call that was lent, which lives until the function that got it returns; null
        // becomes `None`.
        let Some(call) = (unsafe { call.as_ref() }) else { return 1 };
        // SAFETY: `lend` put a token there that outlives the call.
        let cancelled = unsafe { call.this.cast::<CancellationToken>().as_ref() };
        u32::from(cancelled.is_none_or(CancellationToken::is_cancelled))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::tests::threads;
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_given_up_is_told_so_and_its_answer_dropped() {
        struct Answer(mpsc::Sender<()>);
        impl Drop for Answer {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let (threads, (dropped, was_dropped)) = (threads(), mpsc::channel());
        let call = threads.run("read", move |running| {
            let call = running.lend();
            // SAFETY: the call that was lent.
            while unsafe { (call.cancelled)(&raw const call) } == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(Answer(dropped))
        });
        assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
        was_dropped.recv_timeout(Duration::from_secs(5)).unwrap();
    }

    #[tokio::test]
    async fn stuck_calls_hold_up_further_ones_and_nothing_piles_up() {
        let threads: &'static Threads = Box::leak(Box::new(threads()));
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = Arc::new(std::sync::Mutex::new(stuck));
        let (began, mut beginnings) = tokio::sync::mpsc::channel(CALLS_MAX);
        for _ in 0..CALLS_MAX {
            let (stuck, began) = (Arc::clone(&stuck), began.clone());
            let call = tokio::spawn(threads.run("read", move |_| {
                began.blocking_send(()).unwrap();
                let _ = stuck.lock().unwrap().recv();
                Ok(())
            }));
            beginnings.recv().await.unwrap();
            // Given up, as by a deadline.
            call.abort();
        }
        let further = threads.run("read", |_| Ok(()));
        assert!(tokio::time::timeout(Duration::from_millis(50), further).await.is_err());
        let (gave_back, given_back) = mpsc::channel();
        threads.give_back(move || gave_back.send(()).unwrap());
        given_back.recv_timeout(Duration::from_secs(5)).unwrap();
        drop(release);
        threads.run("read", |_| Ok(())).await.unwrap();
    }
}
