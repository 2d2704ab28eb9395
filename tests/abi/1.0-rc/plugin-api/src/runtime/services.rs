//! The host's services, which a library keeps from its start to the end of the process.

use std::sync::OnceLock;

use crate::abi::{FfiMetric, HostServicesBox};

static SERVICES: OnceLock<HostServicesBox> = OnceLock::new();

/// Keeps the services; those that came first stay.
pub(crate) fn keep(services: HostServicesBox) -> &'static HostServicesBox {
    SERVICES.get_or_init(|| services)
}

/// The number of a series, or `None` before the library was started.
pub(crate) fn metric(metric: FfiMetric<'_>) -> Option<u64> {
    SERVICES.get().map(|services| services.metric(metric))
}

/// Records a value; 0 is the series that nobody keeps.
pub(crate) fn record(series: u64, value: f64) {
    if series != 0
        && let Some(services) = SERVICES.get()
    {
        services.metric_record(series, value);
    }
}
