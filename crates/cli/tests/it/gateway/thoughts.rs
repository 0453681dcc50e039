//! Thoughts, and the seals that providers want back with them unchanged.

use super::{Gate, PROVIDERS, ROUTES, Route, Told, model};
use serde_json::{Value, json};

/// What the upstream seals a provider's thoughts with; it refuses any other seal.
fn seal(provider: &str) -> &'static str {
    match provider {
        "anthropic" => "c2VhbCBvZiBhbnRocm9waWM=",
        "gemini" => "c2VhbCBvZiBnZW1pbmk=",
        _ => "c2VhbCBvZiBvcGVuYWk=",
    }
}

fn models(scenario: &str) -> String {
    ["openai", "openai_compatible", "anthropic", "gemini"]
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
            assert!(told.body.contains(seal(provider)), "{provider} {told:?}");
            let again = gate.post(*route, &with_answer(&told, provider)).await;
            again.ok();
            let sent = gate.upstream.requests(&format!("{provider}/think"));
            let sent = sent.last().unwrap()["body"].to_string();
            assert!(
                sent.contains(seal(provider)),
                "{provider} {route:?}: {sent}"
            );
        }
    }
}

#[tokio::test]
async fn thoughts_are_streamed_apart_from_text() {
    let gate = Gate::open(&models("think"));
    for provider in ["anthropic", "gemini", "openai_compatible"] {
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
async fn a_conversation_goes_on_with_another_provider() {
    let others = PROVIDERS.map(|provider| {
        let name = format!("to-{provider}");
        model(&name, provider, &format!("{name}/echo"), "")
    });
    let gate = Gate::open(&format!("{}{}", models("think"), others.concat()));
    let mut flaws = Vec::new();
    for from in ["anthropic", "gemini", "openai", "openai_compatible"] {
        for route in ROUTES {
            let told = gate.ask(route, from, false).await;
            told.ok();
            for to in PROVIDERS.iter().filter(|to| **to != from) {
                let to = format!("to-{to}");
                let again = gate.post(route, &with_answer(&told, &to)).await;
                if again.status != 200 || again.text() != "second" {
                    flaws.push(format!("{from} {route:?} {to}: {}", again.body));
                }
            }
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}
