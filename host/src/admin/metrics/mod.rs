//! Metrics as Prometheus text, in the original's names and labels, as far as this broker counts.
//!
//! [`catalogue`] has a row for every family, [`text`] knows the format. [`topics`], [`ledgers`], [`drivers`] and [`process`]
//! say what is counted, [`families`] what others bring; [`detail`] how finely topics are told apart. Nothing is counted here:
//! the counters stand where the work is done. A name of the original's that nothing counts here is not printed, since a zero
//! that means "unknown" misleads; `docs/operate/metrics.md` names those.

mod catalogue;
mod detail;
mod drivers;
mod families;
mod ledgers;
#[cfg(test)]
pub(crate) mod page;
mod process;
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
pub use detail::Detail;
pub use families::{MetricFamily, MetricSeries, MetricValue};
#[cfg(test)]
pub(super) use page::check_labels;
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
    let mut out = Exposition::of_catalogue();
    let cluster = Labels::default().with("cluster", &state.facts.cluster);
    let loaded = state.topics.loaded();
    ledgers::add_broker(&mut out, &cluster, loaded.len(), &state.cache_budget);
    process::add(&mut out, &cluster);
    let now_ms = state.clock.now_ms();
    topics::add(&mut out, &cluster, state.facts.metrics_detail, &loaded, now_ms);
    ledgers::add(&mut out, &cluster, &loaded);
    drivers::add(&mut out, &cluster, state.facts.metrics_detail, state.offloads.counters().snapshot());
    families::add(&mut out, &cluster, &state.offloaders.metrics());
    out.finish()
}
