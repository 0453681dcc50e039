//! Every provider's shape of every failure.

use super::{Cleaner, fault, stream_fault};
use crate::{InferenceError, Origin};
use mainstay_contract::Secret;
use serde_json::{Value, json};
use std::time::Duration;

fn cleaner() -> Cleaner {
    Cleaner::new(vec![Secret::new("sk-secret")])
}

fn kind(error: &InferenceError) -> String {
    serde_json::to_value(error).unwrap()["kind"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn of(status: u16, body: &Value) -> InferenceError {
    let body = body.to_string();
    fault(
        Origin::default(),
        status,
        None,
        body.as_bytes(),
        false,
        &cleaner(),
    )
}

fn in_stream(value: &Value) -> InferenceError {
    stream_fault(Origin::default(), value, &cleaner())
}

fn all(table: &[(u16, Value, &str)]) {
    for (status, body, expected) in table {
        assert_eq!(kind(&of(*status, body)), *expected, "{status} {body}");
    }
}

fn openai(kind: &str, code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

#[test]
fn the_field_that_is_refused_is_known() {
    let param = |param: Value| {
        let body = json!({"error": {
            "message": "m", "type": "invalid_request_error", "param": param, "code": "invalid_type",
        }});
        match of(400, &body) {
            InferenceError::BadRequest { param, .. } => param,
            other => panic!("{other:?}"),
        }
    };
    let named = param(json!("messages[1].\u{7}content\nx"));
    assert_eq!(named.as_deref(), Some("messages[1]. content x"));
    for nothing in [Value::Null, json!(""), json!(7)] {
        assert_eq!(param(nothing), None);
    }
}

#[test]
fn openais() {
    let request = "invalid_request_error";
    all(&[
        (
            429,
            openai("tokens", "rate_limit_exceeded", "slow"),
            "rate_limited",
        ),
        (
            429,
            openai("insufficient_quota", "insufficient_quota", "m"),
            "quota_exhausted",
        ),
        (
            401,
            openai(request, "invalid_api_key", "Incorrect API key"),
            "unauthorized",
        ),
        (
            403,
            openai(
                "request_forbidden",
                "unsupported_country_region_territory",
                "m",
            ),
            "forbidden",
        ),
        (
            404,
            openai(request, "model_not_found", "The model `x` does not exist"),
            "model_not_found",
        ),
        (
            404,
            openai(request, "", "Invalid URL (POST /v1/chat)"),
            "misdirected",
        ),
        (
            400,
            openai(request, "context_length_exceeded", "too long"),
            "context_length_exceeded",
        ),
        (
            400,
            openai(request, "content_policy_violation", "m"),
            "content_filtered",
        ),
        (
            400,
            openai(request, "invalid_prompt", "flagged"),
            "content_filtered",
        ),
        (
            400,
            openai(request, "unknown_parameter", "m"),
            "bad_request",
        ),
        (500, openai("server_error", "", "m"), "server_error"),
        (
            503,
            openai("server_error", "", "overloaded"),
            "backpressure",
        ),
        (500, openai("overloaded", "", "m"), "backpressure"),
    ]);
}

#[test]
fn azures_and_others() {
    let azure = json!({"error": {"message": "filtered", "type": null, "code": "content_filter",
        "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    let azure_inner = json!({"error": {"message": "m", "code": "BadRequest",
        "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    all(&[
        (400, azure, "content_filtered"),
        (400, azure_inner, "content_filtered"),
        (
            404,
            json!({"error": {"code": "DeploymentNotFound", "message": "m"}}),
            "model_not_found",
        ),
        (
            401,
            json!({"statusCode": 401, "message": "Unauthorized"}),
            "unauthorized",
        ),
        (408, json!({}), "server_error"),
        (409, json!({}), "server_error"),
        (413, json!({"error": "too many bytes"}), "bad_request"),
        (415, json!({}), "bad_request"),
        (
            422,
            json!({"detail": [{"loc": ["body"], "msg": "m"}]}),
            "bad_request",
        ),
        (
            402,
            json!({"error": {"message": "Insufficient Balance"}}),
            "quota_exhausted",
        ),
    ]);
}

fn anthropic(kind: &str, message: &str) -> Value {
    json!({"type": "error", "request_id": "req_1", "error": {"type": kind, "message": message}})
}

#[test]
fn anthropics() {
    let request = "invalid_request_error";
    let spent = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m",
        "details": {"error_code": "enforced_spend_limit_reached"}}});
    all(&[
        (
            400,
            anthropic(request, "messages: Field required"),
            "bad_request",
        ),
        (
            400,
            anthropic(request, "Your credit balance is too low"),
            "quota_exhausted",
        ),
        (
            400,
            anthropic(request, "Output blocked by content filtering policy"),
            "content_filtered",
        ),
        (
            400,
            anthropic(request, "prompt is too long: 5000 tokens > 4096 maximum"),
            "context_length_exceeded",
        ),
        (
            401,
            anthropic("authentication_error", "invalid x-api-key"),
            "unauthorized",
        ),
        (402, anthropic("billing_error", "m"), "quota_exhausted"),
        (403, anthropic("permission_error", "m"), "forbidden"),
        (
            404,
            anthropic("not_found_error", "model: claude-x"),
            "model_not_found",
        ),
        (
            404,
            anthropic("not_found_error", "Not Found"),
            "bad_request",
        ),
        (
            413,
            anthropic("request_too_large", "Request exceeds the maximum size"),
            "bad_request",
        ),
        (429, anthropic("rate_limit_error", "m"), "rate_limited"),
        (429, spent, "quota_exhausted"),
        (500, anthropic("api_error", "m"), "server_error"),
        (504, anthropic("timeout_error", "m"), "server_error"),
        (
            529,
            anthropic("overloaded_error", "Overloaded"),
            "backpressure",
        ),
    ]);
}

fn google(code: u16, status: &str, message: &str, details: Value) -> Value {
    json!({"error": {"code": code, "status": status, "message": message, "details": details}})
}

#[test]
fn googles() {
    let bad_key =
        json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let none = || json!([]);
    let too_long =
        "The input token count (5000) exceeds the maximum number of tokens allowed (4096).";
    all(&[
        (
            400,
            google(400, "INVALID_ARGUMENT", "API key not valid.", bad_key),
            "unauthorized",
        ),
        (
            400,
            google(400, "INVALID_ARGUMENT", too_long, none()),
            "context_length_exceeded",
        ),
        (
            400,
            google(400, "INVALID_ARGUMENT", "Unknown name", none()),
            "bad_request",
        ),
        (
            400,
            google(
                400,
                "FAILED_PRECONDITION",
                "User location is not supported for the API use.",
                none(),
            ),
            "forbidden",
        ),
        (
            401,
            google(401, "UNAUTHENTICATED", "m", none()),
            "unauthorized",
        ),
        (
            403,
            google(403, "PERMISSION_DENIED", "m", none()),
            "forbidden",
        ),
        (
            404,
            google(404, "NOT_FOUND", "models/x is not found", none()),
            "model_not_found",
        ),
        (
            429,
            google(429, "RESOURCE_EXHAUSTED", "m", none()),
            "rate_limited",
        ),
        (500, google(500, "INTERNAL", "m", none()), "server_error"),
        (
            503,
            google(503, "UNAVAILABLE", "The model is overloaded.", none()),
            "backpressure",
        ),
        (
            504,
            google(504, "DEADLINE_EXCEEDED", "m", none()),
            "server_error",
        ),
    ]);
    let list = json!([google(503, "UNAVAILABLE", "m", none())]);
    assert_eq!(kind(&in_stream(&list)), "backpressure");
}

#[test]
fn servers_of_ones_own() {
    let vllm = |kind: &str, code: u16, message: &str| json!({"object": "error", "message": message, "type": kind, "param": null, "code": code});
    let long =
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens";
    let llama = json!({"error": {"code": 400, "type": "exceed_context_size_error",
        "message": "the request exceeds the available context size",
        "n_prompt_tokens": 5000, "n_ctx": 4096}});
    all(&[
        (
            400,
            vllm("BadRequestError", 400, long),
            "context_length_exceeded",
        ),
        (400, vllm("BadRequestError", 400, "bad"), "bad_request"),
        (
            404,
            vllm("NotFoundError", 404, "The model `x` does not exist."),
            "model_not_found",
        ),
        (500, vllm("InternalServerError", 500, "m"), "server_error"),
        (400, llama.clone(), "context_length_exceeded"),
        (
            503,
            json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
            "backpressure",
        ),
        (
            404,
            json!({"error": "model 'x' not found, try pulling it first"}),
            "model_not_found",
        ),
        (
            502,
            json!({"errors": [{"message": "bad gateway"}]}),
            "server_error",
        ),
        (302, json!({}), "misdirected"),
        (404, json!({"detail": "Not Found"}), "misdirected"),
        (405, json!({"detail": "Method Not Allowed"}), "misdirected"),
        (407, json!({}), "misdirected"),
        (
            400,
            json!({"code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: sk***up."}),
            "unauthorized",
        ),
        (
            400,
            json!({"detail": "Missing or invalid Authorization header."}),
            "unauthorized",
        ),
    ]);
    assert_eq!(
        kind(&in_stream(&vllm("InternalServerError", 500, "m"))),
        "server_error"
    );
    for body in [llama, vllm("BadRequestError", 400, long)] {
        assert!(matches!(
            of(400, &body),
            InferenceError::ContextLengthExceeded {
                tokens: Some(5000),
                max_tokens: Some(4096),
                ..
            }
        ));
    }
}

#[test]
fn within_answers() {
    for (value, expected) in [
        (anthropic("overloaded_error", "Overloaded"), "backpressure"),
        (anthropic("api_error", "m"), "server_error"),
        (anthropic("timeout_error", "m"), "server_error"),
        (anthropic("rate_limit_error", "m"), "rate_limited"),
        (anthropic("authentication_error", "m"), "unauthorized"),
        (anthropic("permission_error", "m"), "forbidden"),
        (anthropic("invalid_request_error", "m"), "bad_request"),
        (anthropic("not_found_error", "model: x"), "model_not_found"),
        (anthropic("something_new", "m"), "bad_response"),
        (openai("server_error", "", "m"), "server_error"),
        (
            openai("requests", "rate_limit_exceeded", "m"),
            "rate_limited",
        ),
        (
            json!({"type": "error", "code": "server_error", "message": "m"}),
            "server_error",
        ),
        (
            json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "m"}}}),
            "rate_limited",
        ),
        (
            google(429, "RESOURCE_EXHAUSTED", "m", json!([])),
            "rate_limited",
        ),
        (
            json!({"error": {"message": "m", "code": 401}}),
            "unauthorized",
        ),
        (json!("gone"), "bad_response"),
    ] {
        assert_eq!(kind(&in_stream(&value)), expected, "{value}");
    }
}

#[test]
fn the_wait_comes_from_the_headers_or_the_body() {
    let retry = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}]);
    let body = google(429, "RESOURCE_EXHAUSTED", "m", retry);
    assert_eq!(of(429, &body).retry_after(), Some(Duration::from_secs(37)));
    let header = Some(Duration::from_secs(2));
    let body = body.to_string();
    let error = fault(
        Origin::default(),
        429,
        header,
        body.as_bytes(),
        false,
        &cleaner(),
    );
    assert_eq!(error.retry_after(), header);
    let error = fault(Origin::default(), 503, header, b"", false, &cleaner());
    assert_eq!(error.retry_after(), header);
}

#[test]
fn words_are_clean() {
    let page = b"<html><head><title>502 Bad Gateway</title><script>evil()</script></head><body>sk-secret</body></html>";
    let error = fault(Origin::default(), 502, None, page, false, &cleaner());
    let told = serde_json::to_string(&error).unwrap();
    assert!(told.contains("502 Bad Gateway"));
    for leak in ["sk-secret", "evil", "<"] {
        assert!(!told.contains(leak), "{told}");
    }
    let long = openai("server_error", "", &"x".repeat(5000));
    let InferenceError::ServerError { message, .. } = of(500, &long) else {
        panic!("no server error");
    };
    assert_eq!(message.chars().count(), 501);
}

#[test]
fn filters_are_named() {
    let body = json!({"error": {"message": "m", "code": "content_filter",
        "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    let InferenceError::ContentFiltered { reason, .. } = of(400, &body) else {
        panic!("not filtered");
    };
    assert_eq!(reason, "responsibleaipolicyviolation");
}

proptest::proptest! {
    #[test]
    fn whatever_comes_makes_an_error(
        status: u16, body: Vec<u8>, is_cut: bool, value in crate::strategies::any_json()
    ) {
        let _ = fault(Origin::default(), status, None, &body, is_cut, &cleaner());
        let _ = fault(Origin::default(), status, None, value.to_string().as_bytes(), false, &cleaner());
        let _ = in_stream(&value);
    }
}
