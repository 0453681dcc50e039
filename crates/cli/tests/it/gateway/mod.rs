//! The gateway as its callers see it: the real binary before an upstream that does as its models are called.
//!
//! Every test counts what reached the upstream, because an error that was repeated in secret, or a refusal
//! that was paid for, looks the same from outside.

mod agents;
mod answers;
mod breakers;
mod budgets;
mod callers;
mod encrypted;
mod engines;
mod failures;
mod fallbacks;
mod kills;
mod limits;
mod local;
mod pools;
mod reload;
mod secrets;
mod stops;
mod streams;
mod thoughts;
mod timeouts;
mod traces;
mod vectors;

use crate::harness::{LIMIT, Place, Server};
use mainstay_contract::RetryAdvice;
use mainstay_testkit::upstream::Upstream;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The key that the upstream is shown. It must come back in no answer.
pub(crate) const SECRET: &str = "sk-upstream-0123456789";

/// The wires that the gateway speaks to its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Chat,
    Responses,
    Messages,
}

pub(crate) const ROUTES: [Route; 3] = [Route::Chat, Route::Responses, Route::Messages];

/// The providers that have a wire of their own, as they stand in a manifest.
pub(crate) const PROVIDERS: [&str; 5] = [
    "openai",
    "openai_compatible",
    "anthropic",
    "gemini",
    "azure_openai",
];

impl Route {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    pub(crate) fn body(self, model: &str, text: &str, stream: bool) -> Value {
        let message = json!({"role": "user", "content": text});
        match self {
            Self::Chat => json!({"model": model, "messages": [message], "stream": stream}),
            Self::Responses => json!({"model": model, "input": [message], "stream": stream}),
            Self::Messages => {
                json!({"model": model, "messages": [message], "max_tokens": 64, "stream": stream})
            }
        }
    }

    /// What ends a stream in good order, and nothing else does.
    pub(crate) const fn end(self) -> &'static str {
        match self {
            Self::Chat => "data: [DONE]",
            Self::Responses => "event: response.completed",
            Self::Messages => "event: message_stop",
        }
    }
}

/// A model of the manifest: its name, who provides it, what the upstream calls it, and further keys.
pub(crate) fn model(name: &str, provider: &str, upstream: &str, more: &str) -> String {
    let base = match provider {
        "openai" => "URL/v1",
        "openai_compatible" => "URL/open/v1",
        "gemini" => "URL/v1beta",
        _ => "URL",
    };
    let more = if more.is_empty() {
        "retry: {max: 0}"
    } else {
        more
    };
    format!(
        "  {name}: {{provider: {provider}, model: \"{upstream}\", base_url: \"{base}\", \
         api_key: {{secret: upstream}}, {more}}}\n"
    )
}

/// A node with an upstream.
pub(crate) struct Gate {
    pub(crate) place: Place,
    pub(crate) server: Server,
    pub(crate) upstream: Upstream,
    client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) route: Route,
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Gate {
    pub(crate) fn open(models: &str) -> Self {
        Self::with(models, "")
    }

    /// A node with these models, and further sections of the manifest.
    pub(crate) fn with(models: &str, more: &str) -> Self {
        Self::starting(models, more, serve)
    }

    /// The same, with a node that is started in another way.
    pub(crate) fn starting(models: &str, more: &str, serve: impl FnOnce(&Place) -> Server) -> Self {
        let upstream = Upstream::start().unwrap();
        let place = Place::new(&Self::manifest(&upstream, models, more), "");
        place.write("upstream.key", SECRET);
        let server = serve(&place);
        let client = server.client();
        Self {
            place,
            server,
            upstream,
            client,
        }
    }

    fn manifest(upstream: &Upstream, models: &str, more: &str) -> String {
        let secrets = "secrets:\n  upstream: {file: upstream.key}\n";
        let more = match more.split_once("secrets:\n") {
            Some((before, after)) => format!("{before}{secrets}{after}"),
            None => format!("{more}{secrets}"),
        };
        let models = models.replace("URL", &upstream.url());
        format!("version: 1\nmodels:\n{models}{more}")
    }

    /// Edits the manifest while the node runs.
    pub(crate) fn rewrite(&self, models: &str, more: &str) {
        let text = Self::manifest(&self.upstream, models, more);
        self.place.write("mainstay.yaml", &text);
    }

    /// Kills the node and starts another on the same data.
    pub(crate) fn restart(self) -> Self {
        let Self {
            place,
            server,
            upstream,
            client,
        } = self;
        server.kill();
        let server = serve(&place);
        Self {
            place,
            server,
            upstream,
            client,
        }
    }

    pub(crate) fn request(&self, route: Route, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.server.url, route.path());
        self.client
            .post(url)
            .bearer_auth(&self.server.key)
            .json(body)
    }

    pub(crate) async fn send(&self, route: Route, request: reqwest::RequestBuilder) -> Told {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap();
        Told {
            route,
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn post(&self, route: Route, body: &Value) -> Told {
        self.send(route, self.request(route, body)).await
    }

    pub(crate) async fn ask(&self, route: Route, model: &str, stream: bool) -> Told {
        self.post(route, &route.body(model, "one two three", stream))
            .await
    }

    pub(crate) async fn chat(&self, model: &str) -> Told {
        self.ask(Route::Chat, model, false).await
    }

    /// Asks so many times at once.
    pub(crate) async fn chats(&self, model: &str, count: usize) -> Vec<Told> {
        let asks = (0..count).map(|_| self.chat(model));
        futures_util::future::join_all(asks).await
    }

    /// The request with the key of another caller.
    pub(crate) fn shown(
        &self,
        request: reqwest::RequestBuilder,
        key: &str,
    ) -> reqwest::RequestBuilder {
        let (client, request) = request.build_split();
        let mut request = request.unwrap();
        let headers = request.headers_mut();
        headers.remove("authorization");
        if !key.is_empty() {
            headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        reqwest::RequestBuilder::from_parts(client, request)
    }

    pub(crate) async fn ask_as(&self, key: &str, model: &str) -> Told {
        let request = self.request(Route::Chat, &Route::Chat.body(model, "x", false));
        self.send(Route::Chat, self.shown(request, key)).await
    }

    /// The sum of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.server.get("/metrics").await;
        let lines = text.as_str().unwrap_or_default().lines();
        let own = lines.filter(|line| !line.starts_with('#') && line.contains(name));
        own.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// What a model was used for, once there is anything.
    pub(crate) async fn usage_of(&self, model: &str) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (_, usage) = self.server.get("/api/usage").await;
            let rows = usage["rows"].as_array().cloned().unwrap_or_default();
            if let Some(row) = rows.into_iter().find(|row| row["model"] == model) {
                return row;
            }
            assert!(Instant::now() < deadline, "{usage}");
        }
    }

    /// Waits for what has to happen within moments.
    pub(crate) async fn soon(&self, what: &str, is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        self.until(what, is_so).await;
        // A second is promised; the machine may be busy.
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{what}: {:?}",
            began.elapsed()
        );
    }

    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A node whose log is in the file `log`.
fn serve(place: &Place) -> Server {
    serve_with(place, &[])
}

/// The same, with more arguments.
fn serve_with(place: &Place, more: &[&str]) -> Server {
    let log = std::fs::File::create(place.path().join("log")).unwrap();
    let mut command = place.command(&["--json", "serve", "--listen", "127.0.0.1:0"]);
    command.args(more).stderr(log);
    Server::start(command, place)
}

impl Told {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
        self
    }

    /// The data of a stream's events.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type").starts_with("text/event-stream")
    }

    /// The text of an answer, whole or streamed.
    pub(crate) fn text(&self) -> String {
        if self.is_stream() {
            let pointer = match self.route {
                Route::Chat => "/choices/0/delta/content",
                Route::Responses => "/delta",
                Route::Messages => "/delta/text",
            };
            let is_text = |event: &Value| {
                self.route != Route::Responses || event["type"] == "response.output_text.delta"
            };
            let events = self.events().into_iter().filter(is_text);
            return events
                .filter_map(|event| event.pointer(pointer)?.as_str().map(str::to_owned))
                .collect();
        }
        let whole = self.json();
        let parts = match self.route {
            Route::Chat => {
                return whole["choices"][0]["message"]["content"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
            }
            Route::Responses => {
                let items = whole["output"].as_array().cloned().unwrap_or_default();
                let content = items
                    .iter()
                    .filter_map(|item| item["content"].as_array().cloned());
                content.flatten().collect()
            }
            Route::Messages => whole["content"].as_array().cloned().unwrap_or_default(),
        };
        parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect()
    }

    /// Asserts that it is a failure with this code and status, told as the route tells failures.
    #[track_caller]
    pub(crate) fn failed(&self, code: &str, status: u16) -> &Self {
        assert_eq!(self.header("x-mainstay-code"), code, "{self:?}");
        assert_eq!(self.status, status, "{self:?}");
        let id = self.header("x-request-id");
        assert!(!id.is_empty(), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        for said in ["cost-usd", "attempts", "responsible", "effect", "retry"] {
            let said = self.header(&format!("x-mainstay-{said}"));
            assert!(!said.is_empty(), "{self:?}");
        }
        let body = self.json();
        self.told_as_the_route(&body);
        if self.route == Route::Messages {
            assert_eq!(body["request_id"], id, "{self:?}");
        }
        let is_retried = matches!(status, 408 | 409 | 429) || status >= 500;
        let advice = mainstay_contract::Code::parse(code).info().retry;
        let is_final = matches!(advice, RetryAdvice::Never | RetryAdvice::AfterFix);
        assert_eq!(
            self.header("x-should-retry") == "false",
            is_final,
            "{self:?}"
        );
        assert!(
            !is_final || !is_retried || status == 500,
            "clients would repeat it: {self:?}"
        );
        self.tells_no_secret();
        self
    }

    #[track_caller]
    pub(crate) fn told_as_the_route(&self, body: &Value) {
        let error = &body["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{self:?}"
        );
        assert!(error["type"].is_string(), "{self:?}");
        match self.route {
            Route::Messages => assert_eq!(body["type"], "error", "{self:?}"),
            Route::Chat | Route::Responses => {
                assert!(error["code"].is_string(), "{self:?}");
                assert!(error.get("param").is_some(), "{self:?}");
            }
        }
    }

    #[track_caller]
    pub(crate) fn tells_no_secret(&self) {
        let all = format!("{self:?}");
        assert!(!all.contains(SECRET), "{all}");
        assert!(
            !self.body.contains("<html") && !self.body.contains("<script"),
            "{all}"
        );
    }

    /// Asserts that the stream broke off with a failure that the route's clients see as one.
    #[track_caller]
    pub(crate) fn broke_off(&self, code: &str) -> &Self {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.is_stream(), "{self:?}");
        assert!(!self.body.contains(self.route.end()), "{self:?}");
        let events = self.events();
        let last = events.last().unwrap_or_else(|| panic!("{self:?}"));
        let told = match self.route {
            Route::Chat | Route::Messages => last["error"].to_string(),
            Route::Responses => last.to_string(),
        };
        assert!(told.len() > 4, "{self:?}");
        if self.route == Route::Responses {
            assert!(
                ["error", "response.failed"].contains(&last["type"].as_str().unwrap()),
                "{self:?}"
            );
        }
        if self.route == Route::Chat {
            assert_eq!(last["error"]["code"], code, "{self:?}");
        }
        self.tells_no_secret();
        self
    }
}
