//! Every failure of a provider, over real HTTP.

use crate::harness::{Place, manifest};
use crate::provider::{Behaviour, Provider};
use serde_json::Value;
use std::time::Duration;

fn run(provider: &Provider, more: &str) -> (Place, Value) {
    let place = Place::new(&manifest(&provider.models(more), ""), "");
    let ran = place.run(&[]);
    let report = ran.report();
    let code = report["code"]
        .as_str()
        .unwrap_or_else(|| panic!("{ran:?}"))
        .to_owned();
    ran.failed_with(&code);
    (place, report)
}

#[track_caller]
fn fails(provider: &Provider, code: &str, requests: usize) -> Value {
    let (_place, report) = run(provider, "");
    assert_eq!(report["code"], code, "{report}");
    assert_eq!(provider.requests(), requests, "{report}");
    report
}

fn error_body(kind: &str, code: &str, message: &str) -> String {
    serde_json::json!({ "error": { "type": kind, "code": code, "message": message } }).to_string()
}

#[test]
fn rate_limited() {
    let body = error_body("requests", "rate_limit_exceeded", "slow down");
    let provider = Provider::status("429 Too Many Requests", "retry-after: 3600\r\n", &body);
    let report = fails(&provider, "inference.rate_limited", 1);
    assert_eq!(report["retry"]["advice"], "after");
    assert_eq!(report["retry"]["after_ms"], 3_600_000);
    assert_eq!(report["data"]["kind"], "rate_limited");
    assert_eq!(report["scored"], false);
}

#[test]
fn quota_exhausted_is_not_repeated() {
    let body = error_body("insufficient_quota", "insufficient_quota", "no credit");
    let provider = Provider::status("429 Too Many Requests", "", &body);
    fails(&provider, "inference.quota_exhausted", 1);
}

#[test]
fn content_filtered() {
    let body = error_body("invalid_request_error", "content_filter", "refused");
    fails(
        &Provider::status("400 Bad Request", "", &body),
        "inference.content_filtered",
        1,
    );
}

#[test]
fn context_length_exceeded() {
    let message = "This model's maximum context length is 4096 tokens. However, your messages \
                   resulted in 5000 tokens.";
    let body = error_body("invalid_request_error", "context_length_exceeded", message);
    let provider = Provider::status("400 Bad Request", "", &body);
    let report = fails(&provider, "inference.context_length_exceeded", 1);
    let data = report["data"].to_string();
    assert!(data.contains("5000") && data.contains("4096"), "{data}");
}

#[test]
fn bad_request() {
    let body = error_body("invalid_request_error", "", "unknown field");
    fails(
        &Provider::status("400 Bad Request", "", &body),
        "inference.bad_request",
        1,
    );
}

#[test]
fn bad_response_is_repeated_and_never_a_short_success() {
    let provider = Provider::status("200 OK", "", "{\"choices\": [");
    let report = fails(&provider, "inference.bad_response", 2);
    assert_eq!(report["effect"], "unknown");
}

#[test]
fn model_not_found() {
    let body = error_body("invalid_request_error", "model_not_found", "no such model");
    fails(
        &Provider::status("404 Not Found", "", &body),
        "inference.model_not_found",
        1,
    );
}

#[test]
fn unauthorized_does_not_show_the_key() {
    let body = error_body(
        "invalid_request_error",
        "invalid_api_key",
        "bad key sk-very-secret",
    );
    let provider = Provider::status("401 Unauthorized", "", &body);
    let models = provider.models(", api_key: {secret: k}");
    let text = format!(
        "{}secrets: {{k: {{file: key.txt}}}}\n",
        manifest(&models, "")
    );
    let place = Place::new(&text, "");
    place.write("key.txt", "sk-very-secret\n");
    let ran = place.run(&[]);
    ran.failed_with("inference.unauthorized");
    assert!(!ran.stdout.contains("sk-very-secret"), "{ran:?}");
    assert!(!ran.stderr.contains("sk-very-secret"), "{ran:?}");
}

#[test]
fn forbidden() {
    let body = error_body("permission_error", "", "not you");
    fails(
        &Provider::status("403 Forbidden", "", &body),
        "inference.forbidden",
        1,
    );
}

#[test]
fn backpressure() {
    let body = error_body("overloaded_error", "", "overloaded");
    fails(
        &Provider::status("529 Overloaded", "", &body),
        "inference.backpressure",
        2,
    );
}

#[test]
fn server_error() {
    let provider = Provider::status("500 Internal Server Error", "", "<html>oops</html>");
    let report = fails(&provider, "inference.server_error", 2);
    assert!(
        !report["message"].as_str().unwrap().contains("<html>"),
        "{report}"
    );
}

#[test]
fn network_error() {
    let provider = Provider::start(Behaviour::Answer(String::new()));
    fails(&provider, "inference.network_error", 2);
}

#[test]
fn timeout_names_its_phase() {
    let provider = Provider::start(Behaviour::Silence(Duration::from_secs(20)));
    let more = ", timeout: {connect: 1s, first_token: 100ms, idle: 100ms, total: 2s}";
    let (_place, report) = run(&provider, more);
    assert_eq!(report["code"], "inference.timeout", "{report}");
    assert_eq!(report["data"]["phase"], "first_token", "{report}");
}

#[test]
fn script_exhausted() {
    let place = Place::scripted("- tool_calls: [{name: shell, arguments: {command: ls}}]\n");
    place.run(&[]).failed_with("inference.script_exhausted");
}
