//! What the host does for a library: its log.
//!
//! An event of a plugin becomes an event of the host, with the plugin's own level and target, so that a log filter such as
//! `tiered_storage_file_system=debug` works. `tracing` wants a static description for each kind of event; here they are made
//! when first met and kept for ever, at most [`CALLSITES_MAX`] of them, after which targets and field names of plugins are
//! folded into one.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RStr;
use longshore_plugin_api::abi::{FfiField, FfiHostServices, FfiLogEvent, FfiLogSpan, FfiMetric, HostServicesBox};
use tracing::callsite::{self, Callsite, Identifier};
use tracing::field::{FieldSet, Value};
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, dispatcher};

/// Pairs of level and target that get a description of their own.
const CALLSITES_MAX: usize = 1024;

/// The target of events beyond [`CALLSITES_MAX`].
const FOLDED_TARGET: &str = "plugin";

/// The fields of every event: what a plugin's own fields are called is known at run time only, so they come as one text.
const FIELDS: &[&str] = &["message", "plugin", "fields", "spans"];

/// Changes whenever the answers of `log_enabled` may.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The services for the plugin `label` (name and version).
pub(super) fn services(label: &str) -> HostServicesBox {
    HostServicesBox::from_value(Services { plugin: label.to_owned() }, TD_Opaque)
}

struct Services {
    plugin: String,
}

impl FfiHostServices for Services {
    fn log_enabled(&self, level: u32, target: RStr<'_>) -> bool {
        // A panic of a log layer must not unwind into the plugin.
        catch_unwind(|| enabled(described(level, target.as_str()))).unwrap_or(false)
    }

    fn log_generation(&self) -> u64 {
        GENERATION.load(Ordering::Relaxed)
    }

    fn log_event(&self, event: FfiLogEvent<'_>) {
        let _ = catch_unwind(AssertUnwindSafe(|| emit(&self.plugin, &event)));
    }

    fn metric(&self, _metric: FfiMetric<'_>) -> u64 {
        0
    }

    fn metric_record(&self, _series: u64, _value: f64) {}
}

fn enabled(metadata: &'static Metadata<'static>) -> bool {
    dispatcher::get_default(|dispatch| dispatch.enabled(metadata))
}

fn emit(plugin: &str, event: &FfiLogEvent<'_>) {
    let metadata = described(event.level, event.target.as_str());
    if !enabled(metadata) {
        return;
    }
    let fields = pairs(&event.fields);
    let spans = event.spans.iter().map(span).collect::<Vec<_>>().join(":");
    let message: &dyn Value = &event.message.as_str();
    let plugin: &dyn Value = &plugin;
    let fields_value: &dyn Value = &fields.as_str();
    let spans_value: &dyn Value = &spans.as_str();
    let values = [
        Some(message),
        Some(plugin),
        (!fields.is_empty()).then_some(fields_value),
        (!spans.is_empty()).then_some(spans_value),
    ];
    Event::dispatch(metadata, &metadata.fields().value_set_all(&values));
}

fn span(span: &FfiLogSpan<'_>) -> String {
    if span.fields.is_empty() { span.name.to_string() } else { format!("{}{{{}}}", span.name, pairs(&span.fields)) }
}

/// `name=value name=value`.
fn pairs(fields: &[FfiField<'_>]) -> String {
    fields.iter().map(|FfiField { name, value }| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A kind of event, described once and kept for ever.
struct PluginCallsite {
    metadata: OnceLock<Metadata<'static>>,
    /// The last interest that was set, as [`rank`] numbers it; 0 before the first.
    interest: AtomicU8,
}

/// A number for each interest, none of them 0.
fn rank(interest: &Interest) -> u8 {
    match (interest.is_never(), interest.is_sometimes()) {
        (true, _) => 1,
        (_, true) => 2,
        _ => 3,
    }
}

impl Callsite for PluginCallsite {
    // Called when the callsite is made known and whenever the host's levels change. The dispatcher is asked for each event, so
    // what it thinks of the callsite for good is not used here; where it differs from before, the plugins ask again.
    fn set_interest(&self, interest: Interest) {
        let now = rank(&interest);
        let before = self.interest.swap(now, Ordering::Relaxed);
        if before != 0 && before != now {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata.get().expect("set before the callsite is known to anybody")
    }
}

/// The description of events of this level and target.
fn described(level: u32, target: &str) -> &'static Metadata<'static> {
    static KNOWN: Mutex<Option<HashMap<(u32, String), &'static Metadata<'static>>>> = Mutex::new(None);
    let level = level.clamp(1, 5);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(metadata) = known.get(&(level, target.to_owned())) {
        return metadata;
    }
    let target = if known.len() < CALLSITES_MAX { target } else { FOLDED_TARGET };
    known.entry((level, target.to_owned())).or_insert_with(|| describe(level, target))
}

fn describe(level: u32, target: &str) -> &'static Metadata<'static> {
    let callsite: &'static PluginCallsite =
        Box::leak(Box::new(PluginCallsite { metadata: OnceLock::new(), interest: AtomicU8::new(0) }));
    let target: &'static str = Box::leak(target.to_owned().into_boxed_str());
    let fields = FieldSet::new(FIELDS, Identifier(callsite));
    let level = match level {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let metadata = Metadata::new("plugin event", target, level, None, None, None, fields, Kind::EVENT);
    let metadata = callsite.metadata.get_or_init(|| metadata);
    callsite::register(callsite);
    metadata
}
