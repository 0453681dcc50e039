//! Failures: status, headers and form, so that clients do the right thing.

use crate::fake::{Fake, Step, budget, gateway, of_model, settings};
use crate::wire::{CHAT, Wire, by, chat, post, request, with};
use axum::body::Body;
use mainstay_gateway::{Gateway, Ledger};
use mainstay_inference::{InferenceError, KeyConfig, Limits, Origin, Pricing};
use mainstay_resilience::Rate;
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

fn origin() -> Origin {
    Origin {
        provider: "fake".to_owned(),
        model: "m".to_owned(),
        answering: false,
    }
}

/// A model that fails so.
fn failing(error: InferenceError) -> Wire {
    let provider = Fake::new(move |_| vec![Step::Fail(error.clone())]);
    Wire::new(&gateway(&[("m", provider)]))
}

/// A failure, its status and code, and what the headers say of when to come back.
type Row = (
    InferenceError,
    u16,
    &'static str,
    Option<(&'static str, &'static str)>,
);

/// What may go better later.
fn repeated() -> Vec<Row> {
    let message = || "told".to_owned();
    vec![
        (
            InferenceError::RateLimited {
                origin: origin(),
                retry_after: Some(Duration::from_millis(1500)),
                message: message(),
            },
            429,
            "inference.rate_limited",
            Some(("2", "1500")),
        ),
        (
            InferenceError::Backpressure {
                origin: origin(),
                retry_after: None,
                message: message(),
            },
            503,
            "inference.backpressure",
            None,
        ),
        (
            InferenceError::ServerError {
                origin: origin(),
                status: 500,
                retry_after: None,
                message: message(),
            },
            502,
            "inference.server_error",
            None,
        ),
    ]
}

/// What will not.
fn hopeless() -> Vec<Row> {
    let message = || "told".to_owned();
    vec![
        (
            InferenceError::QuotaExhausted {
                origin: origin(),
                message: message(),
            },
            402,
            "inference.quota_exhausted",
            None,
        ),
        (
            InferenceError::Unauthorized {
                origin: origin(),
                message: message(),
            },
            422,
            "inference.unauthorized",
            None,
        ),
        (
            InferenceError::BadRequest {
                origin: origin(),
                status: 400,
                param: None,
                message: message(),
            },
            400,
            "inference.bad_request",
            None,
        ),
        (
            InferenceError::ContextLengthExceeded {
                origin: origin(),
                tokens: Some(5000),
                max_tokens: Some(4096),
                message: message(),
            },
            400,
            "inference.context_length_exceeded",
            None,
        ),
        (
            InferenceError::ContentFiltered {
                origin: origin(),
                reason: String::new(),
                message: message(),
            },
            400,
            "inference.content_filtered",
            None,
        ),
        (
            InferenceError::Internal {
                origin: origin(),
                message: message(),
            },
            500,
            "inference.internal",
            None,
        ),
    ]
}

#[tokio::test]
async fn statuses_and_headers_say_whether_to_come_back() {
    let repeated = repeated().into_iter().map(|row| (row, false));
    let hopeless = hopeless().into_iter().map(|row| (row, true));
    for ((error, status, code, waits), is_hopeless) in repeated.chain(hopeless) {
        for (path, question) in [
            (CHAT, chat(false)),
            ("/v1/responses", json!({ "model": "m", "input": "hello" })),
            (
                "/v1/messages",
                json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] }),
            ),
        ] {
            let reply = failing(error.clone()).post(path, &question).await;
            assert_eq!(reply.status, status, "{reply:?}");
            assert_eq!(reply.header("x-mainstay-code"), Some(code));
            let told = reply
                .header("retry-after")
                .zip(reply.header("retry-after-ms"));
            assert_eq!(told, waits, "{reply:?}");
            assert_eq!(
                reply.header("x-should-retry"),
                is_hopeless.then_some("false"),
                "{reply:?}"
            );
            let id = reply.header("x-request-id").unwrap();
            assert!(id.starts_with("req_") && reply.header("request-id") == Some(id));
            let body = reply.json();
            assert!(
                body["error"]["message"].as_str().unwrap().contains("told"),
                "{body}"
            );
            assert_eq!(body["type"] == "error", path == "/v1/messages", "{body}");
        }
    }
}

#[tokio::test]
async fn the_field_that_a_provider_refuses_is_named_where_the_dialect_has_a_place_for_it() {
    let error = InferenceError::BadRequest {
        origin: origin(),
        status: 400,
        param: Some("temperature".to_owned()),
        message: "told".to_owned(),
    };
    let reply = failing(error.clone()).post(CHAT, &chat(false)).await;
    assert_eq!(reply.json()["error"]["param"], "temperature", "{reply:?}");
    let question = json!({ "model": "m", "input": "hello" });
    let reply = failing(error).post("/v1/responses", &question).await;
    assert_eq!(reply.json()["error"]["param"], "temperature", "{reply:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_costs_no_call() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&gateway(&[("m", Arc::clone(&provider))]));
    let raw = |body: &'static str| request("POST", CHAT, Body::from(body));
    for body in [
        "",
        "{",
        "[]",
        "nonsense",
        "{\"model\":5}",
        "{\"model\":\"m\"}",
    ] {
        let reply = wire.send(raw(body)).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
    let mut question = chat(false);
    question["messages"][0]["role"] = json!("wizard");
    let reply = wire.post(CHAT, &question).await;
    assert_eq!(
        reply.json()["error"]["param"],
        "messages[0].role",
        "{reply:?}"
    );
    let mut question = chat(false);
    question["model"] = json!("mm");
    let reply = wire.post(CHAT, &question).await;
    assert_eq!(
        (reply.status, &reply.json()["error"]["param"]),
        (404, &Value::from("model"))
    );
    for (method, path, allowed) in [
        ("GET", CHAT, "POST"),
        ("PUT", "/v1/messages", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
    ] {
        let reply = wire.send(request(method, path, Body::empty())).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)));
    }
    let announced = with(raw("{}"), "content-length", "99999999999");
    let reply = wire.send(announced).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn limits_of_our_own_are_told_as_ours() {
    let provider = Fake::saying("hi");
    let mut settings = settings(&[("m", Arc::clone(&provider)), ("n", Fake::saying("n"))]);
    settings.gate.budgets.insert(of_model("m"), budget("0.002"));
    let slow = KeyConfig {
        limits: Limits {
            requests: NonZeroU64::new(1).map(Rate::per_minute),
            ..Limits::default()
        },
        ..KeyConfig::default()
    };
    let narrow = KeyConfig {
        models: Some(vec!["n".into()]),
        ..KeyConfig::default()
    };
    settings.gate.keys.insert("slow".into(), slow);
    settings.gate.keys.insert("narrow".into(), narrow);
    let gateway = Gateway::open(settings, Ledger::in_memory());
    let mut wire = Wire::new(&gateway);
    let mut bound = chat(false);
    bound["max_tokens"] = json!(500);

    let refused = wire.send(by("narrow", post(CHAT, &bound))).await;
    assert_eq!(
        (refused.status, refused.header("x-should-retry")),
        (403, Some("false"))
    );
    assert_eq!(provider.calls(), 0);

    let first = wire.send(by("slow", post(CHAT, &bound))).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("x-mainstay-cost-usd"), Some("0.002"));
    let limited = wire.send(by("slow", post(CHAT, &bound))).await;
    assert_eq!(limited.status, 429, "{limited:?}");
    assert!(limited.header("retry-after").is_some(), "{limited:?}");

    let spent = wire.post(CHAT, &bound).await;
    assert_eq!(
        (spent.status, spent.header("x-should-retry")),
        (402, Some("false"))
    );
    assert_eq!(
        spent.header("x-mainstay-code"),
        Some("inference.budget_exceeded")
    );
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn a_budget_refuses_what_nobody_can_price() {
    let provider = Fake::saying("hi");
    let mut settings = settings(&[("m", Arc::clone(&provider))]);
    let name: Arc<str> = "m".into();
    settings.gate.deployments.get_mut(&name).unwrap().pricing = Pricing::Unknown;
    settings.gate.budgets.insert(of_model("m"), budget("1"));
    let mut wire = Wire::new(&Gateway::open(settings, Ledger::in_memory()));
    let reply = wire.post(CHAT, &chat(false)).await;
    assert_eq!(
        (reply.status, reply.header("x-should-retry")),
        (422, Some("false"))
    );
    assert_eq!(
        reply.header("x-mainstay-code"),
        Some("inference.price_unknown")
    );
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn a_request_that_goes_round_is_stopped() {
    let provider = Fake::saying("hi");
    let mut wire = Wire::new(&gateway(&[("m", Arc::clone(&provider))]));
    for (hops, status) in [("7", 200), ("8", 400), ("255", 400)] {
        let body = Body::from(chat(false).to_string());
        let mut request = request("POST", CHAT, body);
        request
            .headers_mut()
            .insert("x-mainstay-hops", hops.parse().unwrap());
        assert_eq!(wire.send(request).await.status, status, "{hops}");
    }
    assert_eq!(provider.calls(), 1);
}
