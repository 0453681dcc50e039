//! A node that is told to end while it answers.

use super::{Gate, Route, model, serve_with};
use crate::harness::LIMIT;
use rustix::process::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// A stream that has begun.
async fn begun(gate: &Gate, model: &str) -> reqwest::Response {
    let body = Route::Chat.body(model, "x", true);
    let mut response = gate.request(Route::Chat, &body).send().await.unwrap();
    response.chunk().await.unwrap();
    response
}

/// Waits until it has heard the signal.
async fn drains(gate: &Gate) {
    let deadline = Instant::now() + LIMIT;
    while gate.server.get("/api/models").await.0 != 503 {
        assert!(Instant::now() < deadline);
    }
}

/// Its exit code, if it ends before streams of these tests do.
async fn ends_early(gate: Gate) -> Option<i32> {
    let ended = tokio::task::spawn_blocking(|| gate.server.ended());
    let ended = tokio::time::timeout(Duration::from_secs(15), ended).await;
    assert!(ended.is_ok(), "it waits for the stream");
    ended.unwrap().unwrap()
}

#[tokio::test]
async fn a_stream_under_way_goes_on_to_its_end_and_who_comes_meanwhile_is_sent_away() {
    let gate = Gate::open(&model("m", "openai", "slow-700", ""));
    let mut response = begun(&gate, "m").await;
    gate.server.signal(Signal::TERM);
    drains(&gate).await;
    gate.chat("m").await.failed("node.unreachable", 503);
    assert_eq!(gate.server.get("/healthz").await.0, 200);
    let (status, told) = gate.server.get("/readyz").await;
    assert_eq!((status, &told["code"]), (503, &json!("node.unreachable")));
    let mut seen = String::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(seen.contains("[DONE]"), "{seen}");
    assert_eq!(ends_early(gate).await, Some(0));
}

#[tokio::test]
async fn a_stream_is_cut_at_the_end_of_the_drain_and_at_a_second_signal() {
    for (drain, is_repeated) in [("100ms", false), ("10m", true)] {
        let models = model("m", "openai", "slow-3000", "");
        let gate = Gate::starting(&models, "", |place| serve_with(place, &["--drain", drain]));
        let response = begun(&gate, "m").await;
        gate.server.signal(Signal::TERM);
        if is_repeated {
            drains(&gate).await;
            gate.server.signal(Signal::INT);
        }
        assert_eq!(ends_early(gate).await, Some(0), "{drain}");
        drop(response);
    }
}

#[tokio::test]
async fn a_hangup_ends_a_node_in_good_order() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    gate.chat("m").await.ok();
    gate.server.signal(Signal::HUP);
    assert_eq!(ends_early(gate).await, Some(0));
}
