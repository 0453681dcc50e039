//! Who answers instead: fallbacks, repetitions, pools, hedges, kept answers.

use super::{Gate, ROUTES, Route, model};
use crate::harness::LIMIT;
use std::time::{Duration, Instant};

#[tokio::test]
async fn failures_before_content_are_repeated_unseen() {
    for provider in super::PROVIDERS {
        let gate = Gate::open(&model(
            "m",
            provider,
            "flaky-2",
            "retry: {max: 3, base: 1ms, cap: 5ms}",
        ));
        let told = gate.ask(Route::Messages, "m", true).await;
        assert_eq!(told.ok().text(), "ok", "{provider}");
        assert_eq!(gate.upstream.hits("flaky-2"), 3, "{provider}");
    }
}

#[tokio::test]
async fn a_fallback_answers_as_if_nothing_had_been() {
    let scenarios = [
        "500", "503", "429-60", "ctx", "401", "403", "404", "quota", "reset", "cut-not", "badjson",
    ];
    let models: String = scenarios
        .iter()
        .map(|scenario| {
            model(
                &format!("m-{scenario}"),
                "openai",
                scenario,
                "retry: {max: 0}, fallback: [spare]",
            )
        })
        .collect();
    let gate = Gate::open(&format!(
        "{models}{}",
        model("spare", "anthropic", "spare/echo", "")
    ));
    let mut hits = 0;
    for scenario in scenarios.iter() {
        for route in ROUTES {
            for stream in [false, true] {
                let told = gate.ask(route, &format!("m-{scenario}"), stream).await;
                assert_eq!(told.ok().text(), "one two three", "{scenario}: {told:?}");
                assert_eq!(told.header("x-mainstay-model"), "spare", "{scenario}");
                hits += 1;
            }
        }
    }
    assert_eq!(gate.upstream.hits("spare/echo"), hits);
}

#[tokio::test]
async fn what_no_fallback_was_named_for_is_told() {
    let models = [
        model(
            "filter",
            "openai",
            "filter",
            "retry: {max: 0}, fallback: [spare]",
        ),
        model(
            "only",
            "openai",
            "500",
            "retry: {max: 0}, fallback: [{to: spare, on: [context_length]}]",
        ),
        model("spare", "anthropic", "spare/ok", ""),
    ];
    let gate = Gate::open(&models.concat());
    gate.chat("filter")
        .await
        .failed("inference.content_filtered", 400);
    gate.chat("only")
        .await
        .failed("inference.server_error", 502);
    assert_eq!(gate.upstream.hits("spare/ok"), 0);
}

#[tokio::test]
async fn too_long_for_one_is_not_too_long_for_a_larger_one() {
    let models = [
        model(
            "small",
            "gemini",
            "ctx",
            "retry: {max: 2}, fallback: [{to: large, on: [context_length]}]",
        ),
        model("large", "openai", "large/ok", ""),
    ];
    let gate = Gate::open(&models.concat());
    gate.chat("small").await.ok();
    assert_eq!(
        (gate.upstream.hits("ctx"), gate.upstream.hits("large/ok")),
        (1, 1)
    );
}

#[tokio::test]
async fn what_one_filter_refuses_another_model_may_answer() {
    let more = "retry: {max: 2}, fallback: [{to: other, on: [content_filtered]}]";
    let models = [
        model("m", "azure_openai", "filter", more),
        model("other", "anthropic", "other/ok", ""),
    ];
    let gate = Gate::open(&models.concat());
    for route in ROUTES {
        assert_eq!(gate.ask(route, "m", true).await.ok().text(), "ok");
    }
    assert_eq!(
        (gate.upstream.hits("filter"), gate.upstream.hits("other/ok")),
        (3, 3)
    );
}

#[tokio::test]
async fn a_budget_that_is_used_up_may_send_to_a_cheaper_model() {
    let more = "retry: {max: 0}, budget: {usd: 0.000001}, fallback: [{to: other, on: [budget]}], \
                price: {input_per_million: 1000, output_per_million: 1000}";
    let models = [
        model("m", "openai", "ok", more),
        model("other", "openai", "other/ok", "price: {free: true}"),
    ];
    let gate = Gate::open(&models.concat());
    // A bound on the answer makes the reservation exact.
    let told = gate.ask(Route::Messages, "m", false).await;
    assert_eq!(told.ok().header("x-mainstay-model"), "other");
    assert_eq!(
        (gate.upstream.hits("ok"), gate.upstream.hits("other/ok")),
        (0, 1)
    );
}

#[tokio::test]
async fn when_all_fail_the_last_is_told() {
    let models = [
        model("m", "openai", "500", "retry: {max: 0}, fallback: [spare]"),
        model("spare", "anthropic", "403", ""),
    ];
    let gate = Gate::open(&models.concat());
    gate.chat("m").await.failed("inference.forbidden", 422);
    assert_eq!(
        (gate.upstream.hits("500"), gate.upstream.hits("403")),
        (1, 1)
    );
}

#[tokio::test]
async fn a_hedge_answers_where_the_first_is_slow() {
    let models = [
        model(
            "m",
            "openai",
            "stall",
            "retry: {max: 0}, hedge: {after: 200ms}, fallback: [spare]",
        ),
        model("spare", "anthropic", "spare/ok", ""),
    ];
    let gate = Gate::open(&models.concat());
    let began = Instant::now();
    let told = gate.ask(Route::Chat, "m", true).await;
    assert_eq!(told.ok().text(), "ok");
    assert_eq!(told.header("x-mainstay-model"), "spare");
    assert!(began.elapsed() >= Duration::from_millis(200));
    gate.until("the loser has ended", || gate.upstream.left("stall") == 1)
        .await;
    assert_eq!(
        (gate.upstream.hits("stall"), gate.upstream.hits("spare/ok")),
        (1, 1)
    );
}

#[tokio::test]
async fn a_kept_answer_asks_nobody() {
    let gate = Gate::open(&model("m", "openai", "echo", "cache: {ttl: 1h}"));
    for route in ROUTES {
        for stream in [false, true] {
            let before = gate.upstream.hits("echo");
            let first = gate.ask(route, "m", stream).await;
            let again = gate.ask(route, "m", stream).await;
            assert_eq!(again.ok().header("x-mainstay-cache"), "hit", "{again:?}");
            assert_eq!(again.header("x-mainstay-cost-usd"), "0");
            assert_eq!(again.text(), first.ok().text(), "{again:?}");
            assert!(gate.upstream.hits("echo") <= before + 1);
            if stream {
                assert!(again.body.contains(route.end()), "{again:?}");
            }
        }
    }
    let other = gate
        .post(Route::Chat, &Route::Chat.body("m", "something else", false))
        .await;
    assert_eq!(other.ok().header("x-mainstay-cache"), "miss");
    assert_eq!(other.text(), "something else");
}

/// Otherwise whoever measures a model measures the one before, or the one that stood in for it.
#[tokio::test]
async fn a_kept_answer_is_that_of_the_model_as_it_is_configured() {
    let kept = |upstream| model("m", "openai", upstream, "cache: {ttl: 1h}");
    let gate = Gate::open(&kept("echo"));
    gate.chat("m").await.ok();
    let told = gate.chat("m").await;
    assert_eq!(told.ok().header("x-mainstay-cache"), "hit");
    assert_eq!(told.header("x-mainstay-model"), "m");
    gate.rewrite(&kept("ok"), "");
    let deadline = Instant::now() + LIMIT;
    loop {
        let told = gate.chat("m").await;
        if gate.upstream.hits("ok") == 1 {
            assert_eq!(told.ok().header("x-mainstay-cache"), "miss");
            break;
        }
        assert!(Instant::now() < deadline, "the old answer is still given");
    }
}

#[tokio::test]
async fn the_answer_of_who_stands_in_is_not_kept_as_the_models_own() {
    let models = model(
        "m",
        "openai",
        "flaky-1",
        "retry: {max: 0}, cache: {ttl: 1h}, fallback: [spare]",
    ) + &model("spare", "openai", "spare/ok", "");
    let gate = Gate::open(&models);
    for (by, cache) in [("spare", "miss"), ("m", "miss"), ("m", "hit")] {
        let told = gate.chat("m").await;
        assert_eq!(told.ok().header("x-mainstay-model"), by, "{told:?}");
        assert_eq!(told.header("x-mainstay-cache"), cache, "{told:?}");
    }
}

#[tokio::test]
async fn failures_are_not_kept() {
    let gate = Gate::open(&model(
        "m",
        "openai",
        "flaky-1",
        "retry: {max: 0}, cache: {ttl: 1h}",
    ));
    gate.chat("m").await.failed("inference.server_error", 502);
    gate.chat("m").await.ok();
    assert_eq!(gate.chat("m").await.ok().header("x-mainstay-cache"), "hit");
    assert_eq!(gate.upstream.hits("flaky-1"), 2);
}

#[tokio::test]
async fn who_asked_to_be_left_alone_is_not_waited_for_where_another_answers() {
    let models = model("m", "openai", "429-20", "fallback: [spare]")
        + &model("spare", "openai", "spare/ok", "");
    let gate = Gate::open(&models);
    for _ in 0..3 {
        let told = gate.chat("m").await;
        assert_eq!(told.ok().header("x-mainstay-model"), "spare");
    }
    assert_eq!(gate.upstream.hits("429-20"), 1);
}

#[tokio::test]
async fn an_address_that_leads_elsewhere_is_the_operators_and_has_a_fallback() {
    let lost = |name: &str, more: &str| {
        model(name, "openai_compatible", "ok", more).replace("URL/open/v1", "URL/nowhere")
    };
    let models = lost("m", "retry: {max: 2}")
        + &lost("n", "retry: {max: 2}, fallback: [spare]")
        + &model("spare", "openai", "spare/ok", "");
    let gate = Gate::open(&models);
    for route in ROUTES {
        let told = gate.ask(route, "m", false).await;
        told.failed("inference.bad_request", 422);
        assert_eq!(told.header("x-mainstay-responsible"), "operator");
        let told = gate.ask(route, "n", true).await;
        assert_eq!(told.ok().header("x-mainstay-model"), "spare");
    }
}

#[tokio::test]
async fn a_stand_in_that_has_no_word_for_a_field_does_not_hide_the_failure() {
    let models = [
        model(
            "m",
            "openai_compatible",
            "500",
            "retry: {max: 0}, fallback: [other]",
        ),
        model(
            "busy",
            "openai_compatible",
            "429-7",
            "retry: {max: 0}, fallback: [other]",
        ),
        model("other", "anthropic", "other/ok", "fallback: [spare]"),
        model(
            "able",
            "openai_compatible",
            "503",
            "retry: {max: 0}, fallback: [other, spare]",
        ),
        model("spare", "openai", "spare/ok", ""),
    ];
    let gate = Gate::open(&models.concat());
    let seeded = |name: &str| {
        let mut body = Route::Chat.body(name, "x", false);
        body["seed"] = 1.into();
        body
    };
    let told = gate.post(Route::Chat, &seeded("m")).await;
    told.failed("inference.server_error", 502);
    assert_eq!(told.header("x-mainstay-responsible"), "provider");
    assert_eq!(told.header("x-mainstay-retry"), "after");
    let told = gate.post(Route::Chat, &seeded("busy")).await;
    told.failed("inference.rate_limited", 429);
    let wait: u64 = told.header("retry-after").parse().unwrap();
    assert!((6..=7).contains(&wait), "{told:?}");
    for name in ["able", "other"] {
        let told = gate.post(Route::Chat, &seeded(name)).await;
        assert_eq!(told.ok().header("x-mainstay-model"), "spare", "{name}");
    }
    assert_eq!(gate.upstream.hits("other/ok"), 0);
}
