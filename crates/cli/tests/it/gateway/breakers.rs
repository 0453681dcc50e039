//! Breakers: who fails too often is left alone, and tried again with care.

use super::{Gate, ROUTES, model};
use crate::harness::LIMIT;
use std::time::Instant;

const MORE: &str = "retry: {max: 0}, breaker: {failures: 5, window: 60s, open_for: 2s}";

async fn open(gate: &Gate) {
    for _ in 0..5 {
        gate.chat("m").await.failed("inference.server_error", 502);
    }
}

#[tokio::test]
async fn after_five_failures_nobody_is_sent_there() {
    let more = "retry: {max: 0}, breaker: {failures: 5, window: 60s, open_for: 60s}";
    let gate = Gate::open(&model("m", "openai", "500", more));
    open(&gate).await;
    for route in ROUTES {
        for stream in [false, true] {
            let told = gate.ask(route, "m", stream).await;
            told.failed("inference.circuit_open", 503);
            let wait: u64 = told.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&wait), "{told:?}");
        }
    }
    assert_eq!(gate.upstream.hits("500"), 5);
}

#[tokio::test]
async fn failures_among_many_successes_shut_nobody_out() {
    let more = "retry: {max: 0}, breaker: {failures: 5, window: 60s, open_for: 60s}";
    let gate = Gate::open(&model("m", "openai", "ill-10", more));
    for _ in 0..10 {
        let told = gate.chats("m", 10).await;
        let failed: Vec<_> = told.iter().filter(|told| told.status != 200).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        failed[0].failed("inference.server_error", 502);
    }
    assert_eq!(gate.upstream.hits("ill-10"), 100);
}

#[tokio::test]
async fn one_call_alone_tries_it_again() {
    let gate = Gate::open(&model("m", "openai", "flaky-5", MORE));
    open(&gate).await;
    gate.chat("m").await.failed("inference.circuit_open", 503);
    // What is asked before the time has passed is told how long it has to wait.
    let mut probed = 0;
    let deadline = Instant::now() + LIMIT;
    while gate.upstream.hits("flaky-5") == 5 {
        assert!(Instant::now() < deadline, "it is never tried again");
        let told = gate.chats("m", 20).await;
        probed = told.iter().filter(|told| told.status == 200).count();
        let refused = told.iter().filter(|told| told.status != 200);
        refused.for_each(|told| _ = told.failed("inference.circuit_open", 503));
    }
    assert!(probed >= 1);
    gate.chat("m").await.ok();
}

/// One caller's question that no model can answer is not everybody's outage.
#[tokio::test]
async fn an_answer_that_the_model_broke_off_opens_no_breaker() {
    let more = "retry: {max: 0}, breaker: {failures: 1, window: 60s, open_for: 60s}";
    let gate = Gate::open(&model("m", "gemini", "abort", more));
    for _ in 0..3 {
        gate.chat("m").await.failed("inference.bad_response", 502);
    }
    assert_eq!(gate.upstream.hits("abort"), 3);
}

#[tokio::test]
async fn a_probe_that_hangs_keeps_the_others_out() {
    let slow = "retry: {max: 0}, timeout: {first_token: 300ms, total: 300ms}, \
                breaker: {failures: 1, window: 60s, open_for: 1s}";
    let gate = Gate::open(&model("m", "openai", "stall", slow));
    gate.chat("m").await.failed("inference.timeout", 504);
    let before = gate.upstream.hits("stall");
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "it is never tried again");
        let told = gate.chats("m", 20).await;
        let tried = told.iter().filter(|told| told.status == 504).count();
        assert_eq!(gate.upstream.hits("stall"), before + tried as u64);
        assert!(tried <= 1, "{tried} probes at once");
        if tried == 1 {
            break;
        }
    }
}

#[tokio::test]
async fn refusals_of_content_leave_the_breaker_alone() {
    let gate = Gate::open(&model("m", "openai", "filter", MORE));
    for _ in 0..8 {
        gate.chat("m")
            .await
            .failed("inference.content_filtered", 400);
    }
    assert_eq!(gate.upstream.hits("filter"), 8);
}
