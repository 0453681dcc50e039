//! Traces, as a collector gets them: names and figures, and nothing that was said.

use super::{Gate, Route, SECRET, model};
use crate::harness::{LIMIT, Place, Server};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use mainstay_testkit::upstream::Upstream;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Told;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// OpenTelemetry's numbers for kinds of spans.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// Takes in what is sent to it, as it is.
struct Collector {
    url: String,
    taken: watch::Sender<Vec<Bytes>>,
}

/// One span, as it was sent.
#[derive(Debug, Clone)]
struct Span {
    name: String,
    kind: i32,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    is_error: bool,
    attributes: BTreeMap<String, Value>,
    resource: BTreeMap<String, Value>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = watch::Sender::new(Vec::new());
        let place = taken.clone();
        let take = async move |body: Bytes| place.send_modify(|taken| taken.push(body));
        let app = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, taken }
    }

    /// A node that sends its traces here.
    fn gate(&self, models: &str, variables: &[(&str, &str)]) -> Gate {
        Gate::starting(models, "", |place| self.serve(place, variables))
    }

    fn serve(&self, place: &Place, variables: &[(&str, &str)]) -> Server {
        let mut command = place.command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
        command.envs(variables.iter().copied());
        Server::start(command, place)
    }

    /// The first span that is so, once it has come.
    async fn span(&self, what: &str, is_so: impl Fn(&Span) -> bool) -> Span {
        let mut found = None;
        let mut taken = self.taken.subscribe();
        let there = taken.wait_for(|taken| {
            found = spans(taken).into_iter().find(|span| is_so(span));
            found.is_some()
        });
        let waited = tokio::time::timeout(LIMIT, there).await.map(drop);
        let taken = || spans(&self.taken.borrow());
        waited.unwrap_or_else(|_| panic!("{what}: {:#?}", taken()));
        found.unwrap()
    }

    /// The span of the request with this id, and those of its calls in their order.
    async fn request(&self, id: &str) -> (Span, Vec<Span>) {
        let is_it = |span: &Span| span["mainstay.request_id"] == id;
        let request = self.span(id, is_it).await;
        assert_eq!(request.kind, SERVER);
        // What is below a request is sent before it.
        let mut calls = spans(&self.taken.borrow());
        calls.retain(|span| span.parent == request.id);
        for call in &calls {
            assert_eq!((call.kind, &call.trace), (CLIENT, &request.trace));
        }
        calls.sort_by_key(|call| call["mainstay.attempt"].as_i64());
        (request, calls)
    }
}

fn spans(taken: &[Bytes]) -> Vec<Span> {
    let decode = |body: &Bytes| ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let resources = taken
        .iter()
        .map(decode)
        .flat_map(|sent| sent.resource_spans);
    let of_resource = |of: ResourceSpans| {
        let resource = attributes(&of.resource.unwrap().attributes);
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Span {
            name: span.name,
            kind: span.kind,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            is_error: span.status.is_some_and(|status| status.code == 2),
            attributes: attributes(&span.attributes),
            resource: resource.clone(),
        })
    };
    resources.flat_map(of_resource).collect()
}

impl std::ops::Index<&str> for Span {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, Value> {
    let pair = |pair: &KeyValue| (pair.key.clone(), json_of(pair.value.as_ref()));
    all.iter().map(pair).collect()
}

fn json_of(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Told::StringValue(text)) => json!(text),
        Some(Told::IntValue(number)) => json!(number),
        Some(Told::DoubleValue(number)) => json!(number),
        Some(Told::BoolValue(is_so)) => json!(is_so),
        Some(Told::ArrayValue(list)) => list.values.iter().map(|one| json_of(Some(one))).collect(),
        _ => Value::Null,
    }
}

#[tokio::test]
async fn a_request_is_traced_without_what_was_said() {
    let collector = Collector::start().await;
    let models = model("main", "openai", "echo", "") + &model("broken", "openai", "500", "");
    let gate = collector.gate(&models, &[]);
    let body = Route::Chat.body("main", "a word that nobody else may read", false);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = gate
        .request(Route::Chat, &body)
        .header("traceparent", parent);
    let told = gate.send(Route::Chat, request).await;
    let id = told.ok().header("x-request-id");
    let (request, calls) = collector.request(id).await;
    assert_eq!(request.name, "chat main");
    assert_eq!(request.trace[..4], [0x4b, 0xf9, 0x2f, 0x35]);
    assert_eq!(request.parent[..4], [0x00, 0xf0, 0x67, 0xaa]);
    assert_eq!(request.resource["service.name"], "mainstay");
    let [call] = calls.as_slice() else {
        panic!("{calls:#?}")
    };
    // The conventions want the provider's own name of the model where it is called.
    assert_eq!(call.name, "chat echo");
    assert_eq!(call["gen_ai.request.model"], "echo");
    assert_eq!(request["gen_ai.request.model"], "main");
    for span in [&request, call] {
        assert!(!span.is_error, "{span:#?}");
        assert_eq!(span["gen_ai.operation.name"], "chat");
        assert_eq!(span["gen_ai.provider.name"], "openai");
        assert_eq!(span["mainstay.model"], "main");
        assert_eq!(span["gen_ai.response.finish_reasons"], json!(["stop"]));
        for name in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
            assert!(span[name].as_u64() > Some(0), "{name}: {span:#?}");
        }
    }
    for text in ["nobody else", SECRET, gate.server.key.as_str()] {
        let taken = collector.taken.borrow();
        let mut windows = taken.iter().flat_map(|body| body.windows(text.len()));
        assert!(windows.all(|window| window != text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn failures_tell_their_code_and_who_failed() {
    let collector = Collector::start().await;
    let fallback = "retry: {max: 0}, fallback: [spare]";
    let models = model("broken", "azure_openai", "500", "")
        + &model("first", "gemini", "500", fallback)
        + &model("spare", "anthropic", "echo", "")
        + &model("dear", "gemini", "unheard-of", "budget: {usd: 1}");
    let gate = collector.gate(&models, &[]);
    let told = gate.chat("broken").await;
    told.failed("inference.server_error", 502);
    let (request, calls) = collector.request(told.header("x-request-id")).await;
    assert_eq!(calls.len(), 1);
    for span in [&request, &calls[0]] {
        assert!(span.is_error, "{span:#?}");
        assert_eq!(span["error.type"], "inference.server_error");
        assert_eq!(span["gen_ai.provider.name"], "azure.ai.openai");
    }
    let told = gate.chat("first").await;
    let (request, calls) = collector.request(told.ok().header("x-request-id")).await;
    assert_eq!(request["gen_ai.provider.name"], "anthropic");
    let [failed, answered] = calls.as_slice() else {
        panic!("{calls:#?}")
    };
    assert_eq!(failed["gen_ai.provider.name"], "gcp.gemini");
    assert_eq!(failed["error.type"], "inference.server_error");
    assert_eq!(failed["gen_ai.usage.output_tokens"], Value::Null);
    assert_eq!(answered["gen_ai.provider.name"], "anthropic");
    assert_eq!(answered["error.type"], Value::Null);
    assert!(answered["gen_ai.usage.output_tokens"].as_u64() > Some(0));
    // Nothing was sent, and still it is known who was meant.
    let told = gate.chat("dear").await;
    told.failed("inference.price_unknown", 422);
    let (request, calls) = collector.request(told.header("x-request-id")).await;
    assert!(calls.is_empty(), "{calls:#?}");
    assert_eq!(request["gen_ai.provider.name"], "gcp.gemini");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failed_call() {
    let collector = Collector::start().await;
    let gate = collector.gate(&model("cut", "openai", "cut", ""), &[]);
    let told = gate.ask(Route::Chat, "cut", true).await;
    told.broke_off("inference.network_error");
    let (request, calls) = collector.request(told.header("x-request-id")).await;
    assert_eq!(calls.len(), 1);
    for span in [&request, &calls[0]] {
        assert!(span.is_error, "{span:#?}");
        assert_eq!(span["error.type"], "inference.network_error");
        assert!(span["gen_ai.usage.output_tokens"].as_u64() > Some(0));
    }
}

#[tokio::test]
async fn vectors_are_traced() {
    let collector = Collector::start().await;
    let models = model("v", "openai", "vectors/echo", "") + &model("none", "gemini", "500", "");
    let gate = collector.gate(&models, &[]);
    let url = format!("{}/v1/embeddings", gate.server.url);
    let embed = async |name: &str| {
        let body = json!({"model": name, "input": "nobody else", "dimensions": 3});
        let client = gate.server.client();
        let request = client.post(&url).bearer_auth(&gate.server.key).json(&body);
        gate.send(Route::Chat, request).await
    };
    let told = embed("v").await;
    let (request, calls) = collector.request(told.ok().header("x-request-id")).await;
    assert_eq!(request.name, "embeddings v");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].name, "embeddings vectors/echo");
    assert_eq!(request["gen_ai.embeddings.dimension.count"], 3);
    let formats = json!(["float"]);
    assert_eq!(request["gen_ai.request.encoding_formats"], formats);
    for span in [&request, &calls[0]] {
        assert_eq!(span["gen_ai.operation.name"], "embeddings");
        assert_eq!(span["gen_ai.provider.name"], "openai");
        assert!(span["gen_ai.usage.input_tokens"].as_u64() > Some(0));
        assert!(span["gen_ai.response.model"].is_string(), "{span:#?}");
    }
    let told = embed("none").await;
    told.failed("inference.server_error", 502);
    let (request, _) = collector.request(told.header("x-request-id")).await;
    assert!(request.is_error, "{request:#?}");
    assert_eq!(request["gen_ai.provider.name"], "gcp.gemini");
}

#[tokio::test]
async fn answers_that_are_given_again_are_traced_as_such() {
    let collector = Collector::start().await;
    let gate = collector.gate(&model("m", "openai", "echo", "cache: {ttl: 1h}"), &[]);
    let first = gate.chat("m").await;
    let (request, calls) = collector.request(first.ok().header("x-request-id")).await;
    assert_eq!(
        (calls.len(), &request["mainstay.cache_hit"]),
        (1, &Value::Null)
    );
    let again = gate.chat("m").await;
    assert_eq!(again.ok().header("x-mainstay-cache"), "hit");
    let (request, calls) = collector.request(again.header("x-request-id")).await;
    assert!(calls.is_empty(), "{calls:#?}");
    assert_eq!(request["mainstay.cache_hit"], true);
    assert_eq!(request["mainstay.cost_usd"], "0");
    assert_eq!(request["gen_ai.provider.name"], "openai");
}

#[tokio::test]
async fn the_service_is_called_as_the_environment_says() {
    for (variables, name) in [
        (vec![("OTEL_SERVICE_NAME", "my-gateway")], "my-gateway"),
        (
            vec![
                ("OTEL_SERVICE_NAME", "my-gateway"),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=x"),
            ],
            "my-gateway",
        ),
        (
            vec![("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=x")],
            "other",
        ),
    ] {
        let collector = Collector::start().await;
        let gate = collector.gate(&model("m", "openai", "echo", ""), &variables);
        gate.chat("m").await.ok();
        let span = collector.span(name, |_| true).await;
        assert_eq!(span.resource["service.name"], name);
        if variables
            .iter()
            .any(|(variable, _)| variable.contains("RESOURCE"))
        {
            assert_eq!(span.resource["team"], "x");
        }
    }
}

#[tokio::test]
async fn a_question_to_a_model_has_an_id_also_where_it_fails() {
    let collector = Collector::start().await;
    let gate = collector.gate(&model("m", "openai", "echo", ""), &[]);
    let url = format!("{}/api/models/m/call", gate.server.url);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = gate.server.client();
    let asked = client.post(&url).bearer_auth(&gate.server.key);
    let asked = asked.header("traceparent", parent);
    let told = asked.json(&json!({"input": "x"})).send().await.unwrap();
    let id = told.headers()["x-request-id"].to_str().unwrap();
    assert!(id.starts_with("req_"), "{id}");
    let (request, _) = collector.request(id).await;
    assert_eq!(request.trace[..4], [0x4b, 0xf9, 0x2f, 0x35]);
    let unknown = client.post(url.replace("/m/", "/none/"));
    let unknown = unknown.bearer_auth(&gate.server.key);
    let told = unknown.json(&json!({"input": "x"})).send().await.unwrap();
    assert_eq!(told.status(), 404);
    assert!(told.headers().contains_key("x-request-id"));
}

#[tokio::test]
async fn a_turn_of_an_agent_has_an_id() {
    let collector = Collector::start().await;
    let upstream = Upstream::start().unwrap();
    let models = model("m", "openai", "echo", "").replace("URL", &upstream.url());
    let manifest = format!(
        "version: 1\nmodels:\n{models}agents:\n  a: {{model: m}}\n\
         secrets:\n  upstream: {{file: upstream.key}}\n"
    );
    let place = Place::new(&manifest, "");
    place.write("upstream.key", SECRET);
    let server = collector.serve(&place, &[]);
    let client = server.client();
    let url = format!("{}/api/sessions/s/turns", server.url);
    let asked = client.post(url).bearer_auth(&server.key);
    let asked = asked.json(&json!({"agent": "a", "input": "go"}));
    let told = asked.send().await.unwrap();
    assert!(told.status().is_success(), "{told:?}");
    let span = collector.span("chat m", |span| span.name == "chat m").await;
    let id = span["mainstay.request_id"].as_str().unwrap();
    assert!(id.starts_with("req_"), "{id}");
}
