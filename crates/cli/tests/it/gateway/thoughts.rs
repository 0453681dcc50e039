//! Thoughts, and the seals that providers want back with them unchanged.

use super::{Gate, ROUTES, Route, Told, model};
use serde_json::{Value, json};

/// What the upstream seals its thoughts with; it refuses any other seal.
const SEAL: &str = "c2VhbC1vZi10aG91Z2h0cw==";

fn models(scenario: &str) -> String {
    ["openai", "anthropic", "gemini"]
        .map(|provider| model(provider, provider, &format!("{provider}/{scenario}"), ""))
        .concat()
}

/// The conversation with the answer in it, as a client sends it back.
fn with_answer(told: &Told, model: &str) -> Value {
    let mut body = told.route.body(model, "first", false);
    let whole = told.json();
    let second = json!({"role": "user", "content": "second"});
    match told.route {
        Route::Chat => {
            let messages = body["messages"].as_array_mut().unwrap();
            messages.extend([whole["choices"][0]["message"].clone(), second]);
        }
        Route::Responses => {
            let input = body["input"].as_array_mut().unwrap();
            input.extend(whole["output"].as_array().unwrap().iter().cloned());
            input.push(second);
        }
        Route::Messages => {
            let messages = body["messages"].as_array_mut().unwrap();
            messages.extend([
                json!({"role": "assistant", "content": whole["content"]}),
                second,
            ]);
        }
    }
    body
}

#[tokio::test]
async fn seals_go_out_and_come_back_unchanged() {
    let gate = Gate::open(&models("think"));
    for (provider, routes) in [
        ("anthropic", &ROUTES[..]),
        ("gemini", &ROUTES[..]),
        // On its own wire of conversations OpenAI shows no thoughts.
        ("openai", &[Route::Responses][..]),
    ] {
        for route in routes {
            let told = gate.ask(*route, provider, false).await;
            assert_eq!(told.ok().text(), "ok", "{provider} {told:?}");
            assert!(told.body.contains(SEAL), "{provider} {told:?}");
            let again = gate.post(*route, &with_answer(&told, provider)).await;
            again.ok();
            let sent = gate.upstream.requests(&format!("{provider}/think"));
            let sent = sent.last().unwrap()["body"].to_string();
            assert!(sent.contains(SEAL), "{provider} {route:?}: {sent}");
        }
    }
}

#[tokio::test]
async fn thoughts_are_streamed_apart_from_text() {
    let gate = Gate::open(&models("think"));
    for provider in ["anthropic", "gemini", "openai"] {
        for route in ROUTES {
            let told = gate.ask(route, provider, true).await;
            assert_eq!(told.ok().text(), "ok", "{provider} {told:?}");
            assert!(
                told.body.contains("let me") || told.body.contains("see"),
                "{provider} {told:?}"
            );
            assert!(told.body.contains(route.end()), "{provider} {told:?}");
        }
    }
}

#[tokio::test]
async fn another_provider_is_not_shown_seals_that_are_not_its_own() {
    let both = format!(
        "{}{}",
        models("think"),
        model("other", "anthropic", "other/echo", "")
    );
    let gate = Gate::open(&both);
    for route in ROUTES {
        let told = gate.ask(route, "gemini", false).await;
        let body = with_answer(&told, "other");
        let again = gate.post(route, &body).await;
        assert_eq!(again.ok().text(), "second", "{again:?}");
    }
}
