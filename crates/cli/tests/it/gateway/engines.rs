//! Servers that say whether they take requests: down, up, sick, dead, silent, and what a caller sees of it.

use super::{Gate, ROUTES, Route, Told, model};
use crate::harness::LIMIT;
use mainstay_testkit::upstream::Upstream;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Instant;

const HEALTH: &str =
    "health: {http: /health, interval: 30ms, timeout: 500ms, retries: 2, start_period: 10ms}";

/// A model of the manifest at a server of its own.
fn engine(name: &str, address: SocketAddr, upstream: &str, more: &str) -> String {
    let base = format!("http://{address}/v1");
    model(
        name,
        "openai",
        upstream,
        &format!("retry: {{max: 0}}, {more}"),
    )
    .replace("URL/v1", &base)
}

fn spare() -> String {
    model("spare", "anthropic", "spare/ok", "")
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    Upstream::start().unwrap().address()
}

async fn status(gate: &Gate, name: &str) -> Value {
    let (_, models) = gate.server.get("/api/models").await;
    let mut models = models.as_array().unwrap().iter();
    let found = models.find(|model| model["name"] == name);
    found.cloned().unwrap_or_default()
}

/// Waits until a model is as it is to be.
async fn becomes(gate: &Gate, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = status(gate, name).await;
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{status}");
    }
}

async fn fails(gate: &Gate, name: &str, reason: &str) {
    let is_so = |status: &Value| status["health"]["state"] == "failed";
    let status = becomes(gate, name, is_so).await;
    assert_eq!(status["ready"], false, "{status}");
    let health = &status["health"];
    assert_eq!(health["last_failure"]["reason"], reason, "{status}");
    assert!(health["failures"].as_u64().unwrap() >= 2, "{status}");
    assert!(
        health["since"].as_u64() <= health["checked_at"].as_u64(),
        "{status}"
    );
}

async fn recovers(gate: &Gate, name: &str) {
    let status = becomes(gate, name, |status| status["ready"] == true).await;
    assert_eq!(status["health"]["state"], "ready", "{status}");
    assert_eq!(status["health"]["failures"], 0, "{status}");
}

#[track_caller]
fn refused(told: &Told) {
    told.failed("inference.backpressure", 503);
    let wait: u64 = told.header("retry-after").parse().unwrap();
    assert_eq!(wait, 1, "{told:?}");
    assert!(told.body.contains("big is not ready"), "{told:?}");
    for wrong in ["is overloaded", "rate_limit"] {
        assert!(!told.body.contains(wrong), "{told:?}");
    }
}

#[track_caller]
fn answered_by(told: &Told, name: &str) {
    assert_eq!(told.ok().text(), "ok");
    assert_eq!(told.header("x-mainstay-model"), name, "{told:?}");
}

#[tokio::test]
async fn an_engine_gets_nothing_before_it_is_up() {
    let address = nobody();
    let gate = Gate::open(&engine("big", address, "ok", HEALTH));
    for route in ROUTES {
        for stream in [false, true] {
            refused(&gate.ask(route, "big", stream).await);
        }
    }
    fails(&gate, "big", "unreachable").await;
    refused(&gate.chat("big").await);
    let engine = Upstream::listen(address).unwrap();
    engine.set_health(503);
    let is_sick = |status: &Value| status["health"]["last_failure"]["reason"] == "status";
    becomes(&gate, "big", is_sick).await;
    refused(&gate.chat("big").await);
    assert_eq!(engine.hits("ok"), 0);
    engine.set_health(200);
    recovers(&gate, "big").await;
    for (at, route) in ROUTES.into_iter().enumerate() {
        answered_by(&gate.ask(route, "big", true).await, "big");
        assert_eq!(engine.hits("ok"), at as u64 + 1);
    }
}

#[tokio::test]
async fn an_engine_that_starts_is_not_yet_failed() {
    let health = HEALTH.replace("10ms", "1h");
    let gate = Gate::open(&engine("big", nobody(), "ok", &health));
    let is_asked = |status: &Value| status["health"]["failures"].as_u64() > Some(4);
    let status = becomes(&gate, "big", is_asked).await;
    assert_eq!(status["health"]["state"], "starting", "{status}");
    assert_eq!(status["ready"], false, "{status}");
    refused(&gate.chat("big").await);
}

#[tokio::test]
async fn a_sick_engine_leaves_its_requests_to_those_who_stand_in() {
    let up = Upstream::start().unwrap();
    let more = format!("{HEALTH}, fallback: [spare]");
    let gate = Gate::open(&format!(
        "{}{}",
        engine("big", up.address(), "ok", &more),
        spare()
    ));
    // A node that starts has looked before it takes the first request.
    answered_by(&gate.chat("big").await, "big");
    for (at, sickness) in [503, 500, 404, 301].into_iter().enumerate() {
        up.set_health(sickness);
        fails(&gate, "big", "status").await;
        let before = up.hits("ok");
        for route in ROUTES {
            for stream in [false, true] {
                answered_by(&gate.ask(route, "big", stream).await, "spare");
            }
        }
        assert_eq!(up.hits("ok"), before);
        assert_eq!(gate.upstream.hits("spare/ok"), 6 * (at as u64 + 1));
        let listed = listed(&gate, "big");
        let said = format!("it answered with status {sickness}");
        assert!(
            listed.contains("failed for ") && listed.contains(&said),
            "{listed}"
        );
        assert_eq!(gate.metric("model_ready{model=\"big\"}").await, 0);
        assert_eq!(gate.metric("model_ready{model=\"spare\"}").await, 1);
        let failed = r#"health_checks_failed_total{model="big",reason="status"}"#;
        assert!(gate.metric(failed).await >= 2);
        up.set_health(200);
        recovers(&gate, "big").await;
        answered_by(&gate.chat("big").await, "big");
        assert_eq!(gate.metric("model_ready{model=\"big\"}").await, 1);
    }
    assert!(gate.metric("health_since_seconds{model=\"big\"}").await > 1_700_000_000);
}

/// The line of a model in `model ls`.
fn listed(gate: &Gate, name: &str) -> String {
    let told = gate.place.mainstay(&["model", "ls"]);
    let mut lines = told.ok().stdout.lines();
    let line = lines.find(|line| line.starts_with(name));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_engine_that_dies_comes_back() {
    let up = Upstream::start().unwrap();
    let address = up.address();
    let gate = Gate::open(&engine("big", address, "ok", HEALTH));
    answered_by(&gate.chat("big").await, "big");
    drop(up);
    fails(&gate, "big", "unreachable").await;
    refused(&gate.chat("big").await);
    assert!(listed(&gate, "big").contains("refused"));
    let up = Upstream::listen(address).unwrap();
    recovers(&gate, "big").await;
    answered_by(&gate.chat("big").await, "big");
    assert_eq!(up.hits("ok"), 1);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_in_time_is_not_ready() {
    let up = Upstream::start().unwrap();
    let gate = Gate::open(&engine("big", up.address(), "ok", HEALTH));
    answered_by(&gate.chat("big").await, "big");
    up.silence_health();
    fails(&gate, "big", "timeout").await;
    refused(&gate.chat("big").await);
    assert_eq!(up.hits("ok"), 1);
    up.set_health(200);
    recovers(&gate, "big").await;
    answered_by(&gate.chat("big").await, "big");
}

#[tokio::test]
async fn who_waits_for_an_engine_that_fails_goes_on() {
    let up = Upstream::start().unwrap();
    let limits = format!("{HEALTH}, limits: {{concurrency: 1, queue: 9, queue_timeout: 1h}}");
    let moving = format!("{limits}, fallback: [{{to: spare, on: [failed]}}]");
    let gate = Gate::open(&format!(
        "{}{}{}",
        engine("big", up.address(), "stall-mid", &limits),
        engine("moving", up.address(), "stall-mid", &moving),
        spare()
    ));
    let mut begun = Vec::new();
    for name in ["big", "moving"] {
        let body = Route::Chat.body(name, "x", true);
        begun.push(gate.request(Route::Chat, &body).send().await.unwrap());
    }
    let waiting = async { tokio::join!(gate.chat("big"), gate.chat("moving")) };
    let sickening = async {
        for name in ["big", "moving"] {
            becomes(&gate, name, |status| status["queued"] == 1).await;
        }
        up.set_health(503);
    };
    let both = async { tokio::join!(waiting, sickening).0 };
    let (told, moved) = tokio::time::timeout(LIMIT, both).await.unwrap();
    refused(&told);
    answered_by(&moved, "spare");
    // What had begun goes on.
    assert_eq!((up.hits("stall-mid"), up.open("stall-mid")), (2, 2));
    assert_eq!(up.left("stall-mid"), 0);
    drop(begun);
}

#[tokio::test]
async fn health_follows_the_manifest() {
    let (up, other) = (Upstream::start().unwrap(), Upstream::start().unwrap());
    up.set_health(503);
    let gate = Gate::open(&engine("big", up.address(), "ok", HEALTH));
    fails(&gate, "big", "status").await;
    // Without a check the engine is called again.
    gate.rewrite(&engine("big", up.address(), "ok", "idempotent: true"), "");
    let status = becomes(&gate, "big", |status| status["ready"] == true).await;
    assert!(status.get("health").is_none(), "{status}");
    answered_by(&gate.chat("big").await, "big");
    // With one it has to show itself first, and at another address anew.
    gate.rewrite(&engine("big", up.address(), "ok", HEALTH), "");
    fails(&gate, "big", "status").await;
    refused(&gate.chat("big").await);
    let elsewhere = HEALTH.replace("/health", &format!("'http://{}/health'", other.address()));
    gate.rewrite(&engine("big", up.address(), "ok", &elsewhere), "");
    recovers(&gate, "big").await;
    answered_by(&gate.chat("big").await, "big");
    let before = up.health_checks();
    // Another way of asking the same server interrupts nothing.
    let patient = elsewhere.replace("retries: 2", "retries: 9");
    gate.rewrite(
        &engine(
            "big",
            up.address(),
            "ok",
            &format!("{patient}, cache: {{ttl: 1h}}"),
        ),
        "",
    );
    let deadline = Instant::now() + LIMIT;
    while gate
        .chat("big")
        .await
        .ok()
        .header("x-mainstay-cache")
        .is_empty()
    {
        assert!(Instant::now() < deadline);
    }
    // A model that is gone is asked for no more.
    gate.rewrite(
        &engine(
            "new",
            up.address(),
            "ok",
            &elsewhere.replace("/health", "/health?x=1"),
        ),
        "",
    );
    recovers(&gate, "new").await;
    let after = other.health_checks() + 20;
    gate.until("the other is asked again", || {
        other.health_checks() >= after
    })
    .await;
    assert_eq!(up.health_checks(), before);
}

#[tokio::test]
async fn a_node_begins_and_ends_beside_an_engine_that_is_silent() {
    let up = Upstream::start().unwrap();
    up.silence_health();
    let health = HEALTH.replace("timeout: 500ms", "timeout: 1h");
    let gate = Gate::open(&engine("big", up.address(), "ok", &health));
    refused(&gate.chat("big").await);
    assert_eq!(up.health_checks(), 1);
    let began = Instant::now();
    assert_eq!(gate.server.stop(), Some(0));
    assert!(began.elapsed().as_secs() < 30);
}

#[tokio::test]
async fn a_command_without_a_node_looks_first() {
    let up = Upstream::start().unwrap();
    let gate = Gate::open(&engine("big", up.address(), "ok", HEALTH));
    let Gate { place, server, .. } = gate;
    assert_eq!(server.stop(), Some(0));
    let told = place.mainstay(&["model", "call", "big", "hello"]);
    assert_eq!(told.ok().stdout, "ok\n");
    up.set_health(503);
    let told = place.mainstay(&["--json", "model", "call", "big", "hello"]);
    told.failed_with("inference.backpressure");
    assert_eq!(up.hits("ok"), 1);
}
