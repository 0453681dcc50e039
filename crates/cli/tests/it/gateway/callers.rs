//! What callers do wrong, and who may call. Nothing of it reaches the upstream.

use super::{Gate, ROUTES, Route, model};
use crate::harness::LIMIT;
use serde_json::{Value, json};
use std::time::Instant;

/// Requests, and the field that is wrong with each.
fn malformed() -> Vec<(Route, Value, &'static str)> {
    let message = json!({"role": "user", "content": "x"});
    let strange = json!({"role": "robot", "content": "x"});
    vec![
        (Route::Chat, json!({"model": "m"}), "messages"),
        (
            Route::Chat,
            json!({"model": "m", "messages": "x"}),
            "messages",
        ),
        (
            Route::Chat,
            json!({"model": "m", "messages": [strange]}),
            "messages[0].role",
        ),
        (
            Route::Chat,
            json!({"model": 7, "messages": [message]}),
            "model",
        ),
        (
            Route::Chat,
            json!({"model": "m", "messages": [message], "temperature": "hot"}),
            "temperature",
        ),
        (
            Route::Chat,
            json!({"model": "m", "messages": [message], "max_tokens": -1}),
            "max_tokens",
        ),
        (Route::Responses, json!({"model": "m"}), "input"),
        (
            Route::Responses,
            json!({"model": "m", "input": [strange]}),
            "input[0].role",
        ),
        (
            Route::Responses,
            json!({"model": "m", "input": "x", "max_output_tokens": "many"}),
            "max_output_tokens",
        ),
        (
            Route::Messages,
            json!({"model": "m", "messages": [message]}),
            "max_tokens",
        ),
        (
            Route::Messages,
            json!({"model": "m", "messages": [strange], "max_tokens": 9}),
            "messages",
        ),
        (
            Route::Messages,
            json!({"model": "m", "messages": [message], "max_tokens": "9"}),
            "max_tokens",
        ),
    ]
}

#[tokio::test]
async fn malformed_requests_name_what_is_wrong() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    let mut flaws = Vec::new();
    for (route, body, param) in malformed() {
        let told = gate.post(route, &body).await;
        told.failed("inference.bad_request", 400);
        let error = told.json()["error"].clone();
        let named = match route {
            Route::Messages => error["message"].to_string(),
            _ => error["param"].to_string(),
        };
        if !named.contains(param) {
            flaws.push(format!("{route:?} {body}: wanted {param}, got {error}"));
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
    assert_eq!(gate.upstream.hits("ok"), 0);
}

#[tokio::test]
async fn bytes_that_are_no_json_are_refused() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    for route in ROUTES {
        for bytes in ["", "{", "[]", "null", "{\"model\": \"m\"", "\u{0}\u{1}"] {
            let request = gate.request(route, &Value::Null).body(bytes);
            let told = gate.send(route, request).await;
            told.failed("inference.bad_request", 400);
        }
    }
    assert_eq!(gate.upstream.hits("ok"), 0);
}

#[tokio::test]
async fn a_model_that_nobody_declared_is_not_found() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    for route in ROUTES {
        let told = gate.ask(route, "other", false).await;
        told.failed("inference.model_not_found", 404);
        assert!(
            told.body.contains("other") && told.body.contains('m'),
            "{told:?}"
        );
    }
}

const KEYS: &str = "keys:\n  alice: {secret: alice, models: [a], limits: {requests_per_minute: 2}}\n  \
                    bob: {secret: bob}\nsecrets:\n  alice: {file: alice.key}\n  bob: {file: bob.key}\n";

fn keyed() -> Gate {
    let models = [
        model("a", "openai", "a/ok", ""),
        model("b", "anthropic", "b/ok", ""),
    ];
    let gate = Gate::with(&models.concat(), KEYS);
    gate.place.write("alice.key", "key-of-alice-000000");
    gate.place.write("bob.key", "key-of-bob-00000000");
    gate
}

async fn with_key(gate: &Gate, route: Route, key: &str, model: &str) -> super::Told {
    let request = gate.request(route, &route.body(model, "x", false));
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.headers_mut().remove("authorization");
    let named = match route {
        Route::Messages => ("x-api-key", key.to_owned()),
        _ => ("authorization", format!("Bearer {key}")),
    };
    if !key.is_empty() {
        request
            .headers_mut()
            .insert(named.0, named.1.parse().unwrap());
    }
    let request = reqwest::RequestBuilder::from_parts(client, request);
    gate.send(route, request).await
}

#[tokio::test]
async fn the_callers_own_bad_key_is_401() {
    let gate = keyed();
    for route in ROUTES {
        for key in ["", "wrong", super::SECRET] {
            let told = with_key(&gate, route, key, "a").await;
            assert_eq!(told.status, 401, "{told:?}");
            told.told_as_the_route(&told.json());
            assert_eq!(told.header("x-should-retry"), "false", "{told:?}");
            match route {
                Route::Messages => assert_eq!(told.json()["error"]["type"], "authentication_error"),
                _ => assert_eq!(told.json()["error"]["code"], "invalid_api_key"),
            }
        }
    }
    assert_eq!(gate.upstream.hits("a/ok"), 0);
}

#[tokio::test]
async fn a_key_is_good_for_its_models_and_its_rate() {
    let gate = keyed();
    let alice = "key-of-alice-000000";
    let deadline = std::time::Instant::now() + crate::harness::LIMIT;
    while with_key(&gate, Route::Chat, "key-of-bob-00000000", "a")
        .await
        .status
        == 401
    {
        assert!(
            std::time::Instant::now() < deadline,
            "the keys are never read"
        );
    }
    let before = gate.upstream.hits("a/ok");
    for route in ROUTES {
        let told = with_key(&gate, route, alice, "b").await;
        told.failed("inference.forbidden", 403);
    }
    let counted = format!("{}/v1/messages/count_tokens", gate.server.url);
    let counted = gate.server.client().post(counted);
    let counted = counted.json(&Route::Messages.body("b", "x", false));
    let told = gate.send(Route::Messages, gate.shown(counted, alice)).await;
    told.failed("inference.forbidden", 403);
    assert_eq!(gate.upstream.hits("b/ok"), 0);
    for _ in 0..2 {
        with_key(&gate, Route::Chat, alice, "a").await.ok();
    }
    for route in ROUTES {
        let told = with_key(&gate, route, alice, "a").await;
        told.failed("inference.rate_limited", 429);
        assert!(!told.header("retry-after").is_empty(), "{told:?}");
    }
    assert_eq!(gate.upstream.hits("a/ok"), before + 2);
    with_key(&gate, Route::Responses, "key-of-bob-00000000", "b")
        .await
        .ok();
}

/// Writes the caller's key and waits until it is known.
pub(super) async fn write_key(gate: &Gate, key: &str) {
    gate.place.write("one.key", key);
    let deadline = std::time::Instant::now() + crate::harness::LIMIT;
    while gate.ask_as(key, "other").await.status == 401 {
        assert!(
            std::time::Instant::now() < deadline,
            "the key is never read"
        );
    }
}

#[tokio::test]
async fn a_key_has_as_many_requests_under_way_as_it_may() {
    let keys =
        "keys:\n  one: {secret: one, limits: {concurrency: 1}}\nsecrets:\n  one: {file: one.key}\n";
    let gate = Gate::with(&model("m", "openai", "slow-2000", ""), keys);
    let key = "key-of-one-000000000";
    write_key(&gate, key).await;
    let first = gate.request(Route::Chat, &Route::Chat.body("m", "x", false));
    let first = tokio::spawn(gate.shown(first, key).send());
    gate.until("the first is under way", || {
        gate.upstream.open("slow-2000") == 1
    })
    .await;
    gate.ask_as(key, "m")
        .await
        .failed("inference.rate_limited", 429);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    gate.ask_as(key, "m").await.ok();
    assert_eq!(gate.upstream.hits("slow-2000"), 2);
}

#[tokio::test]
async fn a_route_that_is_asked_wrongly_says_so_in_its_dialect() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    for route in ROUTES {
        let url = format!("{}{}", gate.server.url, route.path());
        let request = gate.server.client().get(url).bearer_auth(&gate.server.key);
        let told = gate.send(route, request).await;
        assert_eq!(
            (told.status, told.header("allow")),
            (405, "POST"),
            "{told:?}"
        );
        told.told_as_the_route(&told.json());
        let request = gate
            .request(route, &Value::Null)
            .body(vec![b' '; (64 << 20) + 1]);
        let told = gate.send(route, request).await;
        assert_eq!(told.status, 413, "{told:?}");
        told.told_as_the_route(&told.json());
    }
    assert_eq!(gate.upstream.hits("ok"), 0);
}

#[tokio::test]
async fn a_route_that_is_not_there_says_so_in_the_dialect_of_its_caller() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    let (chat, messages) = (Route::Chat, Route::Messages);
    for (method, path, version, route) in [
        ("POST", "/v1/completions", "", chat),
        ("GET", "/v1/files", "", chat),
        ("GET", "/v1/files", "2023-06-01", messages),
        ("POST", "/v1/messages/batches", "", messages),
        ("POST", "/v1/messages/", "", messages),
        ("POST", "//v1/messages", "", messages),
        ("POST", "/v1/chat/completions/", "2023-06-01", chat),
        ("OPTIONS", "/v1", "", chat),
        ("DELETE", "/v1/", "", chat),
        ("GET", "/v1/models/", "2023-06-01", messages),
    ] {
        let method = method.parse().unwrap();
        let url = format!("{}{path}", gate.server.url);
        let asked = || {
            let asked = gate.server.client().request(method, url);
            match version {
                "" => asked,
                version => asked.header("anthropic-version", version),
            }
        };
        let told = gate
            .send(route, asked().bearer_auth(&gate.server.key))
            .await;
        told.failed("runtime.not_found", 404);
        let error = told.json()["error"].clone();
        let known = match route {
            Route::Messages => error["type"] == "not_found_error",
            _ => error["type"] == "invalid_request_error" && error["code"] == "unknown_url",
        };
        assert!(known, "{path}: {told:?}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("POST /v1/messages"), "{message}");
    }
    assert_eq!(gate.upstream.hits("ok"), 0);
}

#[tokio::test]
async fn who_has_no_key_learns_so_before_it_learns_what_is_there() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    for (path, route) in [
        ("/v1/files", Route::Chat),
        ("/v1", Route::Chat),
        ("//v1/messages", Route::Messages),
        ("/v1/messages/batches", Route::Messages),
    ] {
        let url = format!("{}{path}", gate.server.url);
        let told = gate.send(route, gate.server.client().get(url)).await;
        told.failed("runtime.unauthorized", 401);
    }
}

/// Whoever looks after a gateway sees who is turned away, whatever the reason.
#[tokio::test]
async fn what_is_refused_at_once_is_counted() {
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    gate.chat("m").await.ok();
    gate.chat("other")
        .await
        .failed("inference.model_not_found", 404);
    let broken = gate.request(Route::Chat, &Value::Null).body("{");
    gate.send(Route::Chat, broken).await;
    let stranger = gate
        .server
        .client()
        .post(format!("{}/v1/responses", gate.server.url));
    for _ in 0..2 {
        let stranger = stranger.try_clone().unwrap();
        gate.send(Route::Responses, stranger).await;
    }
    for (status, count) in [(200, 1), (400, 1), (401, 2), (404, 1)] {
        let name = format!("http_responses_total{{status=\"{status}\"}}");
        assert_eq!(gate.metric(&name).await, count, "{status}");
    }
}

/// A caller that sends a byte now and then loses its connection, and learns why.
#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gate = Gate::open(&model("m", "openai", "ok", ""));
    let address = gate.server.url.trim_start_matches("http://");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\
         x-mainstay-timeout-ms: 300\r\ncontent-length: 100000\r\n\r\n",
        gate.server.key
    );
    write.write_all(head.as_bytes()).await.unwrap();
    let dribbling = async {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let mut told = String::new();
    let reading = tokio::time::timeout(crate::harness::LIMIT, read.read_to_string(&mut told));
    tokio::select! {
        () = dribbling => {}
        read = reading => assert!(read.is_ok(), "the node is silent"),
    }
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    assert!(told.contains("timeout_error"), "{told}");
    assert_eq!(gate.upstream.hits("ok"), 0);
}

/// What was judged and what is sent are the same, whichever of two fields a reader would believe.
#[tokio::test]
async fn what_stands_twice_is_sent_once_as_it_was_judged() {
    let models = model("m", "openai", "ok", "") + &model("other", "openai", "other", "");
    let keys = "keys:\n  one: {secret: one, models: [m]}\nsecrets:\n  one: {file: one.key}\n";
    let gate = Gate::with(&models, keys);
    let key = "key-of-one-000000000";
    write_key(&gate, key).await;
    let twice = |first, last| {
        let text = format!(
            "{{\"model\": \"{first}\", \"max_completion_tokens\": 900000, \"model\": \"{last}\", \
              \"messages\": [{{\"role\": \"user\", \"content\": \"x\"}}], \"max_completion_tokens\": 3}}"
        );
        let request = gate.request(Route::Chat, &Value::Null).body(text);
        gate.send(Route::Chat, gate.shown(request, key))
    };
    twice("m", "other").await.failed("inference.forbidden", 403);
    twice("other", "m").await.ok();
    let sent = gate.upstream.requests("ok").pop().unwrap();
    assert_eq!(sent["body"]["max_completion_tokens"], 3, "{sent}");
    assert_eq!(gate.upstream.hits("other"), 0);
}

#[tokio::test]
async fn keys_of_the_same_value_let_nobody_in_until_that_is_mended() {
    let keys = "keys:\n  amy: {secret: amy}\n  zed: {secret: zed}\n  lost: {secret: lost}\n\
                secrets:\n  amy: {file: amy.key}\n  zed: {file: zed.key}\n  lost: {file: lost.key}\n";
    let gate = Gate::starting(&model("m", "openai", "ok", ""), keys, |place| {
        place.write("amy.key", "sk-the-same\n");
        place.write("zed.key", "sk-the-same\n");
        super::serve(place)
    });
    let told = gate.ask_as("sk-the-same", "m").await;
    told.failed("runtime.unauthorized", 401);
    let log = gate.place.read("log");
    assert!(
        log.contains("the keys `amy`, `zed` have the same value"),
        "{log}"
    );
    assert!(
        log.contains("lost.key") && !log.contains("sk-the-same"),
        "{log}"
    );
    gate.place.write("zed.key", "sk-zeds-own\n");
    let deadline = Instant::now() + LIMIT;
    while gate.ask_as("sk-the-same", "m").await.status != 200 {
        assert!(Instant::now() < deadline);
    }
    gate.ask_as("sk-zeds-own", "m").await.ok();
    gate.place.write("amy.key", "");
    gate.until("the log says that the key is gone", || {
        gate.place.read("log").contains("amy.key: it is empty")
    })
    .await;
}
