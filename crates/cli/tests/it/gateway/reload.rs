//! A manifest that is edited while the node serves.

use super::{Gate, Route, Told, model};
use crate::harness::LIMIT;
use std::time::Instant;

async fn served(gate: &Gate, model: &str) -> bool {
    let deadline = Instant::now() + LIMIT;
    loop {
        let told = gate.chat(model).await;
        if told.status == 200 {
            return true;
        }
        if told.status != 503 {
            told.failed("inference.model_not_found", 404);
        }
        if Instant::now() > deadline {
            return false;
        }
    }
}

#[tokio::test]
async fn a_new_model_is_served_and_what_is_under_way_goes_on() {
    let old = model("old", "openai", "slow-300", "");
    let gate = Gate::open(&old);
    let body = Route::Chat.body("old", "x", true);
    let mut response = gate.request(Route::Chat, &body).send().await.unwrap();
    let began = Instant::now();
    // The old model is gone with this, too.
    gate.rewrite(&model("new", "anthropic", "new/ok", ""), "");
    assert!(served(&gate, "new").await);
    let took = began.elapsed();
    assert!(took.as_secs() < 10, "{took:?}");
    gate.chat("old")
        .await
        .failed("inference.model_not_found", 404);
    let mut seen = String::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        seen.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(
        seen.contains("\"ten\"") && seen.contains("[DONE]"),
        "{seen}"
    );
}

#[tokio::test]
async fn an_invalid_manifest_changes_nothing() {
    let old = model("old", "openai", "ok", "");
    let gate = Gate::open(&old);
    gate.chat("old").await.ok();
    gate.rewrite(&format!("{old}  broken: {{provider: nobody}}\n"), "");
    gate.until("the node says what is wrong", || {
        gate.place.read("log").contains("models.broken.provider")
    })
    .await;
    gate.chat("old").await.ok();
    gate.chat("broken")
        .await
        .failed("inference.model_not_found", 404);
    gate.rewrite(
        &format!("{old}{}", model("new", "gemini", "new/ok", "")),
        "",
    );
    assert!(served(&gate, "new").await);
    gate.chat("old").await.ok();
}

/// The operator is told of, and the caller to come again.
#[track_caller]
fn is_unserved(told: &Told) {
    let headers = ["code", "responsible", "retry"];
    let said = headers.map(|name| told.header(&format!("x-mainstay-{name}")));
    assert_eq!(
        (told.status, said),
        (503, ["manifest.invalid", "operator", "after"])
    );
    assert!(told.body.contains("its log says why"), "{told:?}");
}

#[tokio::test]
async fn a_node_that_starts_with_an_invalid_manifest_says_so_and_learns_of_a_better_one() {
    let gate = Gate::open("  broken: {provider: nobody}\n");
    assert!(gate.place.read("log").contains("models.broken.provider"));
    for route in super::ROUTES {
        let told = gate.ask(route, "broken", false).await;
        is_unserved(&told);
    }
    // Nobody knows whether the caller's key is one.
    is_unserved(&gate.ask_as("sk-a-callers-own", "broken").await);
    // Who comes under a foreign name is not told even that.
    let foreign = gate.request(Route::Chat, &Route::Chat.body("broken", "x", false));
    let told = gate
        .send(Route::Chat, foreign.header("host", "evil.example"))
        .await;
    assert_eq!(
        (told.status, told.header("x-mainstay-code")),
        (403, "runtime.forbidden")
    );
    let (status, told) = gate.server.get("/readyz").await;
    assert_eq!((status, &told["code"]), (503, &"manifest.invalid".into()));
    assert!(!told.to_string().contains("provider"), "{told}");
    gate.rewrite(&model("second", "openai", "ok", ""), "");
    assert!(served(&gate, "second").await);
    assert_eq!(gate.server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_panic_is_told_as_a_failure_of_ours_and_nothing_else_suffers() {
    let gate = Gate::open("  m: {provider: script, file: script.yaml}\n");
    gate.place.write(
        "script.yaml",
        "- {fault: {kind: panic, message: deep secret, times: 1000}}\n- {text: x}\n",
    );
    gate.rewrite("  p: {provider: script, file: script.yaml}\n", "");
    let deadline = Instant::now() + LIMIT;
    while gate.chat("p").await.status == 404 {
        assert!(Instant::now() < deadline);
    }
    for route in super::ROUTES {
        for stream in [false, true] {
            let told = gate.ask(route, "p", stream).await;
            told.failed("inference.internal", 500);
            assert_eq!(told.header("x-should-retry"), "false");
            assert!(!told.body.contains("deep secret"), "{told:?}");
        }
    }
    let (status, _) = gate.server.get("/healthz").await;
    assert_eq!(status, 200);
}
