//! Carries the plugin's `tracing` events, and the messages of its panics, to the host's log.
//!
//! A library has its own copy of tracing's statics, so that without this layer its events would be lost. A callsite that the
//! host does not want is switched off when it is first met and costs a load and a branch from then on; when the host says that
//! its levels changed, which is looked at when a call begins, all of them are asked for again. An event goes out under the call
//! in which it happens: that of its innermost span that was opened in one, else that of its thread.

use std::fmt::{self, Write};
use std::panic;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_stable::std_types::{RSlice, RStr};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, callsite};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::context;
use crate::abi::{FfiCallContext, FfiField, FfiLogEvent, FfiLogSpan, HostServicesBox};

/// The longest value of a field that is carried, in bytes; the rest is cut off.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The most fields of one event or span that are carried.
const FIELDS_MAX: usize = 64;

/// The target of the events that report panics.
const PANIC_TARGET: &str = "panic";

/// The host whose log is ours, and the generation of its levels that our callsites know.
static HOST: OnceLock<&'static HostServicesBox> = OnceLock::new();
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Makes the host's log the library's. Where somebody installed a subscriber before, that one stays.
pub(crate) fn install(host: &'static HostServicesBox) {
    GENERATION.store(host.log_generation(), Ordering::Relaxed);
    if HOST.set(host).is_err() {
        return;
    }
    let _ = tracing::subscriber::set_global_default(Registry::default().with(HostLayer { host }));
    panic::set_hook(Box::new(move |info| report_panic(host, info)));
}

/// Asks the host anew which events it wants, if it says that this changed.
pub(crate) fn refresh() {
    if let Some(host) = HOST.get() {
        let generation = host.log_generation();
        if GENERATION.load(Ordering::Relaxed) != generation {
            GENERATION.store(generation, Ordering::Relaxed);
            callsite::rebuild_interest_cache();
        }
    }
}

fn report_panic(host: &HostServicesBox, info: &panic::PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let field = |name: &'static str, value| FfiField { name: RStr::from_str(name), value: RStr::from_str(value) };
    let fields = [field("location", location.as_str()), field("thread", thread.name().unwrap_or_default())];
    host.log_event(FfiLogEvent {
        level: level_number(Level::ERROR),
        line: info.location().map_or(0, panic::Location::line),
        file: info.location().map_or("", panic::Location::file).into(),
        target: PANIC_TARGET.into(),
        message: info.payload_as_str().unwrap_or("a panic without a message").into(),
        fields: RSlice::from_slice(&fields),
        spans: RSlice::EMPTY,
        context: context::call(),
        extras: RSlice::EMPTY,
    });
}

struct HostLayer {
    host: &'static HostServicesBox,
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
            span.extensions_mut().insert(OpenSpan { fields, call: context::call() });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<OpenSpan>()
        {
            values.record(&mut open.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope: Vec<_> = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()).collect();
        let extensions: Vec<_> = scope.iter().map(|span| span.extensions()).collect();
        let open: Vec<Option<&OpenSpan>> = extensions.iter().map(|extensions| extensions.get()).collect();
        let lent: Vec<Vec<FfiField<'_>>> =
            open.iter().map(|open| open.map(|open| open.fields.lent()).unwrap_or_default()).collect();
        let spans: Vec<FfiLogSpan<'_>> = scope
            .iter()
            .zip(&lent)
            .map(|(span, fields)| FfiLogSpan { name: span.name().into(), fields: RSlice::from_slice(fields) })
            .collect();
        let of_spans =
            open.iter().rev().flatten().map(|open| open.call).find(|call| *call != FfiCallContext::default());
        let metadata = event.metadata();
        self.host.log_event(FfiLogEvent {
            level: level_number(*metadata.level()),
            line: metadata.line().unwrap_or(0),
            file: metadata.file().unwrap_or_default().into(),
            target: metadata.target().into(),
            message: fields.message.as_str().into(),
            fields: RSlice::from_slice(&fields.lent()),
            spans: RSlice::from_slice(&spans),
            context: of_spans.unwrap_or_else(context::call),
            extras: RSlice::EMPTY,
        });
    }
}

/// What is kept with a span.
struct OpenSpan {
    fields: Fields,
    /// The call in which it was opened; zeros outside of calls.
    call: FfiCallContext,
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
    pairs: Vec<(&'static str, String)>,
}

impl Fields {
    fn lent(&self) -> Vec<FfiField<'_>> {
        self.pairs.iter().map(|(name, value)| FfiField { name: (*name).into(), value: value.as_str().into() }).collect()
    }

    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else if self.pairs.len() < FIELDS_MAX {
            self.pairs.push((field.name(), value));
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
