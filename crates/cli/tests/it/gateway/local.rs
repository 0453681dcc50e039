//! Models on this machine: their workers are real processes, lost in every way that a device has.

use super::{Route, Told};
use crate::harness::{LIMIT, Place, Server, skipped, wait_until};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::process::Command;

/// A node with local models.
struct Local {
    place: Place,
    server: Server,
    client: reqwest::Client,
}

impl Local {
    fn open(models: &str, environment: &[(&str, String)]) -> Self {
        let place = Place::new(&format!("version: 1\nmodels:\n{models}"), "");
        let mut command = place.command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
        command.envs(
            environment
                .iter()
                .map(|(name, value)| (name, value.as_str())),
        );
        let server = Server::start(command, &place);
        let client = server.client();
        Self {
            place,
            server,
            client,
        }
    }

    fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.server.url);
        self.client
            .post(url)
            .bearer_auth(&self.server.key)
            .json(body)
    }

    async fn post(&self, route: Route, body: &Value) -> Told {
        let response = self.request(route.path(), body).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap();
        Told {
            route,
            status,
            headers,
            body,
        }
    }

    async fn ask(&self, model: &str, text: &str) -> Told {
        self.post(Route::Chat, &Route::Chat.body(model, text, false))
            .await
    }

    /// The worker's process.
    fn worker(&self) -> Option<u32> {
        let node = self.server.pid();
        let listed = Command::new("pgrep")
            .args(["-P", &node.to_string(), "-f", "__model_worker"])
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        listed.lines().next().and_then(|pid| pid.parse().ok())
    }

    /// Asks for a long answer, and goes on to `then` once some of it has come; gives the whole of what came.
    async fn while_answering(&self, route: Route, then: impl FnOnce()) -> String {
        let mut body = route.body("echo", "count 1000000", true);
        if route == Route::Messages {
            body["max_tokens"] = json!(2_000_000);
        }
        let response = self.request(route.path(), &body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut stream = response.bytes_stream();
        let mut came = stream.next().await.unwrap().unwrap().to_vec();
        then();
        let rest = async {
            while let Some(Ok(bytes)) = stream.next().await {
                came.extend_from_slice(&bytes);
            }
        };
        tokio::time::timeout(LIMIT, rest).await.unwrap();
        String::from_utf8(came).unwrap()
    }
}

const ECHO: &str = "  echo: {provider: local, path: \"echo:\", device: cpu, retry: {max: 0}}\n";

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn a_worker_that_dies_fails_what_it_had_begun_and_nothing_else() {
    let local = Local::open(ECHO, &[]);
    local.ask("echo", "one").await.ok();
    for route in super::ROUTES {
        let before = local.worker().unwrap();
        let came = local
            .while_answering(route, || signal(before, "-KILL"))
            .await;
        assert!(came.contains("inference.cuda_context_poisoned"), "{came}");
        let cause = "the worker on cpu was lost: the worker was ended by signal 9";
        assert!(came.contains(cause), "{came}");
        assert!(!came.contains(route.end()), "{came}");
        let told = local.ask("echo", "two three").await;
        assert!(told.ok().text().contains("two three"), "{told:?}");
        let after = local.worker().unwrap();
        assert_ne!(after, before);
        let (_, models) = local.server.get("/api/models").await;
        let told = &models[0];
        assert_eq!(
            (&told["ready"], &told["worker"]["pid"]),
            (&json!(true), &json!(after))
        );
    }
}

#[tokio::test]
async fn a_request_that_hangs_is_the_callers_and_costs_nobody_else() {
    let local = Local::open(ECHO, &[]);
    for _ in 0..8 {
        let before = local.ask("echo", "one").await;
        assert!(before.ok().text().contains("one"), "{before:?}");
        let told = local.ask("echo", "hang").await;
        told.failed("inference.bad_request", 400);
        let attempts = told.headers.get("x-mainstay-attempts").unwrap();
        assert_eq!(attempts, "1");
    }
    let (_, models) = local.server.get("/api/models").await;
    assert_eq!(models[0]["breaker"], "closed", "{models}");
}

#[tokio::test]
async fn a_poisoned_device_costs_the_worker_and_not_the_node() {
    let library = tempfile::tempdir().unwrap();
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../local/tests/it/stub/libcuda.c"
    );
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(library.path().join("libcuda.so"))
        .arg(source)
        .status();
    let Ok(compiled) = compiled else {
        return skipped("there is no C compiler");
    };
    assert!(compiled.success());
    let models = ECHO.replace("cpu", "cuda");
    let environment = [
        (
            "LD_LIBRARY_PATH",
            library.path().to_string_lossy().into_owned(),
        ),
        ("STUB_CODE", "700".to_owned()),
        ("STUB_AFTER", "60".to_owned()),
    ];
    let local = Local::open(&models, &environment);
    local.ask("echo", "one").await.ok();
    let before = local.worker().unwrap();
    let came = local.while_answering(Route::Chat, || ()).await;
    assert!(came.contains("inference.cuda_context_poisoned"), "{came}");
    assert!(!came.contains(Route::Chat.end()), "{came}");
    assert!(local.ask("echo", "two").await.ok().text().contains("two"));
    assert_ne!(local.worker().unwrap(), before);
}

#[tokio::test]
async fn a_schema_is_refused_by_the_callers_own_field() {
    let local = Local::open(ECHO, &[]);
    local.ask("echo", "one").await.ok();
    let schema = (0..101).fold(json!({}), |inner, _| json!({ "items": inner }));
    let named = json!({"type": "json_schema", "name": "n", "schema": schema});
    for (route, field, format, param) in [
        (
            Route::Chat,
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
            "response_format",
        ),
        (
            Route::Responses,
            "text",
            json!({ "format": named }),
            "text.format",
        ),
    ] {
        let mut body = route.body("echo", "one", false);
        body[field] = format;
        let told = local.post(route, &body).await;
        told.failed("inference.bad_request", 400);
        assert_eq!(told.json()["error"]["param"], param, "{told:?}");
    }
}

#[tokio::test]
async fn a_device_that_is_not_there_is_no_other() {
    let models = ECHO.replace("cpu", "cuda");
    let local = Local::open(&models, &[("LD_LIBRARY_PATH", "/nowhere".to_owned())]);
    let told = local.ask("echo", "one").await;
    told.failed("inference.model_not_found", 404);
    assert!(told.body.contains("libcuda.so"), "{told:?}");
    assert!(local.worker().is_none());
}

#[tokio::test]
async fn nothing_is_left_of_a_worker_when_the_node_ends() {
    let local = Local::open(ECHO, &[]);
    local.ask("echo", "one").await.ok();
    let worker = local.worker().unwrap();
    let Local { server, place, .. } = local;
    server.kill();
    let gone = || !std::path::Path::new(&format!("/proc/{worker}")).exists();
    wait_until("the worker is gone", gone);
    drop(place);
}

#[tokio::test]
async fn a_model_that_is_changed_is_served_by_its_new_worker() {
    let local = Local::open(ECHO, &[]);
    local.ask("echo", "one").await.ok();
    let before = local.worker().unwrap();
    let changed = ECHO.replace("device", "context_length: 4096, device");
    let manifest = format!("version: 1\nmodels:\n{changed}");
    local.place.write("mainstay.yaml", &manifest);
    // The end of the old one says nothing of the new one.
    wait_until("the old worker is gone", || {
        !std::path::Path::new(&format!("/proc/{before}")).exists()
    });
    local.ask("echo", "two").await.ok();
    let (_, models) = local.server.get("/api/models").await;
    assert_eq!(models[0]["ready"], json!(true), "{models}");
}

/// The real model, where the tests have it.
fn real() -> Option<Local> {
    let Some(path) = std::env::var_os("MAINSTAY_TEST_GGUF") else {
        skipped("MAINSTAY_TEST_GGUF names no GGUF file");
        return None;
    };
    let path = path.into_string().unwrap();
    let folder = std::path::Path::new(&path).parent().unwrap();
    let models = "  small: {provider: local, path: model.gguf, context_length: 512}\n";
    let place = Place::new(&format!("version: 1\nmodels:\n{models}"), "");
    assert!(folder.is_dir());
    std::os::unix::fs::symlink(&path, place.path().join("model.gguf")).unwrap();
    let server = place.serve();
    let client = server.client();
    Some(Local {
        place,
        server,
        client,
    })
}

#[tokio::test]
async fn a_real_model_answers_in_every_dialect() {
    let Some(local) = real() else { return };
    let mut said = Vec::new();
    for route in super::ROUTES {
        for stream in [false, true] {
            let question = "Write a long story about a village by the sea.";
            let mut body = route.body("small", question, stream);
            body["temperature"] = json!(0);
            let bound = match route {
                Route::Responses => "max_output_tokens",
                Route::Chat | Route::Messages => "max_tokens",
            };
            body[bound] = json!(16);
            let told = local.post(route, &body).await;
            said.push(told.ok().text());
        }
    }
    assert!(said[0].starts_with("In the idyllic village of"), "{said:?}");
    assert!(said.iter().all(|text| *text == said[0]), "{said:?}");
    let body = json!({"model": "small", "input": ["a cat", "a kitten", "tax law"], "encoding_format": "float"});
    let response = local.request("/v1/embeddings", &body).send().await.unwrap();
    let vectors: Value = response.json().await.unwrap();
    let vector = |at: usize| -> Vec<f64> {
        let numbers = vectors["data"][at]["embedding"].as_array().unwrap();
        numbers
            .iter()
            .map(|number| number.as_f64().unwrap())
            .collect()
    };
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (cat, kitten, law) = (vector(0), vector(1), vector(2));
    assert!(near(&cat, &kitten) > near(&cat, &law));
    drop(local.place);
}

#[tokio::test]
async fn a_real_model_keeps_to_a_schema_and_to_its_window() {
    let Some(local) = real() else { return };
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["city", "people"],
        "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer", "minimum": 0, "maximum": 99_999_999}},
    });
    let mut body = Route::Chat.body("small", "Describe Paris.", false);
    body["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}});
    let told = local.post(Route::Chat, &body).await;
    let place: Value = serde_json::from_str(&told.ok().text()).unwrap();
    assert!(
        place["city"].is_string() && place["people"].is_i64(),
        "{place}"
    );
    for schema in [json!({"$ref": "#"}), json!({"uniqueItems": true})] {
        body["response_format"]["json_schema"]["schema"] = schema;
        let told = local.post(Route::Chat, &body).await;
        told.failed("inference.bad_request", 400);
    }
    let told = local.ask("small", &"word ".repeat(2000)).await;
    told.failed("inference.context_length_exceeded", 400);
}
