//! Carries the plugin's `tracing` events, and the messages of its panics, to the host's log.
//!
//! A library has its own copy of tracing's statics, so that without this layer its events would be lost. A callsite that the
//! host does not want is switched off when it is first met and costs a load and a branch from then on.

use std::fmt::{self, Write};
use std::panic;
use std::sync::Arc;

use abi_stable::std_types::{RStr, RString, Tuple2};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::abi::{FfiLogEvent, FfiLogSpan, HostServicesBox, Pairs};

/// The longest value of a field that is carried, in bytes; the rest is cut off.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The most fields of one event or span that are carried.
const FIELDS_MAX: usize = 64;

/// The target of the events that report panics.
const PANIC_TARGET: &str = "panic";

/// Makes the host's log the library's. Where somebody installed a subscriber before, that one stays.
pub(crate) fn install(host: HostServicesBox) {
    let host = Arc::new(host);
    let layer = HostLayer { host: Arc::clone(&host) };
    let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
    panic::set_hook(Box::new(move |info| host.log_event(panic_event(info))));
}

fn panic_event(info: &panic::PanicHookInfo<'_>) -> FfiLogEvent {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let mut fields = Pairs::new();
    if let Some(location) = info.location() {
        fields.push(Tuple2("location".into(), location.to_string().into()));
    }
    if let Some(thread) = std::thread::current().name() {
        fields.push(Tuple2("thread".into(), thread.into()));
    }
    FfiLogEvent {
        level: level_number(Level::ERROR),
        target: PANIC_TARGET.into(),
        message: message.into(),
        fields,
        spans: Default::default(),
        extras: Pairs::new(),
    }
}

struct HostLayer {
    host: Arc<HostServicesBox>,
}

impl<S: Subscriber + for<'lookup> LookupSpan<'lookup>> Layer<S> for HostLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Spans are kept at every level: they name the context of events whose own level is wanted.
        let level = level_number(*metadata.level());
        if metadata.is_span() || self.host.log_enabled(level, RStr::from_str(metadata.target())) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = context.event_scope(event);
        let spans = scope.into_iter().flat_map(|scope| scope.from_root()).map(|span| FfiLogSpan {
            name: span.name().into(),
            fields: span.extensions().get::<Fields>().map(|fields| fields.pairs.clone()).unwrap_or_default(),
        });
        self.host.log_event(FfiLogEvent {
            level: level_number(*event.metadata().level()),
            target: event.metadata().target().into(),
            spans: spans.collect(),
            message: fields.message.into(),
            fields: fields.pairs,
            extras: Pairs::new(),
        });
    }
}

/// The number of a level as it crosses.
fn level_number(level: Level) -> u32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Fields as text, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Pairs,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else if self.pairs.len() < FIELDS_MAX {
            self.pairs.push(Tuple2(RString::from(field.name()), RString::from(value)));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Capped::default();
        let _ = text.write_str(value);
        self.put(field, text.0);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Capped::default();
        let _ = write!(text, "{value:?}");
        self.put(field, text.0);
    }
}

/// Text that stops growing at [`VALUE_BYTES_MAX`].
#[derive(Default)]
struct Capped(String);

impl Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = VALUE_BYTES_MAX - self.0.len();
        let cut = text.floor_char_boundary(room.min(text.len()));
        self.0.push_str(&text[..cut]);
        if cut < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
