//! The loaded plugins as the admin room sees them: plain data.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::plugin_metrics;
use crate::admin::{MetricFamily, OffloaderReport};
use crate::plugin::{PluginHost, PluginState};
use crate::storage::DriverOrigin;

pub(super) struct LoadedOffloaders(pub(super) Arc<PluginHost>);

impl OffloaderReport for LoadedOffloaders {
    fn report(&self) -> serde_json::Value {
        serde_json::to_value(self.0.reports()).expect("a report has only text keys")
    }

    fn metrics(&self) -> Vec<MetricFamily> {
        plugin_metrics::families(&self.0.figures())
    }

    fn origin(&self, driver: &str) -> Option<DriverOrigin> {
        let claims = |drivers: &Vec<String>| drivers.iter().any(|claimed| claimed.eq_ignore_ascii_case(driver));
        let report = self
            .0
            .reports()
            .into_iter()
            .find(|report| report.state == PluginState::Loaded && report.drivers.as_ref().is_some_and(claims))?;
        Some(DriverOrigin {
            plugin: report.name.unwrap_or_default(),
            version: report.version.unwrap_or_default(),
            file: report.file,
        })
    }

    fn secret_keys(&self) -> BTreeSet<String> {
        self.0.secret_keys()
    }
}
