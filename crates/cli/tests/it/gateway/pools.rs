//! Pools, queues and priorities: who is asked, and who comes first.

use super::{Gate, Route, model};
use crate::harness::LIMIT;
use serde_json::Value;
use std::time::Instant;

#[tokio::test]
async fn a_pool_shares_by_weight_and_goes_round_what_fails() {
    let models = [
        model("a", "openai", "a/ok", ""),
        model("b", "anthropic", "b/ok", ""),
        model(
            "dead",
            "gemini",
            "500",
            "retry: {max: 0}, breaker: {failures: 1, open_for: 60s}",
        ),
        "  shared: {pool: {a: 3, b: 1}}\n".to_owned(),
        "  spare: {pool: {dead: 1, b: 0}}\n".to_owned(),
    ];
    let gate = Gate::open(&models.concat());
    for told in gate.chats("shared", 200).await {
        told.ok();
    }
    let (a, b) = (gate.upstream.hits("a/ok"), gate.upstream.hits("b/ok"));
    assert_eq!(a + b, 200);
    assert!((115..=180).contains(&a), "{a} of 200 for three quarters");
    for _ in 0..10 {
        assert_eq!(
            gate.chat("spare").await.ok().header("x-mainstay-model"),
            "b"
        );
    }
    assert_eq!(gate.upstream.hits("500"), 1);
    assert_eq!(gate.upstream.hits("b/ok"), b + 10);
}

#[tokio::test]
async fn a_member_that_has_no_word_for_a_field_is_passed_over() {
    let models = [
        model("able", "openai_compatible", "able/ok", ""),
        model("other", "anthropic", "other/ok", ""),
        model("third", "anthropic", "third/ok", ""),
        "  shared: {pool: {able: 1, other: 1}}\n".to_owned(),
        "  unable: {pool: {other: 1, third: 1}}\n".to_owned(),
    ];
    let gate = Gate::open(&models.concat());
    let mut body = Route::Chat.body("shared", "x", false);
    body["seed"] = 1.into();
    for _ in 0..20 {
        let told = gate.post(Route::Chat, &body).await;
        assert_eq!(told.ok().header("x-mainstay-model"), "able");
    }
    body["model"] = "unable".into();
    let told = gate.post(Route::Chat, &body).await;
    told.failed("inference.bad_request", 400);
    assert_eq!(told.json()["error"]["param"], "seed");
    let asked = ["able/ok", "other/ok", "third/ok"].map(|name| gate.upstream.hits(name));
    assert_eq!(asked, [20, 0, 0]);
}

#[tokio::test]
async fn whoever_waits_is_served_in_order_and_the_urgent_first() {
    let more = "retry: {max: 0}, limits: {concurrency: 1, queue: 16}";
    let keys = "keys:\n  urgent: {secret: urgent, priority: high}\nsecrets:\n  urgent: {file: urgent.key}\n";
    let gate = Gate::with(&model("m", "openai", "slow-1500", more), keys);
    gate.place.write("urgent.key", "key-of-the-urgent-0");
    let deadline = Instant::now() + LIMIT;
    while gate.ask_as("key-of-the-urgent-0", "other").await.status == 401 {
        assert!(Instant::now() < deadline, "the key is never read");
    }
    let mut waiting = Vec::new();
    for number in 0..6 {
        let body = Route::Chat.body("m", &format!("number {number}"), false);
        let request = gate.request(Route::Chat, &body);
        let request = match number {
            5 => gate.shown(request, "key-of-the-urgent-0"),
            _ => request,
        };
        waiting.push(tokio::spawn(request.send()));
        gate.until("the first is under way", || {
            gate.upstream.hits("slow-1500") > 0
        })
        .await;
        while gate.metric("requests_queued").await < number {
            assert!(Instant::now() < deadline, "number {number} never waits");
        }
    }
    for told in waiting {
        assert_eq!(told.await.unwrap().unwrap().status(), 200);
    }
    let sent = gate.upstream.requests("slow-1500");
    let text = |sent: &Value| {
        sent["body"]["messages"][0]["content"]
            .as_str()
            .map(str::to_owned)
    };
    let texts: Vec<String> = sent.iter().filter_map(text).collect();
    let order = [0, 5, 1, 2, 3, 4].map(|number| format!("number {number}"));
    assert_eq!(texts, order);
}
