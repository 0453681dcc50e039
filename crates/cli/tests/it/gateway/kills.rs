//! A node that is killed under load, again and again: what reached the provider is never forgotten.

use super::{Gate, Route, model};
use mainstay_contract::Usd;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const UPSTREAM: &str = "slow-20";
const PRICE: &str = "price: {input_per_million: 1000, output_per_million: 1000}";
const LIMIT: &str = "3.6";
/// 11 tokens in and 7 out.
const CALL_NANOS: u64 = 18_000_000;
const CALLERS: usize = 8;
const ROUNDS: u64 = 4;
/// So many calls reach the upstream before each kill.
const CALLS: u64 = 10;

/// Callers who ask until they are refused, or nobody is there any more.
fn load(gate: &Gate) -> JoinSet<()> {
    let text = "as many words as make up more than eleven tokens, however they are counted";
    let message = json!({"role": "user", "content": text});
    let body = json!({"model": "m", "messages": [message], "max_tokens": 7});
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let request = gate.request(Route::Chat, &body);
        callers.spawn(async move {
            while let Ok(response) = request.try_clone().unwrap().send().await {
                let is_answered = response.status() == 200;
                if response.bytes().await.is_err() || !is_answered {
                    return;
                }
            }
        });
    }
    callers
}

/// What the budget has spent, and what the upstream was asked for, in this order.
async fn books(gate: &Gate) -> (Usd, Usd) {
    let (_, usage): (_, Value) = gate.server.get("/api/usage").await;
    let budget = &usage["budgets"][0];
    assert_eq!(budget["reserved"], "0", "{budget}");
    let spent = budget["spent"].as_str().unwrap().parse().unwrap();
    let hits = gate.upstream.hits(UPSTREAM);
    (spent, Usd::from_nanos(hits * CALL_NANOS))
}

#[tokio::test]
async fn what_reached_a_provider_is_never_forgotten() {
    let more = format!("retry: {{max: 0}}, {PRICE}, budget: {{usd: {LIMIT}}}");
    let mut gate = Gate::open(&model("m", "openai", UPSTREAM, &more));
    let mut last = Usd::ZERO;
    for round in 0..ROUNDS {
        let enough = gate.upstream.hits(UPSTREAM) + CALLS;
        let mut callers = load(&gate);
        let has_enough = || gate.upstream.hits(UPSTREAM) >= enough;
        gate.until("calls are under way", has_enough).await;
        gate = gate.restart();
        callers.shutdown().await;
        let (spent, asked) = books(&gate).await;
        assert!(spent >= asked, "round {round}: {spent} of {asked} is known");
        assert!(spent > last, "round {round}: {spent} after {last}");
        last = spent;
    }
    load(&gate).join_all().await;
    let (spent, asked) = books(&gate).await;
    let limit: Usd = LIMIT.parse().unwrap();
    assert!(asked <= spent && spent <= limit, "{asked}, {spent}");
    assert!(asked.nanos() > ROUNDS * CALLS * CALL_NANOS, "{asked}");
}
