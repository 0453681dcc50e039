use super::Upstream;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn raw(upstream: &Upstream, path: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(upstream.address()).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut told = Vec::new();
    let _reset = stream.read_to_end(&mut told);
    String::from_utf8(told).unwrap()
}

fn chat(upstream: &Upstream, model: &str, stream: bool) -> String {
    let message = json!({"role": "user", "content": "one two"});
    let body = json!({"model": model, "messages": [message], "stream": stream});
    raw(
        upstream,
        "/v1/chat/completions",
        "authorization: Bearer k\r\n",
        &body,
    )
}

fn messages(upstream: &Upstream, model: &str, stream: bool) -> String {
    let message = json!({"role": "user", "content": "one two"});
    let body = json!({"model": model, "messages": [message], "max_tokens": 9, "stream": stream});
    let headers = "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n";
    raw(upstream, "/v1/messages", headers, &body)
}

fn gemini(upstream: &Upstream, model: &str, verb: &str) -> String {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "one two"}]}]});
    let path = format!("/v1beta/models/{model}:{verb}");
    raw(upstream, &path, "x-goog-api-key: k\r\n", &body)
}

#[test]
fn models_answer_on_every_wire_and_are_counted() {
    let upstream = Upstream::start().unwrap();
    assert!(chat(&upstream, "a/echo", false).contains("\"content\":\"one two\""));
    let streamed = chat(&upstream, "a/echo", true);
    assert!(streamed.contains("\"content\":\"one \"") && streamed.contains("data: [DONE]"));
    assert!(messages(&upstream, "a/echo", false).contains("\"text\":\"one two\""));
    assert!(messages(&upstream, "a/echo", true).contains("event: message_stop"));
    assert!(gemini(&upstream, "a/echo", "generateContent").contains("\"text\":\"one two\""));
    assert!(gemini(&upstream, "b/echo", "streamGenerateContent?alt=sse").contains("STOP"));
    assert_eq!((upstream.hits("a/echo"), upstream.hits("b/echo")), (5, 1));
    assert_eq!(upstream.requests("b/echo")[0]["query"], "alt=sse");
}

#[test]
fn requests_that_are_not_valid_are_refused() {
    let upstream = Upstream::start().unwrap();
    let key = "authorization: Bearer k\r\n";
    let with = |message: Value| json!({"model": "ok", "messages": [message]});
    let path = "/v1/chat/completions";
    for (headers, body, word) in [
        (
            "",
            with(json!({"role": "user", "content": "x"})),
            "HTTP/1.1 401",
        ),
        (
            key,
            with(json!({"role": "robot", "content": "x"})),
            "messages[0].role",
        ),
        (
            key,
            with(json!({"role": "tool", "content": "x", "tool_call_id": "c"})),
            "tool_call_id",
        ),
        (
            key,
            json!({"model": "ok", "messages": [], "max_tokens": 0}),
            "max_tokens",
        ),
        (
            key,
            json!({"model": "ok", "messages": [], "top_k": 1}),
            "top_k",
        ),
    ] {
        let told = raw(&upstream, path, headers, &body);
        assert!(told.contains(word), "{word}: {told}");
        assert!(!told.contains("HTTP/1.1 200"), "{told}");
    }
    let versionless =
        json!({"model": "ok", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1});
    let told = raw(&upstream, "/v1/messages", "x-api-key: k\r\n", &versionless);
    assert!(
        told.contains("HTTP/1.1 400") && told.contains("anthropic-version"),
        "{told}"
    );
}

#[test]
fn faults_are_as_named() {
    let upstream = Upstream::start().unwrap();
    assert!(chat(&upstream, "429-2", false).contains("retry-after: 2"));
    assert!(chat(&upstream, "429ms-50", false).contains("retry-after-ms: 50"));
    assert!(messages(&upstream, "529", false).contains("overloaded_error"));
    assert!(gemini(&upstream, "429-2", "generateContent").contains("\"retryDelay\":\"2s\""));
    assert!(chat(&upstream, "reset", false).is_empty());
    let cut = chat(&upstream, "cut", true);
    assert!(
        cut.contains("two ") && !cut.contains("three ") && !cut.ends_with("0\r\n\r\n"),
        "{cut}"
    );
    let statuses: Vec<bool> = (0..3)
        .map(|_| chat(&upstream, "flaky-2", false).starts_with("HTTP/1.1 200"))
        .collect();
    assert_eq!(statuses, [false, false, true]);
    assert!(chat(&upstream, "rotate", false).contains("HTTP/1.1 401"));
    upstream.set_key("rotate", "k");
    assert!(chat(&upstream, "rotate", false).contains("HTTP/1.1 200"));
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let upstream = Upstream::start().unwrap();
    let mut stream = TcpStream::connect(upstream.address()).unwrap();
    let body =
        json!({"model": "stall", "messages": [{"role": "user", "content": "x"}]}).to_string();
    write!(
        stream,
        "POST /open/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while upstream.open("stall") == 0 {
        assert!(Instant::now() < deadline, "it never came");
        std::thread::yield_now();
    }
    drop(stream);
    while upstream.left("stall") == 0 || upstream.open("stall") > 0 {
        assert!(Instant::now() < deadline, "nobody noticed");
        std::thread::yield_now();
    }
}
