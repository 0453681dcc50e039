//! Money: what was spent stays spent, and a budget is never overrun.

use super::{Gate, ROUTES, Route, Told, model};
use serde_json::json;
use std::time::{Duration, Instant};

/// A call costs 11 tokens in and 7 out: 0.018 dollars.
const PRICE: &str = "price: {input_per_million: 1000, output_per_million: 1000}";

fn bound(model: &str) -> serde_json::Value {
    let text = "as many words as make up more than eleven tokens, however they are counted";
    let message = json!({"role": "user", "content": text});
    json!({"model": model, "messages": [message], "max_tokens": 7})
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_402_and_costs_nothing_more() {
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: 0.02, per: day}}");
    let gate = Gate::open(&model("m", "openai", "ok", &more));
    let told = gate.chat("m").await;
    assert_eq!(told.ok().header("x-mainstay-cost-usd"), "0.018");
    let mut refused = Vec::new();
    for route in ROUTES {
        for stream in [false, true] {
            let body = match route {
                Route::Chat => json!({"max_tokens": 64}),
                Route::Responses => json!({"max_output_tokens": 64}),
                Route::Messages => json!({}),
            };
            let mut asked = route.body("m", "one two three", stream);
            asked
                .as_object_mut()
                .unwrap()
                .extend(body.as_object().unwrap().clone());
            refused.push(gate.post(route, &asked).await);
        }
    }
    for told in refused {
        told.failed("inference.budget_exceeded", 402);
    }
    assert_eq!(gate.upstream.hits("ok"), 1);
}

#[tokio::test]
async fn a_hundred_at_once_do_not_overrun_it() {
    // What is reserved for a request lies above what it costs in the end.
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: 0.18}}");
    let gate = Gate::open(&model("m", "openai", "slow-300", &more));
    let asks = (0..100).map(|_| async { gate.post(Route::Chat, &bound("m")).await });
    let told = futures_util::future::join_all(asks).await;
    let (ok, refused): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.status == 200);
    refused
        .iter()
        .for_each(|told| _ = told.failed("inference.budget_exceeded", 402));
    assert!(!ok.is_empty() && ok.len() <= 10, "{}", ok.len());
    assert_eq!(gate.upstream.hits("slow-300"), ok.len() as u64);
}

#[tokio::test]
async fn a_budget_may_only_warn() {
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: 0.001, action: warn}}");
    let gate = Gate::open(&model("m", "openai", "ok", &more));
    for route in ROUTES {
        for stream in [false, true] {
            let told = gate.ask(route, "m", stream).await;
            let warning = told.ok().header("x-mainstay-warning");
            assert!(warning.contains("model m"), "{told:?}");
        }
    }
    assert_eq!(gate.upstream.hits("ok"), 6);
}

#[tokio::test]
async fn what_was_spent_survives_a_kill() {
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: 0.045}}");
    let gate = Gate::open(&model("m", "openai", "ok", &more));
    let refused = |told: super::Told| _ = told.failed("inference.budget_exceeded", 402);
    gate.post(Route::Chat, &bound("m")).await.ok();
    refused(gate.post(Route::Chat, &bound("m")).await);
    let gate = gate.restart();
    refused(gate.post(Route::Chat, &bound("m")).await);
    assert_eq!(gate.upstream.hits("ok"), 1);
}

#[tokio::test]
async fn a_call_that_was_under_way_when_the_node_was_killed_counts_as_paid() {
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: 0.045}}");
    let gate = Gate::open(&model("m", "openai", "stall", &more));
    let waiting = tokio::spawn(gate.request(Route::Chat, &bound("m")).send());
    gate.until("the call has come", || gate.upstream.open("stall") == 1)
        .await;
    let gate = gate.restart();
    assert!(waiting.await.unwrap().is_err());
    let told = gate.post(Route::Chat, &bound("m")).await;
    told.failed("inference.budget_exceeded", 402);
    assert_eq!(gate.upstream.hits("stall"), 1);
}

#[tokio::test]
async fn free_models_need_no_budget() {
    let keys = "keys:\n  alice: {secret: alice, budget: {usd: 0.000001}}\nsecrets:\n  alice: {file: alice.key}\n";
    let models = [
        model(
            "free",
            "openai",
            "free/ok",
            "retry: {max: 0}, price: {free: true}",
        ),
        model(
            "dear",
            "openai",
            "dear/ok",
            &format!("retry: {{max: 0}}, {PRICE}"),
        ),
    ];
    let gate = Gate::with(&models.concat(), keys);
    gate.place.write("alice.key", "key-of-alice-000000");
    let deadline = std::time::Instant::now() + crate::harness::LIMIT;
    let ask = |model: &'static str| {
        let request = gate.request(Route::Messages, &Route::Messages.body(model, "x", false));
        let (client, request) = request.build_split();
        let mut request = request.unwrap();
        request.headers_mut().remove("authorization");
        request
            .headers_mut()
            .insert("x-api-key", "key-of-alice-000000".parse().unwrap());
        gate.send(
            Route::Messages,
            reqwest::RequestBuilder::from_parts(client, request),
        )
    };
    while ask("free").await.status == 401 {
        assert!(
            std::time::Instant::now() < deadline,
            "the key is never read"
        );
    }
    ask("free").await.ok();
    ask("dear").await.failed("inference.budget_exceeded", 402);
    assert_eq!(gate.upstream.hits("dear/ok"), 0);
}

#[tokio::test]
async fn a_price_that_nobody_knows_is_refused_where_a_budget_counts() {
    let refused = model("m", "openai", "ok", "retry: {max: 0}, budget: {usd: 1}");
    let allowed = model(
        "n",
        "openai",
        "n/ok",
        "retry: {max: 0}, budget: {usd: 1}, if_price_unknown: allow",
    );
    let gate = Gate::open(&format!("{refused}{allowed}"));
    for route in ROUTES {
        let told = gate.ask(route, "m", false).await;
        told.failed("inference.price_unknown", 422);
        gate.ask(route, "n", false).await.ok();
    }
    assert_eq!(
        (gate.upstream.hits("ok"), gate.upstream.hits("n/ok")),
        (0, 3)
    );
}

/// A budget holds for what a provider may make of a request, whatever a caller writes into it.
#[tokio::test]
async fn nobody_asks_for_more_than_was_reserved() {
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: 1, per: day}}");
    let gate = Gate::open(&model("m", "openai", "ok", &more));
    let mut both = bound("m");
    both["max_tokens"] = 1_000_000.into();
    both["max_completion_tokens"] = 1.into();
    let mut hidden = bound("m");
    hidden["messages"][0]["unheard_of"] = "words ".repeat(10_000).into();
    let kept = json!({
        "model": "m", "input": "go on", "max_output_tokens": 7, "previous_response_id": "resp_1",
    });
    for (route, body) in [
        (Route::Chat, both),
        (Route::Chat, hidden),
        (Route::Responses, kept),
    ] {
        let told = gate.post(route, &body).await;
        told.failed("inference.budget_exceeded", 402);
    }
    let vectors = json!({"model": "m", "input": "x", "unheard_of": "words ".repeat(10_000)});
    let vectors = gate
        .server
        .client()
        .post(format!("{}/v1/embeddings", gate.server.url))
        .json(&vectors);
    let vectors = gate.shown(vectors, &gate.server.key);
    let told = gate.send(Route::Chat, vectors).await;
    told.failed("inference.budget_exceeded", 402);
    assert_eq!(gate.upstream.hits("ok"), 0);
    gate.post(Route::Chat, &bound("m")).await.ok();
}

/// What an agent may spend is not for everybody to spend.
#[tokio::test]
async fn a_key_speaks_for_its_agents_alone() {
    let keys = "keys:\n  one: {secret: one, agents: [a]}\nsecrets:\n  one: {file: one.key}\n";
    let gate = Gate::with(&model("m", "openai", "ok", "cache: {ttl: 1h}"), keys);
    let key = "key-of-one-000000000";
    super::callers::write_key(&gate, key).await;
    let ask = |agent: &'static str| {
        let request = gate.request(Route::Chat, &bound("m"));
        let request = gate.shown(request, key).header("x-mainstay-agent", agent);
        gate.send(Route::Chat, request)
    };
    ask("a").await.ok();
    // Of what is kept nobody is told either.
    assert_eq!(ask("").await.ok().header("x-mainstay-cache"), "hit");
    ask("b").await.failed("inference.forbidden", 403);
    assert_eq!(gate.upstream.hits("ok"), 1);
}

/// A caller names the agent and the session that it works for.
#[tokio::test]
async fn each_session_of_an_agent_has_its_own_budget() {
    let models = model("m", "openai", "ok", &format!("retry: {{max: 0}}, {PRICE}"));
    let agents = |usd: &str| {
        let of = |name, usd| {
            let budget = format!("{{usd: {usd}, per: session}}");
            format!("  {name}: {{model: m, workspace: work, budget: {budget}}}\n")
        };
        format!("agents:\n{}{}", of("a", usd), of("b", "9"))
    };
    let gate = Gate::with(&models, &agents("0.06"));
    in_session(&gate, "one").await.ok();
    in_session(&gate, "one").await.ok();
    let told = in_session(&gate, "one").await;
    told.failed("inference.budget_exceeded", 402);
    in_session(&gate, "two").await.ok();
    assert_eq!(gate.upstream.hits("ok"), 3);
    // Another agent's session of that name is another one, and one that no agent stands behind has no budget.
    let request = || {
        gate.request(Route::Chat, &bound("m"))
            .header("x-mainstay-session", "two")
    };
    for _ in 0..4 {
        gate.send(Route::Chat, request()).await.ok();
        let other = request().header("x-mainstay-agent", "b");
        gate.send(Route::Chat, other).await.ok();
    }
    in_session(&gate, "two").await.ok();
    // Callers make up names in any number: the metrics do not grow with them.
    assert_eq!(gate.metric("session").await, 0);
    let gate = gate.restart();
    let told = in_session(&gate, "one").await;
    told.failed("inference.budget_exceeded", 402);
    // More money is there for sessions that are under way, too.
    gate.rewrite(&models, &agents("0.1"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while in_session(&gate, "one").await.status != 200 {
        assert!(Instant::now() < deadline, "the budget was not raised");
    }
}

/// A name that is not taken as it is would count for nobody.
#[tokio::test]
async fn names_that_cannot_be_counted_for_are_refused() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    for header in ["x-mainstay-agent", "x-mainstay-session"] {
        for name in ["n".repeat(129).as_str(), "n\u{e4}me"] {
            let request = gate.request(Route::Chat, &bound("m")).header(header, name);
            let told = gate.send(Route::Chat, request).await;
            told.failed("inference.bad_request", 400);
            assert_eq!(told.json()["error"]["param"], header);
        }
        let request = gate.request(Route::Chat, &bound("m"));
        let request = request.header(header, "n".repeat(128));
        gate.send(Route::Chat, request).await.ok();
    }
}

async fn in_session(gate: &Gate, session: &str) -> Told {
    let request = gate.request(Route::Chat, &bound("m"));
    let request = request.header("x-mainstay-agent", "a");
    gate.send(Route::Chat, request.header("x-mainstay-session", session))
        .await
}
