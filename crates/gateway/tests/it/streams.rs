//! Streams to callers: comments in silence, and ends that are told as they are.

use crate::fake::{Fake, Step, cut, end, gateway, said, started, text};
use crate::wire::{CHAT, Wire, chat, post};
use bytes::Bytes;
use http_body_util::BodyExt;
use mainstay_inference::{Dialect, Event, FinishReason, PartKind, Piece};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The same question in every dialect.
fn questions() -> [(&'static str, serde_json::Value); 3] {
    let messages = json!([{ "role": "user", "content": "hello" }]);
    [
        (CHAT, chat(true)),
        (
            "/v1/responses",
            json!({ "model": "m", "input": "hello", "stream": true }),
        ),
        (
            "/v1/messages",
            json!({ "model": "m", "max_tokens": 9, "messages": messages, "stream": true }),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn while_nothing_comes_comments_keep_the_connection_alive() {
    let provider = Fake::new(|_| vec![started(), text("a"), Step::Hang]);
    let gateway = gateway(&[("m", Arc::clone(&provider))]);
    let mut wire = Wire::new(&gateway);
    let mut response = wire.begin(post(CHAT, &chat(true))).await;
    let mut next = async || {
        let frame = response.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    let mut words = next().await;
    while !words.contains("\"a\"") {
        words.push_str(&next().await);
    }
    let began = tokio::time::Instant::now();
    for times in 1..=3 {
        assert_eq!(next().await, ": keepalive\n\n");
        let silence = began.elapsed();
        let expected = Duration::from_secs(15) * times;
        assert!(
            silence >= expected && silence < expected + Duration::from_secs(1),
            "{silence:?}"
        );
    }
    drop(response);
    assert_eq!(
        provider.dropped(),
        1,
        "a caller that leaves takes the call along"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_never_ends_in_good_order() {
    for (path, question) in questions() {
        let provider = Fake::new(|_| vec![started(), text("half"), cut()]);
        let gateway = gateway(&[("m", provider)]);
        let reply = Wire::new(&gateway).post(path, &question).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = &reply.body;
        assert!(body.contains("half") && body.contains("cut"), "{body}");
        assert!(
            body.contains("inference.network_error") || path == "/v1/messages",
            "{body}"
        );
        for end in [
            "[DONE]",
            "response.completed",
            "message_stop",
            "finish_reason\":\"stop",
        ] {
            assert!(!body.contains(end), "{path}: {body}");
        }
        let last = body.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.contains("error"), "{path}: {last}");
    }
}

#[tokio::test]
async fn a_whole_stream_ends_as_its_dialect_does() {
    for ((path, question), end) in
        questions()
            .into_iter()
            .zip(["[DONE]", "response.completed", "message_stop"])
    {
        let gateway = gateway(&[("m", Fake::saying("hello there"))]);
        let reply = Wire::new(&gateway).post(path, &question).await;
        assert!(reply.body.contains(end), "{path}: {reply:?}");
        assert!(reply.body.contains("hello there"), "{reply:?}");
        assert_eq!(
            reply.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        assert_eq!(reply.header("x-mainstay-model"), Some("m"));
        assert_eq!(reply.header("x-mainstay-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn a_failure_before_the_first_content_is_no_stream() {
    for (path, question) in questions() {
        let gateway = gateway(&[("m", Fake::new(|_| vec![started(), cut()]))]);
        let reply = Wire::new(&gateway).post(path, &question).await;
        assert_eq!(reply.status, 502, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(
            reply.header("x-mainstay-code"),
            Some("inference.network_error")
        );
    }
}

fn raw(events: Vec<Event>, raw: &'static str) -> Step {
    Step::Piece(Piece {
        events,
        raw: Bytes::from_static(raw.as_bytes()),
    })
}

fn delta(text: &str) -> Event {
    let text = text.to_owned();
    Event::Delta { part: 0, text }
}

fn begun() -> Event {
    let kind = PartKind::Text;
    Event::PartStarted { part: 0, kind }
}

#[tokio::test]
async fn bytes_of_the_same_dialect_are_handed_on_and_a_failure_follows_them() {
    let provider = Fake::speaking(Some(Dialect::OpenAiChat), |number| {
        let mut steps = vec![raw(
            vec![begun(), delta("hi")],
            "data: {\"mine\": 1.50}\n\n",
        )];
        match number {
            0 => steps.extend([raw(vec![], "data: [DONE]\n\n"), end(FinishReason::Stop)]),
            _ => steps.push(cut()),
        }
        steps
    });
    let gateway = gateway(&[("m", provider)]);
    let mut wire = Wire::new(&gateway);
    let whole = wire.post(CHAT, &chat(true)).await;
    assert_eq!(whole.body, "data: {\"mine\": 1.50}\n\ndata: [DONE]\n\n");
    let broken = wire.post(CHAT, &chat(true)).await;
    let rest = broken
        .body
        .strip_prefix("data: {\"mine\": 1.50}\n\n")
        .unwrap();
    let error: serde_json::Value =
        serde_json::from_str(rest.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "inference.network_error");
    // A caller of another dialect gets none of those bytes.
    let question = json!({ "model": "m", "input": "hello", "stream": true });
    let other = wire.post("/v1/responses", &question).await;
    assert!(
        !other.body.contains("mine") && other.body.contains("hi"),
        "{other:?}"
    );
}

#[tokio::test]
async fn what_a_stream_cost_is_known_at_its_end() {
    let gateway = gateway(&[("m", Fake::new(|_| said("hi")))]);
    let mut question = chat(true);
    question["stream_options"] = json!({ "include_usage": true });
    let reply = Wire::new(&gateway).post(CHAT, &question).await;
    assert!(reply.body.contains("\"prompt_tokens\":1000"), "{reply:?}");
    assert_eq!(reply.header("x-mainstay-cost-usd"), None);
    let row = &gateway.usage()[0];
    assert_eq!(
        (row.used.answers, row.used.usd.to_string()),
        (1, "0.002".to_owned())
    );
}
