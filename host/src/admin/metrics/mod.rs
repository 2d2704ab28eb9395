//! Metrics as Prometheus text, in the original's names and labels, as far as this broker counts.
//!
//! [`text`] knows the format, [`topics`] and [`drivers`] what is counted, [`families`] what others bring, [`help`] the sentence for each name of the original. A name that nothing counts here is not printed:
//! a zero that means "unknown" misleads.

mod drivers;
mod families;
mod help;
mod text;
mod topics;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::AdminState;
use super::answer::Answer;
use super::error::AdminError;
use super::handlers::Shared;
pub use families::{MetricFamily, MetricSeries, MetricValue};
pub use text::Kind;
#[cfg(test)]
pub(super) use text::check;
use text::{Exposition, Labels};

/// The text format's version that is written.
const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The original's server sends everybody to the path with a slash.
pub(super) async fn redirect() -> Response {
    (StatusCode::FOUND, [(LOCATION, HeaderValue::from_static("/metrics/"))]).into_response()
}

pub(super) async fn scrape(State(state): Shared) -> Answer {
    // Many topics make this long; requests go on meanwhile.
    let text = tokio::task::spawn_blocking(move || render(&state)).await;
    let text = text.map_err(|error| AdminError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(CONTENT_TYPE, FORMAT)], text).into_response())
}

fn render(state: &AdminState) -> String {
    let mut out = Exposition::default();
    let cluster = Labels::default().with("cluster", &state.facts.cluster);
    let loaded = state.topics.loaded();
    out.sample("pulsar_ml_count", Kind::Gauge, &cluster, loaded.len() as f64);
    out.sample("pulsar_ml_cache_used_size", Kind::Gauge, &cluster, state.cache_budget.used_bytes() as f64);
    topics::add(&mut out, &cluster, &loaded);
    drivers::add(&mut out, &cluster, &state.offloads.counters().snapshot());
    families::add(&mut out, &cluster, &state.offloaders.metrics());
    out.finish()
}
