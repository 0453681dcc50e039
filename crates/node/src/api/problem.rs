//! Error reports as HTTP answers.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mainstay_contract::{Code, Coded, ErrorReport, RetryAdvice};
use serde_json::{Value, json};

/// The media type of a report.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const CODE: HeaderName = HeaderName::from_static("x-mainstay-code");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What a handler fails with.
#[derive(Debug)]
pub(super) struct Problem {
    report: Box<ErrorReport>,
    headers: HeaderMap,
    status: Option<StatusCode>,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(ErrorReport::new(code, message))
    }

    pub(super) fn of(report: ErrorReport) -> Self {
        Self {
            report: Box::new(report),
            headers: HeaderMap::new(),
            status: None,
        }
    }

    pub(super) fn report(&self) -> &ErrorReport {
        &self.report
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.report.hints.push(hint.into());
        self
    }

    /// Offers names that were perhaps meant.
    pub(super) fn near<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let near = mainstay_manifest::near(word, known);
        if near.is_empty() {
            return self;
        }
        let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
        self.hint(format!("did you mean {}?", names.join(" or ")))
    }

    /// Says what it is about.
    pub(super) fn about(mut self, kind: &str, id: &str) -> Self {
        *self.report = self.report.clone().about(kind, id);
        self
    }

    /// Sends a header along.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Whether it has this code.
    pub(super) fn is(&self, code: &Code) -> bool {
        self.report.code == *code
    }

    /// Answers with another status than the code's.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Ends the connection after this answer.
    pub(super) fn close(self) -> Self {
        self.header(header::CONNECTION, "close")
    }
}

impl<E: Coded> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::of(error.report())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self {
            mut report,
            headers,
            status,
        } = self;
        complete(&mut report);
        let usual = || StatusCode::from_u16(report.code.info().http).ok();
        let status = status
            .or_else(usual)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, headers, Json(&*report)).into_response();
        let answer = response.headers_mut();
        answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(code) = HeaderValue::from_str(report.code.as_str()) {
            answer.insert(CODE, code);
        }
        if matches!(
            report.retry.advice,
            RetryAdvice::Never | RetryAdvice::AfterFix
        ) {
            answer.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(after_ms) = report.retry.after_ms {
            answer.insert(header::RETRY_AFTER, after_ms.div_ceil(1000).into());
            answer.insert(RETRY_AFTER_MS, after_ms.into());
        }
        response
    }
}

/// Adds what only the edge knows: the face's typed form, and an incident that the log knows too.
fn complete(report: &mut ErrorReport) {
    if report.data == Value::Null
        && let Some(bare) = report.code.as_str().strip_prefix("runtime.")
    {
        report.data = json!({ "code": bare, "message": report.message });
    }
    if report.code == Code::Internal && report.incident.is_none() {
        let incident = incident();
        tracing::error!(incident, message = report.message, "internal failure");
        report.incident = Some(incident);
    }
}

/// A fresh id under which body and log speak of the same failure.
pub(super) fn incident() -> String {
    format!("inc_{}", uuid::Uuid::now_v7().simple())
}

/// What a caller is told of a panic: never its text.
pub(super) fn of_panic(route: &str) -> Problem {
    let incident = incident();
    tracing::error!(incident, route, "a handler panicked");
    let mut report = ErrorReport::new(
        Code::Internal,
        "the node failed in a way that it should not",
    )
    .hint(format!(
        "report incident {incident} to the operator; the node's log tells more"
    ));
    report.incident = Some(incident);
    Problem::of(report)
}
