//! Time: what is waited for how long, and what becomes of a call that nobody waits for any more.

use super::{Gate, PROVIDERS, ROUTES, Route, model};
use mainstay_contract::Usd;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn silence_ends_at_the_limit_and_the_call_with_it() {
    let more = "retry: {max: 0}, timeout: {first_token: 500ms, total: 30s}";
    let models: String = PROVIDERS
        .iter()
        .map(|provider| model(provider, provider, &format!("{provider}/stall"), more))
        .collect();
    let gate = Gate::open(&models);
    for provider in PROVIDERS {
        for stream in [false, true] {
            let began = Instant::now();
            let told = gate.ask(Route::Chat, provider, stream).await;
            let took = began.elapsed();
            told.failed("inference.timeout", 504);
            assert!(took >= Duration::from_millis(400), "{provider}: {took:?}");
            assert!(took < Duration::from_secs(5), "{provider}: {took:?}");
            let upstream = format!("{provider}/stall");
            gate.soon("the upstream's request has ended", || {
                gate.upstream.open(&upstream) == 0
            })
            .await;
        }
        assert_eq!(gate.upstream.hits(&format!("{provider}/stall")), 2);
        assert_eq!(gate.upstream.left(&format!("{provider}/stall")), 2);
    }
}

#[tokio::test]
async fn a_slow_stream_outlives_the_time_for_its_beginning() {
    let more = "retry: {max: 0}, timeout: {first_token: 400ms, idle: 2s}";
    let gate = Gate::open(&model("m", "openai", "slow-100", more));
    for route in ROUTES {
        let began = Instant::now();
        let told = gate.ask(route, "m", true).await;
        assert_eq!(
            told.ok().text(),
            "one two three four five six seven eight nine ten"
        );
        assert!(told.body.contains(route.end()), "{told:?}");
        assert!(began.elapsed() >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_whole_call_has_a_limit_too() {
    let more = "retry: {max: 0}, timeout: {first_token: 800ms, idle: 900ms, total: 1s}";
    let gate = Gate::open(&model("m", "anthropic", "slow-300", more));
    let told = gate.ask(Route::Messages, "m", true).await;
    told.broke_off("inference.timeout");
    assert_eq!(gate.upstream.hits("slow-300"), 1);
}

#[tokio::test]
async fn the_callers_own_patience_is_a_limit() {
    let priced = "retry: {max: 0}, price: {input_per_million: 1000, output_per_million: 1000}";
    let gate = Gate::open(&model("m", "openai", "stall", priced));
    let mut told_of = 0.0;
    for (header, value) in [
        ("x-mainstay-timeout-ms", "300"),
        ("x-stainless-timeout", "0.3"),
    ] {
        let began = Instant::now();
        let request = gate.request(Route::Chat, &Route::Chat.body("m", "x", false));
        let told = gate.send(Route::Chat, request.header(header, value)).await;
        told.failed("inference.timeout", 504);
        assert!(began.elapsed() < Duration::from_secs(10), "{header}");
        let cost: f64 = told.header("x-mainstay-cost-usd").parse().unwrap();
        assert!(cost > 0.0, "what was sent may be billed: {told:?}");
        told_of += cost;
    }
    let usage = gate.usage_of("m").await;
    let spent: f64 = usage["usd"].as_str().unwrap().parse().unwrap();
    assert!((spent - told_of).abs() < 1e-9, "{usage}");
    let counted = gate.metric("spent_nanodollars_total").await;
    let spent: Usd = serde_json::from_value(usage["usd"].clone()).unwrap();
    assert_eq!(counted, spent.nanos());
}

/// Official clients send how long they wait for a byte, ten minutes where nobody says otherwise.
#[tokio::test]
async fn a_clients_wait_for_bytes_ends_no_stream() {
    let gate = Gate::open(&model("m", "openai", "slow-300", ""));
    for route in ROUTES {
        let request = gate.request(route, &route.body("m", "x", true));
        let told = gate.send(route, request.header("x-stainless-timeout", "0.4"));
        told.await.ok();
        let request = gate.request(route, &route.body("m", "x", true));
        let told = gate.send(route, request.header("x-mainstay-timeout-ms", "400"));
        told.await.broke_off("inference.timeout");
    }
}

#[tokio::test]
async fn whoever_waited_in_vain_for_a_place_knows_that_nothing_was_sent() {
    let gate = Gate::open(&model(
        "m",
        "openai",
        "stall",
        "retry: {max: 0}, limits: {concurrency: 1}",
    ));
    let first = gate.request(Route::Chat, &Route::Chat.body("m", "x", false));
    let first = tokio::spawn(first.send());
    gate.until("the place is taken", || gate.upstream.hits("stall") == 1)
        .await;
    for route in ROUTES {
        let request = gate.request(route, &route.body("m", "x", false));
        let told = gate
            .send(route, request.header("x-mainstay-timeout-ms", "200"))
            .await;
        told.failed("inference.timeout", 504);
        assert_eq!(told.header("x-mainstay-attempts"), "0");
        assert_eq!(told.header("x-mainstay-effect"), "none");
    }
    assert_eq!(gate.upstream.hits("stall"), 1);
    first.abort();
}

#[tokio::test]
async fn whoever_leaves_ends_the_call() {
    let models = [
        model("slow", "openai", "slow-200", ""),
        model("still", "anthropic", "stall", ""),
    ];
    let gate = Gate::open(&models.concat());
    for route in ROUTES {
        let before = gate.upstream.left("slow-200");
        let body = route.body("slow", "x", true);
        let mut response = gate.request(route, &body).send().await.unwrap();
        response.chunk().await.unwrap().expect("it has begun");
        drop(response);
        gate.soon("the streaming call has ended", || {
            gate.upstream.left("slow-200") > before
        })
        .await;
        assert_eq!(gate.upstream.open("slow-200"), 0);

        let before = gate.upstream.left("stall");
        let waiting = gate.request(route, &route.body("still", "x", false)).send();
        let waiting = tokio::spawn(waiting);
        gate.until("the call has come", || gate.upstream.open("stall") == 1)
            .await;
        waiting.abort();
        gate.soon("the silent call has ended", || {
            gate.upstream.left("stall") > before
        })
        .await;
    }
    // It still serves, and nothing was repeated in secret.
    assert_eq!(
        (gate.upstream.hits("slow-200"), gate.upstream.hits("stall")),
        (3, 3)
    );
}

#[tokio::test]
async fn what_came_before_the_caller_left_is_paid_for() {
    let more = "retry: {max: 0}, budget: {usd: 1}, price: {input_per_million: 1000, output_per_million: 1000}";
    let gate = Gate::open(&model("m", "openai", "slow-100", more));
    let body = Route::Chat.body("m", "x", true);
    let mut response = gate.request(Route::Chat, &body).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("three ") {
        let piece = response.chunk().await.unwrap().expect("the stream goes on");
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
    drop(response);
    gate.soon("the call has ended", || gate.upstream.left("slow-100") == 1)
        .await;
    let usage = gate.usage_of("m").await;
    assert_eq!(
        (&usage["answers"], &usage["failures"]),
        (&json!(0), &json!(1)),
        "{usage}"
    );
    let output = usage["output_tokens"].as_u64().unwrap();
    assert!((2..=20).contains(&output), "{usage}");
    let spent: f64 = usage["usd"].as_str().unwrap().parse().unwrap();
    assert!(spent > 0.0 && spent < 0.1, "{usage}");
}

#[tokio::test]
async fn whoever_leaves_before_anything_came_keeps_no_money_bound() {
    let more = "retry: {max: 0}, budget: {usd: 1}, price: {input_per_million: 1000, output_per_million: 1000}";
    let gate = Gate::open(&model("m", "anthropic", "stall", more));
    let waiting = gate.request(Route::Messages, &Route::Messages.body("m", "x", true));
    let waiting = tokio::spawn(waiting.send());
    gate.soon("the call has come", || gate.upstream.open("stall") == 1)
        .await;
    waiting.abort();
    gate.soon("the call has ended", || gate.upstream.left("stall") == 1)
        .await;
    gate.usage_of("m").await;
    let (_, usage) = gate.server.get("/api/usage").await;
    assert_eq!(usage["budgets"][0]["reserved"], "0", "{usage}");
}
