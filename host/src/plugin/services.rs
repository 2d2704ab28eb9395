//! What the host does for a library: its log.
//!
//! An event of a plugin becomes an event of the host, with the plugin's own level and target, so that a log filter such as
//! `tiered_storage_file_system=debug` works. `tracing` wants a static description for each kind of event; here they are made
//! when first met and kept for ever, at most [`CALLSITES_MAX`] of them, after which targets and field names of plugins are
//! folded into one.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RStr, RString, Tuple2};
use longshore_plugin_api::abi::{FfiHostServices, FfiLogEvent, FfiLogSpan, HostServicesBox};
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

    fn log_event(&self, event: FfiLogEvent) {
        let _ = catch_unwind(AssertUnwindSafe(|| emit(&self.plugin, &event)));
    }
}

fn enabled(metadata: &'static Metadata<'static>) -> bool {
    dispatcher::get_default(|dispatch| dispatch.enabled(metadata))
}

fn emit(plugin: &str, event: &FfiLogEvent) {
    let metadata = described(event.level, &event.target);
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

fn span(span: &FfiLogSpan) -> String {
    if span.fields.is_empty() { span.name.to_string() } else { format!("{}{{{}}}", span.name, pairs(&span.fields)) }
}

/// `name=value name=value`.
fn pairs(fields: &[Tuple2<RString, RString>]) -> String {
    fields.iter().map(|Tuple2(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A kind of event, described once and kept for ever.
struct PluginCallsite {
    metadata: OnceLock<Metadata<'static>>,
}

impl Callsite for PluginCallsite {
    // The dispatcher is asked for each event, so what it thinks of the callsite for good is not kept.
    fn set_interest(&self, _interest: Interest) {}

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
    let callsite: &'static PluginCallsite = Box::leak(Box::new(PluginCallsite { metadata: OnceLock::new() }));
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
