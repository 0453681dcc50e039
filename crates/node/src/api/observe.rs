//! Looking at the node itself.

use super::call::{Answer, Call};
use super::problem::Problem;
use crate::error::RequestError;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use mainstay_contract::Code;
use serde_json::json;

/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the node answers. Needs no key and tells nothing else.
pub(super) async fn health(_: Call) -> Answer {
    let body = json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") });
    Ok(Json(body).into_response())
}

/// Whether requests may be sent here. Needs no key and tells nothing else.
pub(super) async fn ready(call: Call) -> Answer {
    let is_stopping = *call.stopped.borrow() || call.node.is_stopping();
    let problem = if is_stopping {
        Problem::from(RequestError::Stopping)
    } else if call.node.serves_no_model() {
        let message = "the manifest of this node is not valid; its log says why";
        Problem::new(Code::ManifestInvalid, message)
    } else {
        return health(call).await;
    };
    Err(problem.status(StatusCode::SERVICE_UNAVAILABLE))
}

/// What this host can do, and whether the store is sound.
pub(super) async fn doctor(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    Ok(Json(call.node.doctor().await?).into_response())
}

/// Figures for Prometheus, as OpenMetrics to whoever accepts it by name.
pub(super) async fn metrics(call: Call) -> Answer {
    let call = call.known_query(&[])?;
    let (kind, text) = match call.accepts(OPEN_METRICS) {
        true => (OPEN_METRICS_TYPE, call.node.open_metrics_text()),
        false => (METRICS, call.node.metrics_text()),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::VARY, header::ACCEPT.as_str()),
    ];
    Ok((headers, text).into_response())
}
