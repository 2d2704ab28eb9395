//! The call in which code of the plugin runs: what the host sent along with it, kept by the thread for as long as a poll takes.
//!
//! A task of the author's own does not belong to a call by itself; [`carry`] takes the call along, and so does a span.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;

use crate::abi::FfiCallContext;
use crate::trace::TraceContext;

thread_local! {
    static CALL: Cell<FfiCallContext> = const { Cell::new(NO_CALL) };
}

const NO_CALL: FfiCallContext = FfiCallContext {
    trace_id: [0; 16],
    span_id: [0; 8],
    host_span: 0,
    timeout_ms: 0,
    trace_flags: 0,
    flags: 0,
    reserved: [0; 2],
};

/// The trace of the call that runs here, if it has one.
pub fn current() -> Option<TraceContext> {
    call().trace()
}

/// Runs `future` as part of the call in which this is called, wherever it is polled: for tasks that an author spawns.
///
/// ```
/// # async fn upload() {}
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// tokio::spawn(longshore_plugin_api::trace::carry(upload()));
/// # });
/// ```
pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within(call(), future)
}

/// What the host sent along with the call that runs here; zeros outside of calls.
pub(crate) fn call() -> FfiCallContext {
    CALL.try_with(Cell::get).unwrap_or(NO_CALL)
}

/// Polls `future` as part of the call `context`.
pub(crate) async fn within<F: Future>(context: FfiCallContext, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _call = enter(context);
        future.as_mut().poll(cx)
    })
    .await
}

/// The thread works for the call `context` until the answer is dropped.
pub(crate) fn enter(context: FfiCallContext) -> Entered {
    Entered(CALL.try_with(|call| call.replace(context)).unwrap_or(NO_CALL))
}

/// Restores the call before.
pub(crate) struct Entered(FfiCallContext);

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that ends has no call any more.
        let _ = CALL.try_with(|call| call.set(self.0));
    }
}
