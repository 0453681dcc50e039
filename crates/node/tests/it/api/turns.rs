//! Turns: accepted once, waited for, cancelled.

use super::place::{Place, TURNS};
use serde_json::{Value, json};

const INVALID: &str = "runtime.invalid_request";
const CONFLICT: &str = "runtime.idempotency_conflict";

#[tokio::test]
async fn a_turn_is_accepted_and_can_be_looked_up() {
    let place = Place::new("- text: hi\n");
    let served = place.serve().await;
    let reply = served
        .post(TURNS, &json!({ "agent": "fixer", "input": "go" }))
        .await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let body = reply.json();
    assert_eq!(body["session"], "s");
    assert_eq!(body["queued"], false);
    assert_eq!(body["seq"], 1);
    let turn = body["turn"].as_str().unwrap();
    assert!(turn.starts_with("trn_"), "{body}");
    assert_eq!(
        reply.head.header("location"),
        Some(format!("/api/turns/{turn}").as_str())
    );
    let view = served.settled(turn, "completed").await;
    assert_eq!(view["text"], "hi", "{view}");
    served.stop().await;
}

#[tokio::test]
async fn ids_must_be_there_and_agree() {
    let place = Place::new("- text: hi\n");
    let served = place.serve().await;
    let ask = |more: Value| {
        let mut body = json!({ "agent": "fixer", "input": "go" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for blank in ["", " ", "\t", "a b", "é"] {
        for field in ["turn_id", "scope_id"] {
            let reply = served.post(TURNS, &ask(json!({ field: blank }))).await;
            reply.refused("runtime.missing_execution_scope_id");
        }
    }
    let torn = served
        .post(TURNS, &ask(json!({ "turn_id": "one", "scope_id": "two" })))
        .await;
    let report = torn.refused("runtime.execution_scope_turn_id_mismatch");
    assert_eq!(report["data"]["code"], "execution_scope_turn_id_mismatch");
    served
        .post(TURNS, &ask(json!({ "turn_id": 7 })))
        .await
        .refused(INVALID);
    let option = served
        .post(TURNS, &ask(json!({ "options": { "extension": {} } })))
        .await;
    assert!(
        option.refused("runtime.protocol_turn_extension")["message"]
            .to_string()
            .contains("extension")
    );
    served
        .get("/api/sessions/s")
        .await
        .refused("runtime.not_found");
    let scoped = served
        .post(TURNS, &ask(json!({ "scope_id": "one", "options": {} })))
        .await;
    assert_eq!(scoped.json()["turn"], "one");
    let unknown = served
        .post(TURNS, &json!({ "agent": "fixr", "input": "x" }))
        .await;
    assert!(
        unknown.refused("runtime.not_found")["hints"]
            .to_string()
            .contains("fixer")
    );
    served.stop().await;
}

#[tokio::test]
async fn waiting_ends_with_the_turn_or_with_patience() {
    let place = Place::new("- {text: hi, delay: 200ms}\n- {text: never, delay: 60s}\n");
    let served = place.serve().await;
    let reply = served.turn("t").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let view = reply.json();
    assert_eq!(
        (&view["state"], &view["text"]),
        (&json!("completed"), &json!("hi"))
    );
    let body = json!({ "agent": "fixer", "input": "more", "turn_id": "u" });
    let reply = served.post(&format!("{TURNS}?wait=0.2"), &body).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    assert_eq!(reply.json()["state"], "running");
    for wait in ["-1", "601", "x", "inf", "NaN"] {
        served
            .post(&format!("{TURNS}?wait={wait}"), &body)
            .await
            .refused(INVALID);
    }
    let cancelled = served
        .post("/api/sessions/s/cancel", &json!({ "turn": "u" }))
        .await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    served.settled("u", "cancelled").await;
    served.stop().await;
}

#[tokio::test]
async fn a_repeat_is_answered_and_never_run_again() {
    let place = Place::new("- text: hi\n- text: ho\n");
    let served = place.serve().await;
    let ask = json!({ "agent": "fixer", "input": "go", "turn_id": "t" });
    let first = served.post(TURNS, &ask).await.json();
    served.settled("t", "completed").await;
    let again = served.post(TURNS, &ask).await;
    assert_eq!(again.status, 200, "{again:?}");
    let again = again.json();
    for field in ["session", "turn", "seq", "queued"] {
        assert_eq!(again[field], first[field], "{field}");
    }
    let other = json!({ "agent": "fixer", "input": "other", "turn_id": "t" });
    served.post(TURNS, &other).await.refused(CONFLICT);
    let other = json!({ "agent": "reader", "input": "go", "turn_id": "t" });
    served.post(TURNS, &other).await.refused(CONFLICT);
    served
        .post("/api/sessions/other/turns", &ask)
        .await
        .refused(CONFLICT);

    let keyed = |input: &str, key: &str| {
        let body = json!({ "agent": "fixer", "input": input }).to_string();
        let header = format!("idempotency-key: {key}\r\n");
        let served = &served;
        async move { served.post_with(TURNS, &header, body.as_bytes()).await }
    };
    let first = keyed("z", "k").await.json();
    served
        .settled(first["turn"].as_str().unwrap(), "completed")
        .await;
    assert_eq!(keyed("z", "k").await.json()["turn"], first["turn"]);
    keyed("other", "k").await.refused(CONFLICT);
    for key in ["", " ", &"k".repeat(300)] {
        keyed("z", key).await.refused(INVALID);
    }
    served.stop().await;

    let served = place.serve().await;
    let body = json!({ "agent": "fixer", "input": "z" }).to_string();
    let reply = served
        .post_with(TURNS, "idempotency-key: k\r\n", body.as_bytes())
        .await;
    assert_eq!(
        reply.json()["turn"],
        first["turn"],
        "a key outlives the node"
    );
    served.stop().await;
}

#[tokio::test]
async fn a_busy_session_says_so_before_anything_is_spent() {
    let place = Place::new("- {text: slow, delay: 60s}\n");
    let served = place.serve().await;
    let ask = |turn: &str, on_busy: &str| json!({ "agent": "fixer", "input": "x", "turn_id": turn, "on_busy": on_busy });
    assert_eq!(
        served.post(TURNS, &ask("first", "reject")).await.status,
        202
    );
    let busy = served.post(TURNS, &ask("second", "reject")).await;
    let report = busy.refused("runtime.session_execution_busy");
    assert!(
        report["message"].as_str().unwrap().contains("first"),
        "{report}"
    );
    assert!(busy.head.header("retry-after").is_some(), "{busy:?}");
    let queued = served.post(TURNS, &ask("third", "queue")).await.json();
    assert_eq!(
        (&queued["queued"], &queued["state"]),
        (&json!(true), &json!("accepted"))
    );
    served
        .post("/api/sessions/s/cancel", &json!({ "turn": "none" }))
        .await
        .refused("runtime.not_found");
    served
        .post("/api/sessions/none/cancel", &json!({}))
        .await
        .refused("runtime.not_found");
    served
        .post("/api/sessions/s/cancel", &json!({ "trun": "first" }))
        .await
        .refused(INVALID);
    served.stop().await;
}

#[tokio::test]
async fn resolving_needs_one_word_and_a_step_in_doubt() {
    let place = Place::new("- text: hi\n");
    let served = place.serve().await;
    served.turn("t").await;
    for path in [
        "/api/steps/t.1/resolve",
        "/api/sessions/s/steps/t.1/resolve",
    ] {
        for body in [
            json!({}),
            json!({ "retry": false }),
            json!({ "retry": true, "fail": "x" }),
            json!({ "retry": "yes" }),
            json!({ "result": 1 }),
            json!({ "resolt": "x" }),
        ] {
            served.post(path, &body).await.refused(INVALID);
        }
        let calm = served.post(path, &json!({ "retry": true })).await;
        calm.refused("runtime.step_not_in_doubt");
    }
    served
        .post("/api/steps/none.1/resolve", &json!({ "retry": true }))
        .await
        .refused("runtime.not_found");
    let elsewhere = served
        .post(
            "/api/sessions/other/steps/t.1/resolve",
            &json!({ "retry": true }),
        )
        .await;
    elsewhere.refused("runtime.not_found");
    served.stop().await;
}
