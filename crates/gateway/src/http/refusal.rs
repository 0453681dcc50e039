//! Failures in the dialect of the route. The report's code is in `X-Mainstay-Code`.

use super::headers::{
    ANTHROPIC_REQUEST_ID, ATTEMPTS, CODE, COST, EFFECT, REQUEST_ID, RESPONSIBLE, RETRY,
    RETRY_AFTER_MS, SHOULD_RETRY,
};
use crate::FlowError;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use mainstay_contract::{Code, Coded, ErrorReport, Responsible, RetryAdvice, Spent};
use mainstay_inference::{Dialect, Failure, InferenceError, InvalidRequest};

/// A failure, ready to be told.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) report: ErrorReport,
    pub(super) status: u16,
    pub(super) param: Option<String>,
    /// How many calls were made.
    pub(super) attempts: u32,
}

impl Refusal {
    pub(super) fn of(report: &ErrorReport) -> Self {
        Self {
            status: status(report),
            report: report.clone(),
            param: None,
            attempts: 0,
        }
    }

    /// A request that cannot be read.
    pub(super) fn invalid(message: impl Into<String>, param: Option<String>) -> Self {
        let mut report = ErrorReport::new(Code::BadRequest, message);
        report.responsible = Responsible::Caller;
        Self {
            param,
            ..Self::of(&report)
        }
    }

    /// A body that is not what its dialect asks for.
    pub(super) fn unread(error: InvalidRequest) -> Self {
        Self::invalid(error.message, error.param)
    }

    /// How a flow failed.
    pub(super) fn of_flow(error: &FlowError, model: &str) -> Self {
        let mut report = flow_report(error, model);
        if matches!(
            error.error,
            InferenceError::BadRequest { .. } | InferenceError::Unsupported { .. }
        ) {
            report.responsible = Responsible::Caller;
        }
        let param = match &error.error {
            InferenceError::Unsupported { param, .. } => Some(param.clone()),
            InferenceError::BadRequest { param, .. } => param.clone(),
            _ => None,
        };
        Self {
            param,
            attempts: error.attempts,
            ..Self::of(&report)
        }
    }

    /// The failure as a dialect tells it.
    pub(super) fn failure<'a>(&'a self, request_id: &'a str) -> Failure<'a> {
        Failure {
            status: self.status,
            code: self.report.code.as_str(),
            message: &self.report.message,
            param: self.param.as_deref(),
            request_id,
        }
    }
}

/// How a flow failed, with all that led to it and what it cost.
#[must_use]
pub fn flow_report(error: &FlowError, model: &str) -> ErrorReport {
    let mut report = error
        .error
        .report()
        .about("model", model)
        .effect(error.effect());
    for (deployment, earlier) in error.earlier.iter().rev() {
        report = report.cause(Some(earlier.code()), format!("{deployment}: {earlier}"));
    }
    report.spent = Spent {
        input_tokens: error.tokens.input,
        output_tokens: error.tokens.output,
        usd: error.usd,
        ms: u64::try_from(error.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    report
}

/// The status that official clients know for a failure: what is wrong with a request is 400 to them.
fn status(report: &ErrorReport) -> u16 {
    match report.code {
        // It is the operator's address that leads elsewhere.
        Code::BadRequest if report.responsible != Responsible::Caller => report.code.info().http,
        Code::BadRequest | Code::ContextLengthExceeded | Code::ContentFiltered => 400,
        Code::ModelNotFound => 404,
        // The caller's own key, not the operator's at the provider.
        Code::ProviderForbidden if report.responsible == Responsible::Caller => 403,
        _ => report.code.info().http,
    }
}

/// The answer that tells a failure.
pub(super) fn refuse(dialect: Dialect, refusal: &Refusal, request_id: &str) -> Response {
    let body = dialect.write_failure(&refusal.failure(request_id));
    let mut response = Response::new(Body::from(body));
    let status = StatusCode::from_u16(refusal.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Ok(code) = HeaderValue::from_str(refusal.report.code.as_str()) {
        headers.insert(CODE, code);
    }
    let report = &refusal.report;
    if let Ok(usd) = HeaderValue::from_str(&report.spent.usd.to_string()) {
        headers.insert(COST, usd);
    }
    headers.insert(ATTEMPTS, refusal.attempts.into());
    let words = [
        (RESPONSIBLE, word(report.responsible)),
        (EFFECT, word(report.effect)),
        (RETRY, word(report.retry.advice)),
    ];
    for (name, word) in words {
        word.map(|word| headers.insert(name, word));
    }
    let retry = &report.retry;
    if matches!(retry.advice, RetryAdvice::Never | RetryAdvice::AfterFix) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(after_ms) = retry.after_ms {
        headers.insert(header::RETRY_AFTER, after_ms.div_ceil(1000).into());
        headers.insert(RETRY_AFTER_MS, after_ms.into());
    }
    mark(&mut response, request_id);
    response
}

/// A word of the contract, as it stands in reports.
fn word(word: impl serde::Serialize) -> Option<HeaderValue> {
    let word = serde_json::to_value(word).ok()?;
    HeaderValue::from_str(word.as_str()?).ok()
}

/// Names a response by its request.
pub(super) fn mark(response: &mut Response, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id.clone());
        response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id);
    }
}
