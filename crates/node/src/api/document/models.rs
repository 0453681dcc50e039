//! Models and what is spent on them: what can be asked, and the shapes of it.

use super::paths::{Entry, Operation};
use super::schemas::{boolean, closed, integer, list, object, or_null, reference, string, words};
use serde_json::{Value, json};

pub(super) fn operations() -> Vec<Entry> {
    let models = Operation::new("listModels", "The models of the manifest as they are now")
        .answers_list("200", "The models, by name", "ModelStatus")
        .done();
    let day = || json!({ "type": "string", "format": "date" });
    let name = || json!({ "type": "string" });
    let usage = Operation::new(
        "usage",
        "What was spent on models, and what the budgets have left",
    )
    .query("day", day(), "Of this day, in UTC")
    .query("from", day(), "Not before this day")
    .query("to", day(), "Not after this day")
    .query("key", name(), "Of this key; empty for the owner")
    .query("agent", name(), "Of this agent; empty for none")
    .query("model", name(), "Of this model")
    .answers(
        "200",
        "Rows by day, key, agent and model; the budgets",
        "Usage",
    )
    .done();
    let call = Operation::new(
        "callModel",
        "Ask a model one question; as a stream where text/event-stream is accepted",
    )
    .path("model")
    .header("X-Mainstay-Timeout-Ms", "How long the caller waits, in milliseconds, everything included")
    .body("ModelCall", true)
    .answers("200", "The answer", "ModelReply")
    .also("200", "text/event-stream", json!({ "type": "string", "description":
        "`data` is `{kind: text, text}` for each piece, then `{kind: done, reply}` or `{kind: error, error}`" }))
    .done();
    vec![
        ("/api/models", "get", models),
        ("/api/models/{model}/call", "post", call),
        ("/api/usage", "get", usage),
    ]
}

pub(super) fn schemas() -> Value {
    json!({
        "ModelStatus": object("A model as it is now", &[
            ("name!", string()), ("provider!", string()), ("model!", or_null(string())),
            ("pool!", list(string())), ("fallback!", list(string())),
            ("context_window!", or_null(integer())), ("price!", or_null(reference("PriceStatus"))),
            ("ready!", boolean()), ("breaker!", words(&["closed", "open", "half_open"])),
            ("retry_after_ms!", or_null(integer())), ("active!", integer()), ("queued!", integer()),
            ("budget!", or_null(reference("BudgetStatus"))), ("worker", reference("WorkerStatus")),
            ("health", reference("HealthStatus")),
            ("unusable", string()),
        ]),
        "HealthStatus": object("How the server of a model is doing", &[
            ("state!", words(&["starting", "ready", "failed"])), ("since!", reference("Timestamp")),
            ("checked_at!", or_null(reference("Timestamp"))), ("failures!", integer()),
            ("last_failure!", or_null(object("A check that failed", &[
                ("at!", reference("Timestamp")),
                ("reason!", words(&["status", "timeout", "unreachable", "key"])),
                ("message!", string()),
            ]))),
        ]),
        "WorkerStatus": object("The worker of a model on this machine", &[
            ("pid!", or_null(integer())), ("started!", integer()), ("unready!", or_null(string())),
        ]),
        "ModelCall": closed("One question", &[
            ("input!", string()), ("system", or_null(string())), ("max_tokens", or_null(integer())),
        ]),
        "ModelReply": object("An answer, and what it cost", &[
            ("text!", string()), ("model!", string()),
            ("finish!", words(&["stop", "length", "tool_calls", "pause"])),
            ("attempts!", integer()), ("usage!", object("Tokens", &[
                ("input_tokens!", integer()), ("output_tokens!", integer()),
            ])),
            ("usd!", string()), ("warnings!", list(string())),
        ]),
        "PriceStatus": object("What a million tokens cost", &[
            ("kind!", words(&["known", "free", "unknown"])),
            ("input_per_million", string()), ("output_per_million", string()),
        ]),
        "BudgetStatus": object("A budget as it is now", &[
            ("kind!", words(&["model", "key", "agent", "session"])), ("name!", string()),
            ("limit!", string()), ("per!", words(&["hour", "day", "month", "total"])),
            ("spent!", string()), ("reserved!", string()),
            ("resets_at!", or_null(reference("Timestamp"))),
        ]),
        "Usage": object("What was used", &[
            ("rows!", list(reference("UsageLine"))), ("budgets!", list(reference("BudgetStatus"))),
        ]),
        "UsageLine": object("What was used of a model in a day. `failures` counts calls of a provider without an answer, not requests; one that cost nothing counts only under a budget", &[
            ("day!", string()), ("key!", or_null(string())), ("agent!", or_null(string())),
            ("model!", string()), ("answers!", integer()), ("failures!", integer()),
            ("usd!", string()), ("input_tokens!", integer()), ("cache_read_tokens!", integer()),
            ("cache_write_tokens!", integer()), ("output_tokens!", integer()),
            ("reasoning_tokens!", integer()),
        ]),
    })
}

#[cfg(test)]
mod tests {
    use super::super::schemas::tests::fits;
    use crate::{
        BudgetStatus, Day, HealthFailure, HealthState, HealthStatus, ModelReply, ModelStatus,
        PriceStatus, ReplyTokens, Usage, UsageLine, WorkerStatus,
    };
    use mainstay_contract::{Timestamp, Usd};

    fn budget() -> BudgetStatus {
        BudgetStatus {
            kind: "key",
            name: "alice".into(),
            limit: Usd::from_nanos(5),
            per: "day",
            spent: Usd::ZERO,
            reserved: Usd::ZERO,
            resets_at: Some(Timestamp(5)),
        }
    }

    #[test]
    fn models_are_sent_as_described() {
        let model = ModelStatus {
            name: "m".into(),
            provider: "openai".to_owned(),
            model: Some("gpt".into()),
            pool: vec![],
            fallback: vec!["n".into()],
            context_window: Some(5),
            price: Some(PriceStatus::Known {
                input_per_million: Usd::ZERO,
                output_per_million: Usd::ZERO,
            }),
            ready: true,
            breaker: "open",
            retry_after_ms: Some(5),
            active: 1,
            queued: 2,
            budget: Some(budget()),
            worker: Some(WorkerStatus {
                pid: Some(5),
                started: 1,
                unready: None,
            }),
            unusable: Some(String::new()),
            health: Some(HealthStatus {
                state: HealthState::Failed,
                since: Timestamp(5),
                checked_at: Some(Timestamp(6)),
                failures: 3,
                last_failure: Some(HealthFailure {
                    at: Timestamp(6),
                    reason: "status",
                    message: "it answered with status 503".to_owned(),
                }),
            }),
        };
        fits("ModelStatus", &model);
        for price in [PriceStatus::Free, PriceStatus::Unknown] {
            fits("PriceStatus", &price);
        }
        let pool = ModelStatus {
            model: None,
            price: None,
            context_window: None,
            retry_after_ms: None,
            budget: None,
            worker: None,
            health: None,
            ..model
        };
        fits("ModelStatus", &pool);
    }

    #[test]
    fn replies_and_usage_are_sent_as_described() {
        let reply = ModelReply {
            text: "hi".to_owned(),
            model: "m".into(),
            finish: "stop",
            attempts: 1,
            usage: ReplyTokens::default(),
            usd: Usd::ZERO,
            warnings: vec!["w".to_owned()],
        };
        fits("ModelReply", &reply);
        let line = UsageLine {
            day: Day::of(Timestamp(0)),
            key: None,
            agent: Some("a".into()),
            model: "m".into(),
            answers: 1,
            failures: 2,
            usd: Usd::ZERO,
            input_tokens: 1,
            cache_read_tokens: 1,
            cache_write_tokens: 1,
            output_tokens: 1,
            reasoning_tokens: 1,
        };
        let usage = Usage {
            rows: vec![line],
            budgets: vec![budget()],
        };
        fits("Usage", &usage);
    }
}
