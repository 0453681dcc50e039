//! Who is told something before any route is reached: without a key, on a wrong path, at a wrong moment.

use super::arrival::discard;
use super::refusal::{Refusal, refuse};
use super::{dialect_of, routes};
use crate::request_id::request_id;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use mainstay_contract::{Code, ErrorReport, Responsible, Retry, RetryAdvice};

/// Tells whoever is not let in why, in the dialect of the route.
#[must_use]
pub fn turned_away(path: &str, headers: &HeaderMap, report: &ErrorReport) -> Response {
    let dialect = dialect_of(path, headers);
    refuse(dialect, &Refusal::of(report), &request_id())
}

/// Tells whoever comes while the manifest cannot be used, and none before it could: not even the callers' keys
/// are known. Why is for the operator to read.
#[must_use]
pub fn unserved(path: &str, headers: &HeaderMap) -> Response {
    let message = "the manifest of this node is not valid, so it serves no model; its log says why";
    let mut report = ErrorReport::new(Code::ManifestInvalid, message);
    report.responsible = Responsible::Operator;
    report.retry = Retry {
        advice: RetryAdvice::After,
        after_ms: Some(5_000),
    };
    let refusal = Refusal {
        status: 503,
        ..Refusal::of(&report)
    };
    refuse(dialect_of(path, headers), &refusal, &request_id())
}

/// Answers where there is no route, in the dialect that the caller seems to speak.
pub async fn lost(request: Request) -> Response {
    let served: Vec<String> = routes()
        .into_iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let message = format!(
        "there is no route {} {}; there are {}",
        request.method(),
        shown(request.uri().path()),
        served.join(", ")
    );
    misled(request, &ErrorReport::new(Code::NotFound, message), 404)
}

pub(super) async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let allowed = if path.starts_with("/v1/models") {
        "GET, HEAD"
    } else {
        "POST"
    };
    let message = format!("{} does not answer {method}, but {allowed}", shown(path));
    let report = ErrorReport::new(Code::InvalidRequest, message);
    let mut response = misled(request, &report, 405);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

fn misled(request: Request, report: &ErrorReport, status: u16) -> Response {
    let dialect = dialect_of(request.uri().path(), request.headers());
    let (parts, body) = request.into_parts();
    discard(&parts.headers, body);
    let refusal = Refusal {
        status,
        ..Refusal::of(report)
    };
    refuse(dialect, &refusal, &request_id())
}

/// A path, short enough to be repeated.
fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}
