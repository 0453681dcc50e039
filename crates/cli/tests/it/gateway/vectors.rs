//! Failures of vectors are told as those of answers are.

use super::{Gate, Route, Told, model};
use serde_json::json;

const PROVIDERS: [&str; 4] = ["openai", "openai_compatible", "gemini", "azure_openai"];

async fn embed(gate: &Gate, model: &str) -> Told {
    let url = format!("{}/v1/embeddings", gate.server.url);
    let body = json!({"model": model, "input": "x"});
    let request = gate
        .server
        .client()
        .post(url)
        .bearer_auth(&gate.server.key)
        .json(&body);
    gate.send(Route::Chat, request).await
}

#[tokio::test]
async fn every_failure_keeps_its_meaning() {
    let cases = [
        ("401", "inference.unauthorized", 422),
        ("403", "inference.forbidden", 422),
        ("404", "inference.model_not_found", 404),
        ("500", "inference.server_error", 502),
        ("html502", "inference.server_error", 502),
        ("503", "inference.backpressure", 503),
        ("429-7", "inference.rate_limited", 429),
        ("reset", "inference.network_error", 502),
    ];
    let models: String = PROVIDERS
        .iter()
        .flat_map(|provider| {
            cases.iter().map(move |(scenario, ..)| {
                let name = format!("{provider}-{scenario}");
                model(&name, provider, &format!("{name}/{scenario}"), "")
            })
        })
        .collect();
    let gate = Gate::open(&models);
    for provider in PROVIDERS {
        for (scenario, code, status) in cases {
            let name = format!("{provider}-{scenario}");
            embed(&gate, &name).await.failed(code, status);
            assert_eq!(
                gate.upstream.hits(&format!("{name}/{scenario}")),
                1,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn repetitions_and_changed_keys_serve_vectors_too() {
    let models = [
        model(
            "flaky",
            "openai",
            "flaky-2",
            "retry: {max: 3, base: 1ms, cap: 5ms}",
        ),
        model("rotate", "gemini", "rotate", ""),
    ];
    let gate = Gate::open(&models.concat());
    embed(&gate, "flaky").await.ok();
    assert_eq!(gate.upstream.hits("flaky-2"), 3);
    gate.upstream.set_key("rotate", "sk-second");
    embed(&gate, "rotate")
        .await
        .failed("inference.unauthorized", 422);
    gate.place.write("upstream.key", "sk-second");
    embed(&gate, "rotate").await.ok();
    assert_eq!(gate.upstream.hits("rotate"), 3);
}

#[tokio::test]
async fn requests_that_make_no_sense_cost_nothing() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    let url = format!("{}/v1/embeddings", gate.server.url);
    for body in [
        json!({"model": "m"}),
        json!({"model": "m", "input": []}),
        json!({"model": "m", "input": 7}),
        json!({"model": "m", "input": "x", "encoding_format": "xml"}),
        json!({"model": "m", "input": "x", "dimensions": "many"}),
    ] {
        let request = gate
            .server
            .client()
            .post(&url)
            .bearer_auth(&gate.server.key)
            .json(&body);
        let told = gate.send(Route::Chat, request).await;
        told.failed("inference.bad_request", 400);
        assert!(told.json()["error"]["param"].is_string(), "{told:?}");
    }
    assert_eq!(gate.upstream.hits("ok"), 0);
}
