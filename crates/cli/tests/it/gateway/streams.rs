//! Streams that end badly, and what a caller may rely on when content has begun.

use super::{Gate, PROVIDERS, ROUTES, Route, model};

fn all(scenario: &str, more: &str) -> String {
    let one = |provider: &&str| {
        let each = ROUTES.map(|route| {
            let name = format!("{provider}-{route:?}");
            model(&name, provider, &format!("{name}/{scenario}"), more)
        });
        each.concat()
    };
    PROVIDERS.iter().map(one).collect()
}

/// Asks every model of [`all`] for a stream, which has to bring two pieces and then break off.
async fn break_off(scenario: &str, more: &str, code: &str) {
    let gate = Gate::open(&all(scenario, more));
    for provider in PROVIDERS {
        for route in ROUTES {
            let name = format!("{provider}-{route:?}");
            let told = gate.ask(route, &name, true).await;
            told.broke_off(code);
            assert_eq!(told.text(), "one two ", "{name}: {told:?}");
            assert_eq!(
                gate.upstream.hits(&format!("{name}/{scenario}")),
                1,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_cut_stream_is_never_a_short_success() {
    break_off(
        "cut",
        "retry: {max: 3, base: 1ms}",
        "inference.network_error",
    )
    .await;
}

#[tokio::test]
async fn an_error_within_a_stream_is_told_in_the_callers_dialect() {
    break_off(
        "overloaded-mid",
        "retry: {max: 3, base: 1ms}",
        "inference.backpressure",
    )
    .await;
}

#[tokio::test]
async fn silence_within_a_stream_is_a_timeout() {
    let more = "retry: {max: 3, base: 1ms}, timeout: {idle: 200ms}";
    break_off("stall-mid", more, "inference.timeout").await;
}

#[tokio::test]
async fn what_is_no_json_within_a_stream_is_told() {
    let more = "retry: {max: 3, base: 1ms}";
    break_off("badjson-mid", more, "inference.bad_response").await;
}

#[tokio::test]
async fn a_stream_that_is_broken_before_content_is_a_plain_failure() {
    let models = [
        model("cut", "openai", "badjson", ""),
        model("empty", "anthropic", "empty", ""),
    ];
    let gate = Gate::open(&models.concat());
    for route in ROUTES {
        gate.ask(route, "cut", true)
            .await
            .failed("inference.bad_response", 502);
        gate.ask(route, "empty", true)
            .await
            .failed("inference.bad_response", 502);
    }
}

#[tokio::test]
async fn after_content_nobody_else_is_asked_and_no_text_comes_twice() {
    let failing = model(
        "m",
        "openai",
        "cut",
        "retry: {max: 3, base: 1ms}, fallback: [spare]",
    );
    let gate = Gate::open(&format!(
        "{failing}{}",
        model("spare", "anthropic", "spare/ok", "")
    ));
    for route in ROUTES {
        let told = gate.ask(route, "m", true).await;
        told.broke_off("inference.network_error");
        assert_eq!(told.text(), "one two ", "{told:?}");
    }
    assert_eq!(gate.upstream.hits("cut"), 3);
    assert_eq!(gate.upstream.hits("spare/ok"), 0);
}

#[tokio::test]
async fn the_first_piece_comes_before_the_last_is_made() {
    let gate = Gate::open(&model("m", "gemini", "slow-150", ""));
    let body = Route::Messages.body("m", "x", true);
    let mut response = gate.request(Route::Messages, &body).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("one ") {
        let piece = response.chunk().await.unwrap().expect("the stream goes on");
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(!seen.contains("\"ten\""), "{seen}");
    assert_eq!(gate.upstream.open("slow-150"), 1);
}
