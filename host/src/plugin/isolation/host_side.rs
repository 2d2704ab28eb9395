//! What the host does for a child: it reads the ledger that is being copied, writes the library's log, keeps its metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi_stable::std_types::{RErr, ROk, RSlice};
use longshore_plugin_api::abi::requests::from_batch;
use longshore_plugin_api::abi::{
    FfiCallContext, FfiField, FfiLogEvent, FfiLogSpan, FfiMetric, FfiReadRequest, HostServicesBox, LedgerReaderBox,
};
use longshore_plugin_api::{Error, ErrorCode};

use super::super::own_metrics::OwnMetrics;
use super::super::services::services;
use super::frame::{Frame, Kind, ProtocolError};
use super::link::{Answer, Serve, Work};
use super::message::{self, Context, Event, Metric, Number, Pair, Range, SERIES_MAX, Samples};

pub(super) struct HostSide {
    services: HostServicesBox,
    /// By the number of the offload.
    lent: Mutex<HashMap<u64, Arc<LedgerReaderBox>>>,
    /// The host's spans of running calls, by their numbers.
    spans: Mutex<HashMap<u64, u64>>,
    /// The host's numbers of series, by the child's.
    series: Mutex<HashMap<u64, u64>>,
}

impl HostSide {
    /// For the plugin `label` (name and version), whose metrics go into `own`.
    pub(super) fn new(label: &str, own: Arc<OwnMetrics>) -> Self {
        Self {
            services: services(label, own),
            lent: Mutex::default(),
            spans: Mutex::default(),
            series: Mutex::default(),
        }
    }

    /// Lends a ledger until the answer is dropped.
    pub(super) fn lend(this: &Arc<Self>, offload: u64, ledger: LedgerReaderBox) -> Lent {
        this.lent().insert(offload, Arc::new(ledger));
        Lent { of: Arc::clone(this), offload }
    }

    /// Log events of a call go under the host's span until the answer is dropped.
    pub(super) fn spanned(this: &Arc<Self>, call: u64, context: &FfiCallContext) -> Option<Spanned> {
        (context.host_span != 0).then(|| {
            this.spans().insert(call, context.host_span);
            Spanned { of: Arc::clone(this), call }
        })
    }

    fn lent(&self) -> MutexGuard<'_, HashMap<u64, Arc<LedgerReaderBox>>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spans(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn series(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_ledger(&self, context: &Context, range: Range) -> Work {
        let ledger = self.lent().get(&range.of).cloned();
        let context = FfiCallContext::from(context);
        Box::pin(async move {
            let gone = || Error::new(ErrorCode::Cancelled, "the host has given up this offload");
            let request = FfiReadRequest::new(range.first, range.last, range.max_bytes);
            match ledger.ok_or_else(gone)?.read(context, request).await {
                ROk(batch) => from_batch(batch).map(Answer::Entries),
                RErr(error) => Err(error.into()),
            }
        })
    }

    fn log(&self, event: &Event) {
        let left_out = event.left_out.to_string();
        let mut fields = to_ffi(&event.fields);
        if event.left_out > 0 {
            fields.push(FfiField { name: "events_left_out_before".into(), value: left_out.as_str().into() });
        }
        let of_spans: Vec<Vec<FfiField<'_>>> = event.spans.iter().map(|span| to_ffi(&span.fields)).collect();
        let spans: Vec<FfiLogSpan<'_>> = event
            .spans
            .iter()
            .zip(&of_spans)
            .map(|(span, fields)| FfiLogSpan { name: span.name.as_str().into(), fields: RSlice::from_slice(fields) })
            .collect();
        self.services.log_event(FfiLogEvent {
            level: event.level,
            line: event.line,
            file: event.file.as_str().into(),
            target: event.target.as_str().into(),
            message: event.message.as_str().into(),
            fields: RSlice::from_slice(&fields),
            spans: RSlice::from_slice(&spans),
            context: event.context.as_ref().map(|context| self.context(context)).unwrap_or_default(),
            extras: RSlice::EMPTY,
        });
    }

    /// The context of an event: the span is the one that this host has for that call, if it still runs.
    fn context(&self, context: &Context) -> FfiCallContext {
        let host_span = self.spans().get(&context.call).copied().unwrap_or(0);
        FfiCallContext { host_span, ..FfiCallContext::from(context) }
    }

    fn keep_metric(&self, number: u64, metric: &Metric) -> Result<(), ProtocolError> {
        let labels = to_ffi(&metric.labels);
        let kept = self.services.metric(FfiMetric {
            kind: metric.kind,
            reserved: 0,
            name: metric.name.as_str().into(),
            help: metric.help.as_str().into(),
            labels: RSlice::from_slice(&labels),
            buckets: RSlice::from_slice(&metric.buckets),
            extras: RSlice::EMPTY,
        });
        let mut series = self.series();
        if series.len() >= SERIES_MAX && !series.contains_key(&number) {
            return Err(ProtocolError::malformed(Kind::Metric, format!("more than {SERIES_MAX} series came")));
        }
        series.insert(number, kept);
        Ok(())
    }

    fn record(&self, samples: Samples) {
        for sample in samples.samples {
            let kept = self.series().get(&sample.series).copied().unwrap_or(0);
            sample.values.into_iter().for_each(|value| self.services.metric_record(kept, value));
        }
    }
}

impl Serve for HostSide {
    fn call(self: Arc<Self>, frame: &Frame) -> Result<Work, ProtocolError> {
        match frame.kind {
            Kind::ReadLedger => {
                let (context, range) = message::read_call(frame)?;
                Ok(self.read_ledger(&context, range))
            }
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
            }
            Kind::Log => self.log(&message::read(frame)?),
            Kind::Metric => self.keep_metric(frame.id, &message::read(frame)?)?,
            Kind::Samples => self.record(message::read(frame)?),
            other => return Err(ProtocolError::Unexpected(other)),
        }
        Ok(())
    }
}

fn to_ffi(pairs: &[Pair]) -> Vec<FfiField<'_>> {
    pairs
        .iter()
        .map(|Pair { name, value }| FfiField { name: name.as_str().into(), value: value.as_str().into() })
        .collect()
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

/// A call whose span is known.
pub(super) struct Spanned {
    of: Arc<HostSide>,
    call: u64,
}

impl Drop for Spanned {
    fn drop(&mut self) {
        self.of.spans().remove(&self.call);
    }
}
