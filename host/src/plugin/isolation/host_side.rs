//! What the host does for a child: it reads the ledger that is being copied, and writes the library's log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi_stable::std_types::{RErr, ROk, RString, RVec, Tuple2};
use longshore_plugin_api::abi::requests::from_batch;
use longshore_plugin_api::abi::{FfiLogEvent, FfiLogSpan, HostServicesBox, LedgerReaderBox, Pairs};
use longshore_plugin_api::{Error, ErrorCode};

use super::super::services::services;
use super::frame::{Frame, Kind, ProtocolError};
use super::link::{Answer, Serve, Work};
use super::message::{self, Event, Number, Pair, Range};

pub(super) struct HostSide {
    services: HostServicesBox,
    /// By the number of the offload.
    lent: Mutex<HashMap<u64, Arc<LedgerReaderBox>>>,
}

impl HostSide {
    /// For the plugin `label` (name and version).
    pub(super) fn new(label: &str) -> Self {
        Self { services: services(label), lent: Mutex::default() }
    }

    /// Lends a ledger until the answer is dropped.
    pub(super) fn lend(this: &Arc<Self>, offload: u64, ledger: LedgerReaderBox) -> Lent {
        this.lent().insert(offload, Arc::new(ledger));
        Lent { of: Arc::clone(this), offload }
    }

    fn lent(&self) -> MutexGuard<'_, HashMap<u64, Arc<LedgerReaderBox>>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_ledger(&self, range: Range) -> Work {
        let ledger = self.lent().get(&range.of).cloned();
        Box::pin(async move {
            let gone = || Error::new(ErrorCode::Cancelled, "the host has given up this offload");
            let Range { first, last, max_bytes, .. } = range;
            match ledger.ok_or_else(gone)?.read(first, last, max_bytes).await {
                ROk(batch) => from_batch(batch).map(Answer::Entries),
                RErr(error) => Err(error.into()),
            }
        })
    }
}

impl Serve for HostSide {
    fn call(self: Arc<Self>, frame: &Frame) -> Result<Work, ProtocolError> {
        match frame.kind {
            Kind::ReadLedger => Ok(self.read_ledger(message::read(frame)?)),
            other => Err(ProtocolError::Unexpected(other)),
        }
    }

    fn notice(&self, frame: &Frame) -> Result<(), ProtocolError> {
        match frame.kind {
            Kind::Progress => {
                let Number { number } = message::read(frame)?;
                let ledger = self.lent().get(&frame.id).cloned();
                if let Some(ledger) = ledger {
                    ledger.progress(number);
                }
                Ok(())
            }
            Kind::Log => {
                self.log(message::read(frame)?);
                Ok(())
            }
            other => Err(ProtocolError::Unexpected(other)),
        }
    }
}

impl HostSide {
    fn log(&self, event: Event) {
        let mut fields = to_ffi(event.fields);
        if event.left_out > 0 {
            let count = event.left_out.to_string();
            fields.push(Tuple2(RString::from("events_left_out_before"), RString::from(count)));
        }
        let spans = event.spans.into_iter();
        self.services.log_event(FfiLogEvent {
            level: event.level,
            target: event.target.into(),
            message: event.message.into(),
            fields,
            spans: spans.map(|span| FfiLogSpan { name: span.name.into(), fields: to_ffi(span.fields) }).collect(),
            extras: RVec::new(),
        });
    }
}

fn to_ffi(pairs: Vec<Pair>) -> Pairs {
    pairs.into_iter().map(|Pair { name, value }| Tuple2(name.into(), value.into())).collect()
}

/// A ledger that is lent.
pub(super) struct Lent {
    of: Arc<HostSide>,
    offload: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let ledger = self.of.lent().remove(&self.offload);
        drop(ledger);
    }
}
