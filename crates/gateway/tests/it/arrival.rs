//! How the bodies of requests arrive.

use crate::fake::{Fake, Step, gateway, settings};
use crate::wire::{CHAT, Wire, by, chat, post, request, with};
use axum::body::{Body, Bytes};
use futures_util::stream::{StreamExt, iter, pending, unfold};
use mainstay_gateway::{Gateway, Ledger};
use mainstay_inference::{KeyConfig, Limits};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A question that comes in pieces, each so long after the one before.
fn dribbled(pieces: usize, pause: Duration) -> Body {
    let text = chat(false).to_string().into_bytes();
    let length = text.len().div_ceil(pieces);
    let pieces: Vec<Bytes> = text.chunks(length).map(Bytes::copy_from_slice).collect();
    Body::from_stream(unfold(pieces.into_iter(), move |mut left| async move {
        let piece = left.next()?;
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(piece), left))
    }))
}

/// A gateway with one key, which may ask one question at a time.
fn narrow(provider: &Arc<Fake>) -> Gateway {
    let mut settings = settings(&[("m", Arc::clone(provider))]);
    let limits = Limits {
        concurrency: Some(1),
        ..Limits::default()
    };
    let key = KeyConfig {
        limits,
        ..KeyConfig::default()
    };
    settings.gate.keys.insert("narrow".into(), key);
    Gateway::open(settings, Ledger::in_memory())
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_slowly_but_must_come() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&narrow(&provider));
    let steady = request("POST", CHAT, dribbled(10, Duration::from_secs(10)));
    assert_eq!(wire.send(steady).await.status, 200);

    let start = iter([Ok::<_, Infallible>("{\"model\"")]);
    let silent = Body::from_stream(start.chain(pending()));
    for (body, seconds) in [
        (silent, 30),
        (dribbled(30, Duration::from_secs(29)), 120),
        (dribbled(2, Duration::from_secs(31)), 30),
    ] {
        let began = Instant::now();
        let reply = wire.send(request("POST", CHAT, body)).await;
        assert_eq!(reply.status, 408, "{reply:?}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(reply.header("x-should-retry"), None);
        assert_eq!(reply.header("x-mainstay-code"), Some("inference.timeout"));
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_takes_of_the_time_that_its_caller_has() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&narrow(&provider));
    let slow = request("POST", "/v1/messages", dribbled(10, Duration::from_secs(1)));
    let began = Instant::now();
    let reply = wire.send(with(slow, "x-mainstay-timeout-ms", "3500")).await;
    assert_eq!(reply.status, 408, "{reply:?}");
    assert_eq!(reply.json()["error"]["type"], "timeout_error");
    assert_eq!(began.elapsed(), Duration::from_millis(3500));
    assert_eq!(provider.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_on_its_way_holds_nothing() {
    let provider = Fake::saying("hi");
    let gateway = narrow(&provider);
    let mut wire = Wire::new(&gateway);
    let slow = by(
        "narrow",
        request("POST", CHAT, dribbled(4, Duration::from_secs(5))),
    );
    let slow = tokio::spawn(async move { Wire::new(&gateway).send(slow).await.status });
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!slow.is_finished());
    let quick = wire.send(by("narrow", post(CHAT, &chat(false)))).await;
    assert_eq!(quick.status, 200, "{quick:?}");
    assert_eq!(slow.await.unwrap(), 200);
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn a_time_that_is_none_is_refused() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&narrow(&provider));
    for value in ["abc", "-1", "+1", "1e3", "0", "", "99999999999999999999"] {
        let asked = with(post(CHAT, &chat(false)), "x-mainstay-timeout-ms", value);
        let reply = wire.send(asked).await;
        assert_eq!(reply.status, 400, "{value}: {reply:?}");
        let code = reply.header("x-mainstay-code");
        assert_eq!(code, Some("inference.bad_request"), "{value}");
        let error = &reply.json()["error"];
        assert_eq!(error["param"], "x-mainstay-timeout-ms");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("x-mainstay-timeout-ms"), "{message}");
    }
    assert_eq!(provider.calls(), 0);
    for value in ["abc", "-1", "0", "1e99"] {
        let asked = with(post(CHAT, &chat(false)), "x-stainless-timeout", value);
        assert_eq!(wire.send(asked).await.status, 200, "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn whose_time_is_over_is_told_that_it_was_theirs() {
    let provider = Fake::new(|_| vec![Step::Hang]);
    let mut wire = Wire::new(&gateway(&[("m", provider)]));
    for (body, stream) in [(chat(false), false), (chat(true), true)] {
        let asked = with(post(CHAT, &body), "x-mainstay-timeout-ms", "300");
        let reply = wire.send(asked).await;
        assert_eq!(reply.status, 504, "{stream}: {reply:?}");
        let told = reply.json();
        assert_eq!(
            told["error"]["message"],
            "the caller's limit of 300 ms is over"
        );
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_why() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&narrow(&provider));
    for path in [CHAT, "/v1/responses", "/v1/messages", "/v1/embeddings"] {
        for (body, reason) in [
            ("", "it is empty"),
            ("\u{feff}{}", "byte order mark"),
            ("{\"model\":", "it ends too early"),
            ("{\"model\":\"\\ud800\"}", "half of a surrogate pair"),
        ] {
            let reply = wire.send(request("POST", path, Body::from(body))).await;
            assert_eq!(reply.status, 400, "{path}: {reply:?}");
            assert!(reply.body.contains(reason), "{path}: {reply:?}");
        }
        let zipped = with(post(path, &chat(false)), "content-encoding", "gzip");
        let reply = wire.send(zipped).await;
        assert_eq!(reply.status, 415, "{path}: {reply:?}");
        assert!(reply.body.contains("only plain bodies"), "{reply:?}");
    }
    let plain = with(post(CHAT, &chat(false)), "content-encoding", "identity");
    assert_eq!(wire.send(plain).await.status, 200);
}

#[tokio::test]
async fn a_body_of_very_many_values_is_refused_before_it_is_read() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&narrow(&provider));
    let mut question = chat(false);
    question["logit_bias"] = serde_json::json!(vec![0; 600_000]);
    let vectors = serde_json::json!({ "model": "m", "input": vec![[1]; 600_000] });
    for (path, body) in [(CHAT, question), ("/v1/embeddings", vectors)] {
        let reply = wire.post(path, &body).await;
        assert_eq!(reply.status, 413, "{reply:?}");
        let message = reply.json()["error"]["message"].clone();
        assert!(
            message.as_str().unwrap().contains("500000 values"),
            "{message}"
        );
    }
    assert_eq!(provider.calls(), 0);
}

/// Who sends much and never ends it takes half of the room at the most, and is told once there is none left.
#[tokio::test(start_paused = true)]
async fn large_bodies_of_one_caller_leave_room_for_those_of_others() {
    let provider = Fake::saying("hi");
    let wire = Wire::new(&narrow(&provider));
    // 450,000 values on less than a MiB: read, each such body would take more than a hundred.
    let many = Bytes::from(format!("[{}", "1,".repeat(450_000)));
    let unfinished =
        || Body::from_stream(iter([Ok::<_, Infallible>(many.clone())]).chain(pending()));
    let sent: Vec<_> = (0..8)
        .map(|_| {
            let mut wire = wire.clone();
            let body = by("narrow", request("POST", CHAT, unfinished()));
            tokio::spawn(async move { wire.send(body).await.status })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refused = sent.iter().filter(|sent| sent.is_finished()).count();
    assert_eq!(refused, 4, "four of them fill its half");
    let mut question = chat(false);
    question["messages"][0]["content"] = "long ".repeat(50_000).into();
    let reply = wire.clone().post(CHAT, &question).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut statuses = Vec::new();
    for sent in sent {
        statuses.push(sent.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [408, 408, 408, 408, 503, 503, 503, 503]);
    let reply = wire.clone().send(by("narrow", post(CHAT, &question))).await;
    assert_eq!(reply.status, 200, "all of it came back: {reply:?}");
}
