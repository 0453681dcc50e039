//! Errors that providers answer with, and what they mean.

use crate::server::{
    Act, KEY, Server, ask, events, failure, json, plain, provider, response, settings,
};
use mainstay_contract::{Coded, EffectState, RetryAdvice};
use mainstay_providers::{InferenceError, ProviderOpenError, ProviderSettings, open};
use std::time::Duration;

async fn code(acts: Vec<Act>) -> String {
    failure(acts).await.code().as_str().to_owned()
}

#[tokio::test]
async fn every_status_has_its_error() {
    for (status, body, expected) in [
        (302, "", "inference.bad_request"),
        (
            400,
            r#"{"error":{"message":"bad role"}}"#,
            "inference.bad_request",
        ),
        (
            400,
            r#"{"error":{"code":"content_filter","message":"no"}}"#,
            "inference.content_filtered",
        ),
        (
            400,
            r#"{"error":{"code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            "inference.content_filtered",
        ),
        (
            400,
            r#"[{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#,
            "inference.unauthorized",
        ),
        (
            400,
            r#"{"error":{"code":"model_not_found"}}"#,
            "inference.model_not_found",
        ),
        (
            401,
            r#"{"error":{"message":"who?"}}"#,
            "inference.unauthorized",
        ),
        (402, "", "inference.quota_exhausted"),
        (
            403,
            r#"{"error":{"type":"permission_error"}}"#,
            "inference.forbidden",
        ),
        (
            404,
            r#"{"error":{"message":"The model `tiny-1` does not exist"}}"#,
            "inference.model_not_found",
        ),
        (404, "<html>not found</html>", "inference.bad_request"),
        (408, "", "inference.server_error"),
        (409, "", "inference.server_error"),
        (413, "too large", "inference.bad_request"),
        (
            413,
            r#"{"error":{"message":"Request too large","code":"rate_limit_exceeded"}}"#,
            "inference.bad_request",
        ),
        (
            422,
            r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#,
            "inference.bad_request",
        ),
        (
            429,
            r#"{"error":{"code":"rate_limit_exceeded"}}"#,
            "inference.rate_limited",
        ),
        (
            429,
            r#"{"error":{"code":"insufficient_quota"}}"#,
            "inference.quota_exhausted",
        ),
        (500, "{", "inference.server_error"),
        (
            500,
            r#"{"error":{"type":"overloaded_error"}}"#,
            "inference.backpressure",
        ),
        (502, "<html><h1>502</h1></html>", "inference.server_error"),
        (503, "", "inference.backpressure"),
        (
            529,
            r#"{"error":{"type":"overloaded_error"}}"#,
            "inference.backpressure",
        ),
    ] {
        assert_eq!(code(json(status, body)).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn an_error_within_a_success_is_an_error() {
    for (error, expected) in [
        (
            r#"{"message":"slow down","type":"rate_limit_error"}"#,
            "inference.rate_limited",
        ),
        (
            r#"{"message":"busy","type":"overloaded_error"}"#,
            "inference.backpressure",
        ),
        (r#"{"message":"busy","code":503}"#, "inference.backpressure"),
        (
            r#"{"message":"oops","type":"server_error"}"#,
            "inference.server_error",
        ),
        (
            r#"{"message":"no","code":"content_filter"}"#,
            "inference.content_filtered",
        ),
        (r#"{"message":"odd"}"#, "inference.bad_response"),
        (r#""just words""#, "inference.bad_response"),
    ] {
        let body = format!("{{\"error\":{error}}}");
        let told = failure(json(200, &body)).await;
        assert_eq!(told.code().as_str(), expected, "{error}");
        assert!(!told.may_be_billed(), "{told:?}");
        assert!(!told.to_string().contains("status 500"), "{told}");
        let first = failure(events(&format!("data: {body}\n\n"))).await;
        assert_eq!((first.code(), first.may_be_billed()), (told.code(), false));
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"half \"}}]}\n\n";
        let midway = failure(events(&format!("{text}data: {body}\n\ndata: [DONE]\n\n"))).await;
        assert_eq!(midway.code().as_str(), expected, "{error}");
        assert_eq!(
            midway.effect(),
            EffectState::Unknown,
            "tokens may have been billed"
        );
        assert!(midway.may_be_billed(), "{midway:?}");
    }
    let half = r#"{"choices":[{"message":{"content":"half"},"finish_reason":"error"}]}"#;
    assert!(failure(json(200, half)).await.may_be_billed());
    for (error, told) in [
        ("server_error", "answered 200 with an error: no"),
        ("invalid_request_error", "answered 200 with an error: no"),
        ("odd", "answered 200 with an error: no"),
        ("rate_limit_error", "limits the rate of requests: no"),
    ] {
        let body = format!(r#"{{"error":{{"message":"no","type":"{error}"}}}}"#);
        let error = failure(json(200, &body)).await;
        assert_eq!(error.to_string(), format!("openai_compatible {told}"));
    }
}

#[tokio::test]
async fn both_numbers_of_a_long_conversation_are_told() {
    let message = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.";
    let coded =
        format!(r#"{{"error":{{"code":"context_length_exceeded","message":"{message}"}}}}"#);
    let worded = format!(r#"{{"object":"error","message":"{message}","code":400}}"#);
    let local = r#"{"error":{"type":"exceed_context_size_error","message":"too long","n_prompt_tokens":5000,"n_ctx":4096}}"#;
    for body in [coded.as_str(), worded.as_str(), local] {
        let report = failure(json(400, body)).await.report();
        assert_eq!(
            report.code.as_str(),
            "inference.context_length_exceeded",
            "{body}"
        );
        assert_eq!(
            (&report.data["tokens"], &report.data["max_tokens"]),
            (&5000.into(), &4096.into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_advice_of_the_provider_reaches_the_report() {
    for (header, expected) in [
        ("retry-after: 2\r\n", Some(2000)),
        ("retry-after: 0.5\r\n", Some(500)),
        ("retry-after: 1\r\nretry-after: 3\r\n", Some(3000)),
        ("retry-after-ms: 137\r\nretry-after: 60\r\n", Some(137)),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", Some(0)),
        ("retry-after: soon\r\n", None),
    ] {
        let error = failure(vec![Act::Send(response(429, header, ""))]).await;
        let report = error.report();
        assert_eq!(report.retry.after_ms, expected, "{header}");
        assert_eq!(report.retry.advice, RetryAdvice::After);
        assert_eq!(report.data["kind"], "rate_limited");
        assert_eq!(report.data["retry_after"], serde_json::json!(expected));
        assert_eq!(report.data["provider"], "openai_compatible");
        assert_eq!(report.subject.unwrap().id, "tiny-1");
    }
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(60));
    let header = format!("retry-after: {date}\r\n");
    let error = failure(vec![Act::Send(response(529, &header, ""))]).await;
    let wait = error.report().retry.after_ms.unwrap();
    assert!((30_000..=60_000).contains(&wait), "{wait}");
    let delay =
        r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"1.5s"}]}}"#;
    assert_eq!(
        failure(json(429, delay)).await.report().retry.after_ms,
        Some(1500)
    );
}

#[tokio::test]
async fn secrets_and_pages_do_not_come_back() {
    let echo = format!("your key {KEY} is wrong \u{1b}[31m");
    let quoted = serde_json::json!({"error": {"message": echo}}).to_string();
    let page = format!(
        "<html><script>x</script><p>{KEY}</p>{}</html>",
        "long ".repeat(20_000)
    );
    for body in [quoted, echo, page, KEY.repeat(8000)] {
        let message = failure(json(401, &body)).await.to_string();
        assert!(message.contains("[secret]"), "{message}");
        assert!(!message.contains("0123456789"), "{message}");
        assert!(
            message.chars().count() < 600 && !message.contains(['<', '\u{1b}']),
            "{message}"
        );
    }
    let event = format!("data: {{\"error\":{{\"message\":\"{KEY}\"}}}}\n\n");
    assert!(
        failure(events(&event))
            .await
            .to_string()
            .contains("[secret]")
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::start(events(crate::server::GOOD)).await;
    let headers = format!("location: {}/chat/completions\r\n", target.url);
    let server = Server::start(vec![Act::Send(response(307, &headers, ""))]).await;
    let error = ask(&*provider(settings(&server.url))).await.unwrap_err();
    assert!(
        matches!(error, InferenceError::Misdirected { status: 307, .. }),
        "{error:?}"
    );
    assert_eq!(target.hits(), 0, "the key must not travel on");
}

#[test]
fn settings_that_cannot_work_are_refused_without_showing_secrets() {
    let refused = |settings| match open(ProviderSettings::Http(Box::new(settings))) {
        Err(error) => {
            assert!(!format!("{error:?}{}", error.report().message).contains("sesame"));
            error
        }
        Ok(_) => panic!("accepted"),
    };
    for url in [
        "",
        "example",
        "ftp://x/v1",
        "http://user:sesame@x/v1",
        "http://x/#a",
    ] {
        let error = refused(plain(url, "m"));
        assert!(matches!(error, ProviderOpenError::BaseUrl { .. }), "{url}");
    }
    let secret = |text: &str| mainstay_contract::Secret::new(text);
    let mut with_header = plain("http://x/v1", "m");
    with_header.headers = vec![("x y".into(), secret("sesame"))];
    assert_eq!(refused(with_header).code().as_str(), "manifest.invalid");
}
