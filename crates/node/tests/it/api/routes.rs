//! What is there, what is not, and how it is described.

use super::place::Place;
use serde_json::Value;

const SCRIPT: &str = "- text: hi\n- text: ho\n";

#[tokio::test]
async fn lost_callers_are_shown_the_way() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    for path in [
        "/api/session",
        "/",
        "/api/sessions/s/turn",
        "/api/sessions/",
        "/v2/chat/completions",
    ] {
        let report = served.get(path).await.refused("runtime.not_found");
        assert_eq!(report["subject"]["kind"], "route", "{report}");
        assert!(
            report["hints"].to_string().contains("openapi.json"),
            "{report}"
        );
    }
    // Below /v1 are clients of others, who read nothing but their own form.
    let told = served.get("/v1/chat/completion").await;
    assert_eq!(told.status, 404, "{told:?}");
    assert_eq!(told.json()["error"]["code"], "unknown_url", "{told:?}");
    let report = served
        .get("/api/sesions")
        .await
        .refused("runtime.not_found");
    assert!(
        report["hints"][0]
            .as_str()
            .unwrap()
            .contains("/api/sessions"),
        "{report}"
    );
    for path in [
        "/api/sessions/none",
        "/api/turns/none",
        "/api/sessions/none/events",
        "/api/sessions/none/diff",
    ] {
        let report = served.get(path).await.refused("runtime.not_found");
        assert!(
            report["message"].as_str().unwrap().contains("none"),
            "{report}"
        );
    }
    served.stop().await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    for (method, path, allowed) in [
        ("PUT", "/api/sessions", "GET"),
        ("POST", "/api/sessions/s", "GET, DELETE"),
        ("GET", "/api/sessions/s/turns", "POST"),
    ] {
        let reply = served.ask(method, path).await;
        assert_eq!(reply.status, 405, "{reply:?}");
        reply.is_report();
        assert_eq!(reply.json()["code"], "runtime.invalid_request");
        assert_eq!(reply.head.header("allow"), Some(allowed));
    }
    served.stop().await;
}

#[tokio::test]
async fn queries_and_ids_that_make_no_sense() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    served.turn("t").await;
    for path in [
        "/api/sessions?limt=1",
        "/api/sessions/s?messages=maybe",
        "/api/sessions/s/events?after=-1",
        "/api/sessions/s/events?after=x",
        "/api/sessions/s/events?aftr=1",
        "/api/sessions/s/events?until=never",
        "/api/turns/%ff",
        "/api/sessions/s?messages=true&messages=false",
    ] {
        served.get(path).await.refused("runtime.invalid_request");
    }
    let twice = served.get("/api/usage?key=alice&day=2026-11-21&key=bob");
    let report = twice.await.refused("runtime.invalid_request");
    let message = "the query has the parameter `key` more than once";
    assert_eq!(report["message"], message);
    let report = served.get("/api/sessions/s/events?aftr=1").await.json();
    assert!(report["hints"].to_string().contains("`after`"), "{report}");
    for path in [
        "/api/sessions/%20",
        "/api/sessions/..%2f..",
        "/api/turns/a%20b",
        "/api/sessions/-x/events",
    ] {
        served
            .get(path)
            .await
            .refused("runtime.missing_execution_scope_id");
    }
    let long = "x".repeat(200);
    served
        .get(&format!("/api/turns/{long}"))
        .await
        .refused("runtime.missing_execution_scope_id");
    served.stop().await;
}

#[tokio::test]
async fn the_node_describes_itself() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let document = served.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document, mainstay_node::api::openapi());
    let health = served.get("/healthz").await.json();
    assert_eq!(health["status"], "ok");
    served.turn("t").await;
    let doctor = served.get("/api/doctor").await.json();
    assert!(
        doctor["checks"].is_array() && doctor["sound"].is_boolean(),
        "{doctor}"
    );
    served.stop().await;
}

#[tokio::test]
async fn figures_come_in_the_format_that_is_accepted() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    served.turn("t").await;
    served.settled("t", "completed").await;
    let classic = served.get("/metrics").await;
    let kind = classic.head.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    let line = served.line("GET", "/metrics");
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
    let open = served.raw(format!("{line}{accept}\r\n\r\n")).await;
    let kind = open.head.header("content-type");
    let wanted = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(kind, Some(wanted));
    let has = |text: &str, wanted: &str| text.lines().any(|line| line == wanted);
    for (text, name) in [
        (&classic.body, "mainstay_turns_completed_total"),
        (&open.body, "mainstay_turns_completed"),
    ] {
        assert!(has(text, &format!("# TYPE {name} counter")), "{text}");
        assert!(
            has(text, &format!("# HELP {name} Turns that ended well.")),
            "{text}"
        );
        assert!(has(text, "mainstay_turns_completed_total 1"), "{text}");
    }
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    assert!(has(&open.body, "# UNIT mainstay_commit_seconds seconds"));
    for mark in ["# EOF", "# UNIT"] {
        assert!(!classic.body.contains(mark), "{}", classic.body);
    }
    served.stop().await;
}

#[tokio::test]
async fn sessions_are_listed_shown_exported_and_removed() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    assert_eq!(
        served.get("/api/sessions").await.json(),
        Value::Array(Vec::new())
    );
    served.turn("t").await;
    let list = served.get("/api/sessions").await.json();
    assert_eq!(list[0]["session"], "s");
    assert_eq!(list[0]["turn"]["state"], "completed");
    let bare = served.get("/api/sessions/s").await.json();
    assert_eq!(bare["turns"][0]["turn"], "t");
    let full = served.get("/api/sessions/s?messages=true").await;
    assert!(
        full.body.contains("\"hi\"") && full.body.contains("\"go\""),
        "{full:?}"
    );
    let export = served.get("/api/sessions/s/export").await;
    assert!(
        export
            .head
            .header("content-type")
            .unwrap()
            .starts_with("application/jsonl")
    );
    for line in export.body.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    assert!(export.body.lines().count() >= 3 && export.body.contains("turn_completed"));
    let replay = served
        .post("/api/turns/t/replay", &serde_json::json!({}))
        .await;
    assert_eq!(replay.status, 200, "{replay:?}");
    assert!(replay.json()["records"].as_u64().unwrap() >= 3);
    assert_eq!(served.ask("DELETE", "/api/sessions/s").await.status, 200);
    served
        .get("/api/sessions/s")
        .await
        .refused("runtime.not_found");
    served
        .get("/api/turns/t")
        .await
        .refused("runtime.not_found");
    served
        .ask("DELETE", "/api/sessions/s")
        .await
        .refused("runtime.not_found");
    served.stop().await;
}

#[tokio::test]
async fn head_asks_are_answered_without_a_body() {
    let place = Place::new(SCRIPT);
    let served = place.serve().await;
    let mut wire = served.wire().await;
    wire.send(format!("{}\r\n", served.line("HEAD", "/healthz")))
        .await;
    assert_eq!(wire.head().await.status, 200);
    // The connection lives on, and nothing of a body is in the way.
    wire.send(format!("{}\r\n", served.line("GET", "/healthz")))
        .await;
    assert_eq!(wire.reply().await.status, 200);
    served.stop().await;
}
