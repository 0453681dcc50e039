//! Models as they are, questions to them, and what they cost.

use super::place::{Place, Served};
use serde_json::{Value, json};

const SCRIPT: &str =
    "- {text: 'Hello there', chunks: 3, usage: {input_tokens: 1000, output_tokens: 500}}\n";

const MANIFEST: &str = "version: 1
models:
  m: {provider: script, file: script.yaml, price: {input_per_million: 1, output_per_million: 2},
      budget: {usd: 0.005, per: day}, fallback: [f], context_window: 4096}
  f: {provider: script, file: script.yaml}
  p: {pool: {m: 3, f: 1}}
  u: {provider: openai_compatible, model: x, base_url: 'http://127.0.0.1:9/v1'}
  l: {provider: openai_compatible, model: x, base_url: 'http://127.0.0.1:9/v1', budget: {usd: 1}}
  slow: {provider: script, file: slow.yaml}
  broken: {provider: script, file: broken.yaml, retry: {max: 0}}
agents:
  fixer: {model: f}
";

const BROKEN: &str = "- {text: 'Half of it', chunks: 2, fault: {kind: network_error, phase: stream, after_chunks: 1, message: cut}}\n";

const SLOW: &str = "- {text: late, delay: 10m}\n";

async fn served() -> (Place, Served) {
    let place = Place::new(SCRIPT);
    place.write("mainstay.yaml", MANIFEST);
    place.write("broken.yaml", BROKEN);
    place.write("slow.yaml", SLOW);
    let served = place.serve().await;
    (place, served)
}

async fn chat(served: &Served, headers: &str) {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let body = body.to_string();
    let reply = served.post_with("/v1/chat/completions", headers, body.as_bytes());
    let reply = reply.await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

fn named<'a>(models: &'a Value, name: &str) -> &'a Value {
    let mut models = models.as_array().unwrap().iter();
    models.find(|model| model["name"] == name).unwrap()
}

#[tokio::test]
async fn models_are_told_as_they_are() {
    let (_place, served) = served().await;
    let models = served.get("/api/models").await.json();
    let names: Vec<&str> = models
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["broken", "f", "l", "m", "p", "slow", "u"]);
    let own = named(&models, "m");
    assert_eq!(own["provider"], "script");
    assert_eq!(own["context_window"], 4096);
    assert_eq!(own["fallback"], json!(["f"]));
    let price = json!({ "kind": "known", "input_per_million": "1", "output_per_million": "2" });
    assert_eq!(own["price"], price);
    assert_eq!(
        (&own["ready"], &own["breaker"]),
        (&true.into(), &"closed".into())
    );
    assert_eq!((&own["active"], &own["queued"]), (&0.into(), &0.into()));
    let budget = &own["budget"];
    assert_eq!(
        (&budget["limit"], &budget["spent"]),
        (&"0.005".into(), &"0".into())
    );
    assert_eq!(named(&models, "f")["price"]["kind"], "free");
    assert_eq!(named(&models, "u")["price"]["kind"], "unknown");
    let pool = named(&models, "p");
    assert_eq!(pool["pool"], json!(["m", "f"]));
    assert_eq!(
        (&pool["price"], &pool["model"]),
        (&Value::Null, &Value::Null)
    );
    served
        .get("/api/models?x=1")
        .await
        .refused("runtime.invalid_request");
    served.stop().await;
}

#[tokio::test]
async fn use_is_told_by_day_key_agent_and_model() {
    let (_place, served) = served().await;
    let none = served.get("/api/usage").await.json();
    assert_eq!(none["rows"], json!([]));
    chat(&served, "").await;
    chat(&served, "x-mainstay-agent: reader\r\n").await;
    let usage = served.get("/api/usage").await.json();
    let rows = usage["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{usage}");
    for (row, agent) in rows.iter().zip([Value::Null, "reader".into()]) {
        assert_eq!(row["agent"], agent);
        assert_eq!((&row["model"], &row["key"]), (&"m".into(), &Value::Null));
        assert_eq!((&row["answers"], &row["failures"]), (&1.into(), &0.into()));
        assert_eq!(row["usd"], "0.002");
        assert_eq!(
            (&row["input_tokens"], &row["output_tokens"]),
            (&1000.into(), &500.into())
        );
    }
    let budgets = usage["budgets"].as_array().unwrap();
    let budget = budgets.iter().find(|budget| budget["name"] == "m").unwrap();
    assert_eq!(
        (&budget["kind"], &budget["per"]),
        (&"model".into(), &"day".into())
    );
    assert_eq!(
        (&budget["limit"], &budget["spent"]),
        (&"0.005".into(), &"0.004".into())
    );
    assert_eq!(budget["reserved"], "0");
    let day = rows[0]["day"].as_str().unwrap();
    assert!(
        budget["resets_at"]
            .as_u64()
            .unwrap()
            .is_multiple_of(86_400_000)
    );
    for (query, count) in [
        (format!("day={day}"), 2),
        (format!("from={day}&to={day}"), 2),
        ("to=2020-01-01".to_owned(), 0),
        ("from=2999-12-31".to_owned(), 0),
        ("agent=reader".to_owned(), 1),
        ("agent=".to_owned(), 1),
        ("key=".to_owned(), 2),
        ("key=alice".to_owned(), 0),
        ("model=f".to_owned(), 0),
        ("model=m&agent=reader".to_owned(), 1),
    ] {
        let found = served.get(&format!("/api/usage?{query}")).await.json();
        assert_eq!(found["rows"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(found["budgets"], usage["budgets"], "{query}");
    }
    for query in [
        "day=yesterday",
        "from=2026-02-30",
        "day=2026-01-01&to=2026-01-02",
        "modl=m",
    ] {
        let reply = served.get(&format!("/api/usage?{query}")).await;
        reply.refused("runtime.invalid_request");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_was_spent_is_known_after_a_restart() {
    let (place, served) = served().await;
    chat(&served, "").await;
    let before = served.get("/api/usage").await.json();
    served.stop().await;
    let served = place.serve().await;
    assert_eq!(served.get("/api/usage").await.json(), before);
    served.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_whole_or_in_pieces() {
    let (_place, served) = served().await;
    let question = json!({ "input": "hi", "system": "be kind", "max_tokens": 600 });
    let reply = served.post("/api/models/m/call", &question).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let expected = json!({
        "text": "Hello there", "model": "m", "finish": "stop", "attempts": 1,
        "usage": { "input_tokens": 1000, "output_tokens": 500 }, "usd": "0.002", "warnings": [],
    });
    assert_eq!(reply.json(), expected);
    let accept = "accept: text/event-stream\r\n";
    let body = question.to_string();
    let stream = served
        .post_with("/api/models/m/call", accept, body.as_bytes())
        .await;
    let events: Vec<Value> = stream
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let texts: Vec<&str> = events
        .iter()
        .filter_map(|event| event["text"].as_str())
        .collect();
    assert_eq!(texts, ["Hell", "o th", "ere"]);
    assert_eq!(events[3], json!({ "kind": "done", "reply": expected }));
    served.stop().await;
}

#[tokio::test]
async fn a_question_that_fails_says_why() {
    let (_place, served) = served().await;
    let ask = async |model: &str, body: Value| {
        served
            .post(&format!("/api/models/{model}/call"), &body)
            .await
    };
    let question = || json!({ "input": "hi" });
    let report = ask("n", question()).await.refused("runtime.not_found");
    assert_eq!(report["subject"]["kind"], "model");
    ask("m", json!({})).await.refused("runtime.invalid_request");
    for most in [json!(0), json!("x"), json!(1.5)] {
        let body = json!({ "input": "x", "max_tokens": most });
        ask("m", body).await.refused("runtime.invalid_request");
    }
    ask("m", json!({ "input": "x", "tools": [] }))
        .await
        .refused("runtime.invalid_request");
    let report = ask("u", question())
        .await
        .refused("inference.network_error");
    assert_eq!(report["data"]["phase"], "connect");
    ask("l", question())
        .await
        .refused("inference.price_unknown");
    let report = ask("broken", question())
        .await
        .refused("inference.network_error");
    assert_eq!(report["effect"], "unknown", "{report}");
    let accept = "accept: text/event-stream\r\n";
    let body = question().to_string();
    let stream = served
        .post_with("/api/models/broken/call", accept, body.as_bytes())
        .await;
    assert_eq!(stream.status, 200, "it had begun");
    let last = stream
        .body
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("data: "));
    let last: Value = serde_json::from_str(last.unwrap()).unwrap();
    assert_eq!(
        (&last["kind"], &last["error"]["code"]),
        (&"error".into(), &"inference.network_error".into())
    );
    // A question without a bound is asked as long as anything is left, and may be the last.
    for _ in 0..3 {
        assert_eq!(ask("m", question()).await.status, 200);
    }
    let report = ask("m", question())
        .await
        .refused("inference.budget_exceeded");
    assert_eq!(report["data"]["limit"], "0.005", "{report}");
    served.stop().await;
}

#[tokio::test]
async fn a_question_takes_no_longer_than_its_caller_waits() {
    let (_place, served) = served().await;
    let patience = "x-mainstay-timeout-ms: 300\r\n";
    let body = json!({ "input": "hi" }).to_string();
    let asked = served.post_with("/api/models/slow/call", patience, body.as_bytes());
    let report = asked.await.refused("inference.timeout");
    assert_eq!(report["subject"]["id"], "slow", "{report}");
    assert_eq!(report["message"], "the caller's limit of 300 ms is over");
    assert_eq!(report["responsible"], "caller");
    // Some of its time was gone when it was asked.
    let ms = report["spent"]["ms"].as_u64().unwrap();
    assert!((100..60_000).contains(&ms), "{report}");
    let nonsense = "x-mainstay-timeout-ms: soon\r\n";
    let asked = served.post_with("/api/models/slow/call", nonsense, body.as_bytes());
    let report = asked.await.refused("runtime.invalid_request");
    let message = report["message"].as_str().unwrap();
    assert!(message.contains("x-mainstay-timeout-ms"), "{message}");
    served.stop().await;
}
