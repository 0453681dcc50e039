//! Limits of providers and of our own: who waits, who is turned away, and what they are told.

use super::{Gate, ROUTES, Route, model};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    for provider in super::PROVIDERS {
        let gate = Gate::open(&model(
            "m",
            provider,
            "limited-1-2",
            "retry: {max: 2, cap: 5s}",
        ));
        let began = Instant::now();
        let told = gate.chat("m").await;
        assert!(
            began.elapsed() >= Duration::from_secs(2),
            "{provider}: {told:?}"
        );
        assert_eq!(told.ok().text(), "ok");
        assert_eq!(told.header("x-mainstay-attempts"), "2");
        assert_eq!(gate.upstream.hits("limited-1-2"), 2, "{provider}");
    }
}

#[tokio::test]
async fn a_wait_longer_than_may_be_waited_is_told_at_once() {
    let gate = Gate::open(&model("m", "openai", "429-3600", "retry: {max: 3}"));
    let began = Instant::now();
    let told = gate.chat("m").await;
    told.failed("inference.rate_limited", 429);
    assert_eq!(told.header("retry-after"), "3600");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(gate.upstream.hits("429-3600"), 1);
    // It is left alone as long as it asked for.
    let again = gate.chat("m").await;
    again.failed("inference.rate_limited", 429);
    let left: u64 = again.header("retry-after").parse().unwrap();
    assert!((3500..=3600).contains(&left), "{again:?}");
    assert_eq!(gate.upstream.hits("429-3600"), 1);
}

#[tokio::test]
async fn a_full_queue_turns_away_at_once_and_in_order() {
    let more = "retry: {max: 0}, limits: {concurrency: 1, queue: 4}";
    let gate = Gate::open(&model("m", "openai", "slow-1000", more));
    let began = Instant::now();
    let one = |_| async {
        let told = gate.chat("m").await;
        (told, began.elapsed())
    };
    let told = futures_util::future::join_all((0..20).map(one)).await;
    let (ok, turned): (Vec<_>, Vec<_>) = told.into_iter().partition(|(told, _)| told.status == 200);
    assert_eq!((ok.len(), turned.len()), (5, 15));
    let first_ok = ok.iter().map(|(_, at)| *at).min().unwrap();
    for (told, at) in &turned {
        told.failed("inference.backpressure", 503);
        assert_eq!(told.header("retry-after"), "1");
        assert!(
            *at < first_ok,
            "turned away only after {at:?}, the first answer came after {first_ok:?}"
        );
    }
    assert!(ok.iter().map(|(_, at)| *at).max().unwrap() >= Duration::from_secs(5));
    assert_eq!(gate.upstream.hits("slow-1000"), 5);
}

#[tokio::test]
async fn our_own_rate_is_kept_and_told() {
    let more = "retry: {max: 0}, limits: {requests_per_minute: 3, queue: 0}";
    let gate = Gate::open(&model("m", "anthropic", "ok", more));
    for route in ROUTES {
        gate.ask(route, "m", false).await.ok();
    }
    for route in ROUTES {
        for stream in [false, true] {
            let told = gate.ask(route, "m", stream).await;
            told.failed("inference.rate_limited", 429);
            assert!(!told.header("retry-after").is_empty(), "{told:?}");
        }
    }
    assert_eq!(gate.upstream.hits("ok"), 3);
}

#[tokio::test]
async fn overload_of_a_provider_is_repeated_and_told() {
    for (scenario, provider) in [("503", "openai_compatible"), ("529", "anthropic")] {
        let gate = Gate::open(&model(
            "m",
            provider,
            scenario,
            "retry: {max: 2, base: 1ms, cap: 2ms}",
        ));
        let told = gate.ask(Route::Messages, "m", false).await;
        told.failed("inference.backpressure", 503);
        assert_eq!(told.json()["error"]["type"], "overloaded_error");
        assert_eq!(gate.upstream.hits(scenario), 3);
    }
}
