//! The node's keys at providers: read again when one is refused, and never the caller's business.

use super::{Gate, PROVIDERS, ROUTES, SECRET, model};
use futures_util::future::join_all;

#[tokio::test]
async fn a_key_that_was_changed_is_read_again() {
    for provider in PROVIDERS {
        let gate = Gate::open(&model("m", provider, "rotate", "retry: {max: 0}"));
        gate.upstream.set_key("rotate", SECRET);
        gate.chat("m").await.ok();
        gate.upstream.set_key("rotate", "sk-second");
        gate.place.write("upstream.key", "sk-second\n");
        let told = gate.chat("m").await;
        assert_eq!(told.ok().text(), "ok", "{provider}");
        assert_eq!(
            gate.upstream.hits("rotate"),
            3,
            "{provider}: one refusal, one call with the new key"
        );
        gate.chat("m").await.ok();
        assert_eq!(gate.upstream.hits("rotate"), 4, "{provider}");
    }
}

#[tokio::test]
async fn many_refusals_at_once_read_the_key_once() {
    let gate = Gate::open(&model("m", "anthropic", "rotate", "retry: {max: 0}"));
    gate.upstream.set_key("rotate", SECRET);
    gate.chat("m").await.ok();
    gate.upstream.set_key("rotate", "sk-second");
    gate.place.write("upstream.key", "sk-second");
    let told = gate.chats("m", 50).await;
    told.iter().for_each(|told| _ = told.ok());
    let refused = gate.upstream.hits("rotate") - 1 - 50;
    assert!((1..=50).contains(&refused), "{refused}");
}

#[tokio::test]
async fn the_operators_bad_key_is_never_a_401_to_callers() {
    let models: String = PROVIDERS
        .iter()
        .map(|provider| {
            model(
                provider,
                provider,
                &format!("{provider}/rotate"),
                "retry: {max: 3}",
            )
        })
        .collect();
    let gate = Gate::open(&models);
    let asks = PROVIDERS.iter().flat_map(|provider| {
        let gate = &gate;
        ROUTES
            .into_iter()
            .map(move |route| gate.ask(route, provider, false))
    });
    for told in join_all(asks).await {
        told.failed("inference.unauthorized", 422);
    }
    for provider in PROVIDERS {
        assert_eq!(
            gate.upstream.hits(&format!("{provider}/rotate")),
            3,
            "{provider}"
        );
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_and_costs_nothing() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    std::fs::remove_file(gate.place.path().join("upstream.key")).unwrap();
    for route in ROUTES {
        let told = gate.ask(route, "m", false).await;
        assert_eq!(
            told.header("x-mainstay-code"),
            "runtime.secret_unavailable",
            "{told:?}"
        );
        assert_eq!(told.header("x-should-retry"), "false", "{told:?}");
        told.told_as_the_route(&told.json());
    }
    assert_eq!(gate.upstream.hits("ok"), 0);
    gate.place.write("upstream.key", SECRET);
    gate.chat("m").await.ok();
}
