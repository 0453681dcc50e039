//! What is wrong with requests, and with who sends them.

use crate::harness::{Place, assert_complete};
use serde_json::{Value, json};

const SLOW: &str = "- {text: slow, delay: 20s}\n";
const TURNS: &str = "/api/sessions/s/turns";

#[track_caller]
fn refused((status, report): (u16, Value), code: &str) -> Value {
    assert_eq!(report["code"], code, "{report}");
    assert_complete(&report);
    assert_eq!(
        status,
        mainstay_contract::Code::parse(code).info().http,
        "{report}"
    );
    report
}

#[tokio::test]
async fn blank_and_differing_ids() {
    let place = Place::scripted("- text: hi\n");
    let server = place.serve();
    let blank = json!({ "agent": "a", "input": "x", "turn_id": "  " });
    refused(
        server.post(TURNS, &blank).await,
        "runtime.missing_execution_scope_id",
    );
    let torn = json!({ "agent": "a", "input": "x", "turn_id": "one", "scope_id": "two" });
    let report = refused(
        server.post(TURNS, &torn).await,
        "runtime.execution_scope_turn_id_mismatch",
    );
    assert_eq!(report["data"]["code"], "execution_scope_turn_id_mismatch");
    refused(server.get("/api/turns/one").await, "runtime.not_found");
    refused(server.get("/api/turns/two").await, "runtime.not_found");
    let equal = json!({ "agent": "a", "input": "x", "turn_id": "one", "scope_id": "one" });
    assert_eq!(server.post(TURNS, &equal).await.0, 202);
    assert_eq!(server.settled("one").await["state"], "completed");
    let ran = place.mainstay(&["--json", "run", "a", "x", "--turn", " "]);
    ran.failed_with("runtime.missing_execution_scope_id");
}

#[tokio::test]
async fn a_busy_session_refuses_before_any_model_is_called() {
    let place = Place::scripted(SLOW);
    let server = place.serve();
    let first = json!({ "agent": "a", "input": "x", "turn_id": "first" });
    assert_eq!(server.post(TURNS, &first).await.0, 202);
    let second = json!({ "agent": "a", "input": "y", "turn_id": "second" });
    let report = refused(
        server.post(TURNS, &second).await,
        "runtime.session_execution_busy",
    );
    assert!(
        report["message"].as_str().unwrap().contains("first"),
        "{report}"
    );
    assert_eq!(report["data"]["code"], "session_execution_busy");
    assert_eq!(report["retry"]["advice"], "after");
    refused(server.get("/api/turns/second").await, "runtime.not_found");
}

#[tokio::test]
async fn queue_interrupt_and_steer_are_as_asked() {
    let place = Place::scripted("- {text: one, delay: 300ms}\n- {text: two}\n- {text: three}\n");
    let server = place.serve();
    let ask = |turn: &str, on_busy: &str| json!({ "agent": "a", "input": turn, "turn_id": turn, "on_busy": on_busy });
    server.post(TURNS, &ask("first", "reject")).await;
    let (_, queued) = server.post(TURNS, &ask("queued", "queue")).await;
    assert_eq!(queued["queued"], true, "{queued}");
    assert_eq!(server.settled("queued").await["state"], "completed");
    assert_eq!(server.settled("first").await["text"], "one");

    let place = Place::scripted("- {text: never, delay: 20s}\n");
    let server = place.serve();
    server.post(TURNS, &ask("first", "reject")).await;
    place.write("script.yaml", "- text: instead\n");
    server.post(TURNS, &ask("second", "interrupt")).await;
    assert_eq!(server.settled("first").await["state"], "cancelled");
    assert_eq!(server.settled("second").await["state"], "completed");

    let place = Place::scripted("- {text: a, delay: 300ms}\n- text: b\n");
    let server = place.serve();
    server.post(TURNS, &ask("first", "reject")).await;
    server.post(TURNS, &ask("steering", "steer")).await;
    assert_eq!(
        server.settled("first").await["text"],
        "b",
        "the steered input was answered"
    );
    assert_eq!(server.settled("steering").await["state"], "steered");
}

#[tokio::test]
async fn options_that_nobody_knows() {
    let place = Place::scripted("- text: hi\n");
    let server = place.serve();
    let body = json!({ "agent": "a", "input": "x", "options": { "extension": { "live": true } } });
    refused(
        server.post(TURNS, &body).await,
        "runtime.protocol_turn_extension",
    );
}

#[tokio::test]
async fn one_id_or_key_means_one_thing() {
    let place = Place::scripted("- text: hi\n- text: ho\n");
    let server = place.serve();
    let ask = |input: &str| json!({ "agent": "a", "input": input, "turn_id": "t" });
    server.post(TURNS, &ask("x")).await;
    server.settled("t").await;
    refused(
        server.post(TURNS, &ask("y")).await,
        "runtime.idempotency_conflict",
    );
    refused(
        server.post("/api/sessions/other/turns", &ask("x")).await,
        "runtime.idempotency_conflict",
    );
    let keyed = |input: &str| {
        let body = json!({ "agent": "a", "input": input });
        let url = format!("{}{TURNS}", server.url);
        server
            .client()
            .post(url)
            .bearer_auth(&server.key)
            .header("idempotency-key", "k")
            .json(&body)
    };
    let first: Value = keyed("z").send().await.unwrap().json().await.unwrap();
    server.settled(first["turn"].as_str().unwrap()).await;
    let second: Value = keyed("z").send().await.unwrap().json().await.unwrap();
    assert_eq!(first["turn"], second["turn"]);
    let third: Value = keyed("other").send().await.unwrap().json().await.unwrap();
    assert_eq!(third["code"], "runtime.idempotency_conflict", "{third}");
}

#[tokio::test]
async fn malformed_and_oversized_bodies() {
    let place = Place::scripted("- text: hi\n");
    let server = place.serve();
    let send = |body: Vec<u8>| {
        let url = format!("{}{TURNS}", server.url);
        let request = server.client().post(url).bearer_auth(&server.key);
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let bodies: [&[u8]; 6] = [
        b"",
        b"{",
        b"[]",
        b"{\"agent\": \"a\", \"input\": \"\xff\"}",
        b"{\"agnet\": \"a\"}",
        &nested,
    ];
    for body in bodies {
        let response = send(body.to_vec()).await.unwrap();
        assert_eq!(response.status().as_u16(), 400);
        let kind = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(kind.starts_with("application/problem+json"), "{kind}");
        let report: Value = response.json().await.unwrap();
        assert_eq!(report["code"], "runtime.invalid_request", "{report}");
    }
    match send(vec![b' '; 100 << 20]).await {
        Ok(response) => {
            assert_eq!(response.status().as_u16(), 413);
            let report: Value = response.json().await.unwrap();
            assert_eq!(report["code"], "runtime.request_too_large", "{report}");
        }
        Err(error) => assert!(error.is_request() || error.is_body(), "{error}"),
    }
    let five = vec![b' '; 5 << 20];
    let report: Value = send(five).await.unwrap().json().await.unwrap();
    assert_eq!(report["code"], "runtime.request_too_large", "{report}");
    assert_eq!(server.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn only_the_key_and_the_right_places() {
    let place = Place::scripted("- text: hi\n");
    let server = place.serve();
    let url = format!("{}/api/sessions", server.url);
    let bare: Value = server
        .client()
        .get(&url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(bare["code"], "runtime.unauthorized");
    let wrong = server
        .client()
        .get(&url)
        .bearer_auth("nonsense")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status().as_u16(), 401);
    for (header, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let request = server
            .client()
            .get(&url)
            .bearer_auth(&server.key)
            .header(header, value);
        let report: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(report["code"], "runtime.forbidden", "{header}");
    }
}

#[tokio::test]
async fn what_is_not_there() {
    let place = Place::scripted("- text: hi\n");
    let server = place.serve();
    for path in ["/api/sessions/none", "/api/turns/none", "/api/nothing"] {
        refused(server.get(path).await, "runtime.not_found");
    }
    let body = json!({ "agent": "b", "input": "x" });
    let report = refused(server.post(TURNS, &body).await, "runtime.not_found");
    assert!(report["hints"].to_string().contains('a'), "{report}");
}

#[tokio::test]
async fn only_steps_in_doubt_can_be_resolved() {
    let place = Place::scripted(
        "- tool_calls: [{name: shell, arguments: {command: 'true'}}]\n- text: done\n",
    );
    place.run(&["--session", "s", "--turn", "t"]).ok();
    let ran = place.mainstay(&["--json", "session", "resolve", "t.2", "--retry"]);
    ran.failed_with("runtime.step_not_in_doubt");
}

#[test]
fn nobody_answers() {
    let place = Place::scripted("[]");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    place
        .mainstay(&["--json", "--url", &url, "session", "ls"])
        .failed_with("node.unreachable");
}

#[test]
fn manifests_that_are_missing_or_wrong() {
    let place = Place::scripted("[]");
    std::fs::remove_file(place.path().join("mainstay.yaml")).unwrap();
    place
        .mainstay(&["--json", "check"])
        .failed_with("manifest.not_found");
    place.write("mainstay.yaml", "version: 2\n");
    let report = place.run(&[]).failed_with("manifest.invalid");
    assert!(report["data"]["findings"].is_array(), "{report}");
}

#[test]
fn what_is_no_use_is_the_callers_to_correct() {
    let place = Place::scripted("- text: done\n");
    place.write("file", "");
    for args in [
        &["--json", "--data-dir", "file", "run", "a", "go"][..],
        &["--json", "--url", "bogus", "session", "ls"],
        &["--json", "serve", "--blobs", "s3://bucket"],
        &["--json", "frobnicate"],
        &["--json", "run", "a", "go", "--record", "/nowhere/r.jsonl"],
    ] {
        place
            .mainstay_at(args)
            .failed_with("runtime.invalid_request");
    }
    assert_eq!(place.mainstay(&["--json", "session", "ls"]).stdout, "[]\n");
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let place = Place::scripted("[]");
    let full = std::fs::File::options().write(true).open("/dev/full");
    let mut command = place.command(&["codes"]);
    let ran = command.stdout(full.unwrap()).output().unwrap();
    assert_eq!(ran.status.code(), Some(9));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("No space left"), "{said}");
}

#[test]
fn what_another_node_does_cannot_be_recorded() {
    let place = Place::scripted("- text: done\n");
    let server = place.serve();
    let refused = place.run(&["--session", "s", "--record", "made.yaml"]);
    let report = refused.failed_with("runtime.invalid_request");
    let hint = report["hints"].to_string();
    assert!(hint.contains("stop that node"), "{report}");
    let sessions = place.mainstay(&["--json", "session", "ls"]);
    assert_eq!(sessions.ok().stdout, "[]\n", "nothing is to have run");
    drop(server);
}

#[test]
fn a_recording_in_yaml_can_be_played() {
    let place = Place::scripted("- text: done\n");
    let record = ["--session", "s", "--record", "again.yaml"];
    place.run(&record).ok();
    let again = Place::scripted(&place.read("again.yaml"));
    assert_eq!(again.run(&[]).ok().json()["data"]["text"], "done");
}
