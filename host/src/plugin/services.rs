//! What the host does for a library: its log, its metrics.
//!
//! An event of a plugin becomes an event of the host, with the plugin's own level and target, so that a log filter such as
//! `tiered_storage_file_system=debug` works, under the host's span of the call in which it happened, without the secrets that the host knows. `tracing` wants a static
//! description for each kind of event; here they are made when first met and kept for ever, at most [`CALLSITES_MAX`] of them,
//! after which targets of plugins are folded into one.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RStr;
use longshore_plugin_api::abi::{FfiField, FfiHostServices, FfiLogEvent, FfiLogSpan, FfiMetric, HostServicesBox};
use tracing::callsite::{self, Callsite, Identifier};
use tracing::field::{FieldSet, Value};
use tracing::metadata::Kind;
use tracing::span::Id;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, dispatcher};

use super::own_metrics::OwnMetrics;
use super::secrets;

/// Pairs of level and target that get a description of their own.
const CALLSITES_MAX: usize = 1024;

/// The target of events beyond [`CALLSITES_MAX`].
const FOLDED_TARGET: &str = "plugin";

/// The fields of every event: what a plugin's own fields are called is known at run time only, so they come as one text.
const FIELDS: &[&str] = &["message", "plugin", "fields", "spans", "trace"];

/// Changes whenever the answers of `log_enabled` may.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The services for the plugin `label` (name and version), whose metrics go into `own`.
pub(super) fn services(label: &str, own: Arc<OwnMetrics>) -> HostServicesBox {
    HostServicesBox::from_value(Services { plugin: label.to_owned(), own }, TD_Opaque)
}

struct Services {
    plugin: String,
    own: Arc<OwnMetrics>,
}

impl FfiHostServices for Services {
    fn log_enabled(&self, level: u32, target: RStr<'_>) -> bool {
        // A panic of a log layer must not unwind into the plugin.
        catch_unwind(|| described(level, target.as_str()).is_enabled()).unwrap_or(false)
    }

    fn log_generation(&self) -> u64 {
        GENERATION.load(Ordering::Relaxed)
    }

    fn log_event(&self, event: FfiLogEvent<'_>) {
        let _ = catch_unwind(AssertUnwindSafe(|| emit(&self.plugin, &event)));
    }

    fn metric(&self, metric: FfiMetric<'_>) -> u64 {
        catch_unwind(AssertUnwindSafe(|| self.own.register(&metric))).unwrap_or(0)
    }

    fn metric_record(&self, series: u64, value: f64) {
        self.own.record(series, value);
    }
}

fn emit(plugin: &str, event: &FfiLogEvent<'_>) {
    let callsite = described(event.level, event.target.as_str());
    if !callsite.is_enabled() {
        return;
    }
    let metadata = callsite.known_metadata();
    let (mut fields, mut spans) = (String::new(), String::new());
    write_pairs(&mut fields, &event.fields);
    for span in event.spans.iter() {
        write_span(&mut spans, span);
    }
    let trace = event.context.trace().map(|trace| trace.traceparent());
    let (fields, spans) = (secrets::without(&fields), secrets::without(&spans));
    let message = secrets::without(event.message.as_str());
    let message: &dyn Value = &&*message;
    let plugin: &dyn Value = &plugin;
    let fields_value: &dyn Value = &&*fields;
    let spans_value: &dyn Value = &&*spans;
    let trace_value: &dyn Value = &trace.as_deref();
    let values = [
        Some(message),
        Some(plugin),
        (!fields.is_empty()).then_some(fields_value),
        (!spans.is_empty()).then_some(spans_value),
        trace.is_some().then_some(trace_value),
    ];
    let values = metadata.fields().value_set_all(&values);
    match event.context.host_span {
        0 => Event::dispatch(metadata, &values),
        span => Event::child_of(Id::from_u64(span), metadata, &values),
    }
}

/// `name{field=value}`, with `:` between spans.
fn write_span(text: &mut String, span: &FfiLogSpan<'_>) {
    if !text.is_empty() {
        text.push(':');
    }
    text.push_str(span.name.as_str());
    if !span.fields.is_empty() {
        text.push('{');
        write_pairs(text, &span.fields);
        text.push('}');
    }
}

/// `name=value name=value`.
fn write_pairs(text: &mut String, fields: &[FfiField<'_>]) {
    for (place, FfiField { name, value }) in fields.iter().enumerate() {
        let space = if place == 0 { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(text, "{space}{name}={value}");
    }
}

/// A kind of event, described once and kept for ever.
struct PluginCallsite {
    metadata: OnceLock<Metadata<'static>>,
    /// The last interest that was set, as [`rank`] numbers it; 0 before the first.
    interest: AtomicU8,
}

impl PluginCallsite {
    fn known_metadata(&self) -> &Metadata<'static> {
        self.metadata.get().expect("set before the callsite is known to anybody")
    }

    /// Whether the host's log wants such events at this moment.
    fn is_enabled(&'static self) -> bool {
        match self.interest.load(Ordering::Relaxed) {
            NEVER => false,
            _ => dispatcher::get_default(|dispatch| dispatch.enabled(self.known_metadata())),
        }
    }
}

/// The [`rank`] of "never".
const NEVER: u8 = 1;

/// A number for each interest, none of them 0.
fn rank(interest: &Interest) -> u8 {
    match (interest.is_never(), interest.is_sometimes()) {
        (true, _) => NEVER,
        (_, true) => 2,
        _ => 3,
    }
}

impl Callsite for PluginCallsite {
    // Called when the callsite is made known, and whenever the host's levels change: where it differs from before, the plugins
    // have to ask again.
    fn set_interest(&self, interest: Interest) {
        let now = rank(&interest);
        let before = self.interest.swap(now, Ordering::Relaxed);
        if before != 0 && before != now {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn metadata(&self) -> &Metadata<'_> {
        self.known_metadata()
    }
}

/// What is known of one target: a callsite for each level.
type Levels = [Option<&'static PluginCallsite>; 5];

/// The callsite for events of this level and target.
fn described(level: u32, target: &str) -> &'static PluginCallsite {
    static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);
    let place = level.clamp(1, 5) as usize - 1;
    {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(callsite) = known.find(target, place) {
            return callsite;
        }
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    // Another thread may have been quicker.
    let found = known.find(target, place);
    found.unwrap_or_else(|| known.add(target, place))
}

#[derive(Default)]
struct Known {
    targets: HashMap<String, Levels>,
    count: usize,
}

impl Known {
    fn find(&self, target: &str, place: usize) -> Option<&'static PluginCallsite> {
        let known = self.targets.get(target).and_then(|levels| levels[place]);
        let folded = || self.targets.get(FOLDED_TARGET).and_then(|levels| levels[place]);
        if known.is_none() && self.count >= CALLSITES_MAX { folded() } else { known }
    }

    fn add(&mut self, target: &str, place: usize) -> &'static PluginCallsite {
        let target = if self.count < CALLSITES_MAX { target } else { FOLDED_TARGET };
        self.count += 1;
        self.targets.entry(target.to_owned()).or_default()[place].insert(describe(place, target))
    }
}

fn describe(place: usize, target: &str) -> &'static PluginCallsite {
    const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    let callsite = PluginCallsite { metadata: OnceLock::new(), interest: AtomicU8::new(0) };
    let callsite: &'static PluginCallsite = Box::leak(Box::new(callsite));
    let target: &'static str = Box::leak(target.to_owned().into_boxed_str());
    let fields = FieldSet::new(FIELDS, Identifier(callsite));
    let metadata = Metadata::new("plugin event", target, LEVELS[place], None, None, None, fields, Kind::EVENT);
    let _metadata = callsite.metadata.get_or_init(|| metadata);
    callsite::register(callsite);
    callsite
}
