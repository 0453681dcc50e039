//! `GET /v1/models`: what a key may use, and nothing else.

use crate::fake::{Fake, gateway, settings};
use crate::wire::{Wire, by, request, with};
use axum::body::Body;
use mainstay_gateway::{Gateway, Ledger};
use mainstay_inference::KeyConfig;
use serde_json::json;

fn wire() -> Wire {
    let mut settings = settings(&[("m", Fake::saying("m")), ("n/x", Fake::saying("n"))]);
    let key = KeyConfig {
        models: Some(vec!["m".into()]),
        ..KeyConfig::default()
    };
    settings.gate.keys.insert("alice".into(), key);
    settings
        .gate
        .keys
        .insert("bob".into(), KeyConfig::default());
    Wire::new(&Gateway::open(settings, Ledger::in_memory()))
}

fn list() -> axum::http::Request<Body> {
    request("GET", "/v1/models", Body::empty())
}

#[tokio::test]
async fn a_key_sees_the_models_that_it_may_use() {
    let mut wire = wire();
    let own = json!({ "id": "m", "object": "model", "created": 0, "owned_by": "fake" });
    let other = json!({ "id": "n/x", "object": "model", "created": 0, "owned_by": "fake" });
    for (request, models) in [
        (list(), vec![&own, &other]),
        (by("bob", list()), vec![&own, &other]),
        (by("alice", list()), vec![&own]),
    ] {
        let reply = wire.send(request).await;
        assert_eq!(reply.json(), json!({ "object": "list", "data": models }));
    }
    let path = |path: &str| request("GET", path, Body::empty());
    assert_eq!(wire.get("/v1/models/n/x").await.json(), other);
    assert_eq!(
        wire.send(by("bob", path("/v1/models/n/x"))).await.json(),
        other
    );
    assert_eq!(
        wire.send(by("alice", path("/v1/models/m"))).await.json(),
        own
    );
    for request in [by("alice", path("/v1/models/n/x")), path("/v1/models/o")] {
        let reply = wire.send(request).await;
        assert_eq!(reply.status, 404, "{reply:?}");
        assert_eq!(
            reply.header("x-mainstay-code"),
            Some("inference.model_not_found")
        );
    }
    let reply = wire.send(by("alice", path("/v1/models/o"))).await;
    assert!(
        !reply.body.contains("n/x"),
        "names of others are not told: {reply:?}"
    );
}

#[tokio::test]
async fn anthropics_clients_get_their_form() {
    let mut wire = wire();
    let anthropic = |request| with(request, "anthropic-version", "2023-06-01");
    let listed = wire.send(anthropic(by("alice", list()))).await.json();
    let model = json!({ "type": "model", "id": "m", "display_name": "m", "created_at": "1970-01-01T00:00:00Z" });
    let expected = json!({ "data": [model], "has_more": false, "first_id": "m", "last_id": "m" });
    assert_eq!(listed, expected);
    let missing = request("GET", "/v1/models/o", Body::empty());
    let missing = wire.send(anthropic(missing)).await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["type"], "not_found_error");
}

#[tokio::test]
async fn a_name_that_is_no_text_is_unknown() {
    let mut wire = Wire::new(&gateway(&[("m", Fake::saying("hi"))]));
    let reply = wire.get("/v1/models/%ff").await;
    assert_eq!(reply.status, 404, "{reply:?}");
    assert!(reply.header("x-request-id").is_some(), "{reply:?}");
    let code = reply.header("x-mainstay-code");
    assert_eq!(code, Some("inference.model_not_found"));
    let message = &reply.json()["error"]["message"];
    assert_eq!(message, "there is no model `%ff`; there are m");
}
