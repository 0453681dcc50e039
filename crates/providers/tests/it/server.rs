//! A loopback HTTP server that plays exact bytes, so that every misbehaviour is a real one.

use mainstay_contract::{Coded, Message, Role, Secret};
use mainstay_inference::Provider;
use mainstay_providers::{
    Direct, HttpSettings, InferenceError, ModelAnswer, ModelProvider, ModelRequest,
    ProviderSettings, ResponseLimits, Route, Service, Timeouts, open,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};

pub(crate) const KEY: &str = "sk-live-0123456789abcdef";

/// What the server does once it has read a request; at the end it closes.
#[derive(Clone)]
pub(crate) enum Act {
    Send(Vec<u8>),
    Pause(Duration),
    /// Until as many connections wait here as the barrier counts.
    Meet(Arc<Barrier>),
    /// Reads another request on the same connection.
    Read,
    /// Until the client closes.
    Hang,
}

type Plan = dyn Fn(usize, &str) -> Vec<Act> + Send + Sync;

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    closed: watch::Receiver<usize>,
}

impl Server {
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        Self::start_with(move |_| acts.clone()).await
    }

    /// Plays for each connection what its number (from 0) asks for.
    pub(crate) async fn start_with(
        acts: impl Fn(usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        Self::start_by(move |number, _| acts(number)).await
    }

    /// Plays for each connection what its number and its first request ask for.
    pub(crate) async fn start_by(
        acts: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let acts: Arc<Plan> = Arc::new(acts);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (closed_sender, closed) = watch::channel(0);
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acts, seen) = (Arc::clone(&acts), Arc::clone(&seen));
                let closed = closed_sender.clone();
                tokio::spawn(async move {
                    play(stream, number, &*acts, &seen, &closed).await;
                });
            }
        });
        Self {
            url,
            requests,
            closed,
        }
    }

    pub(crate) fn hits(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Waits until a hanging connection was closed by the client.
    pub(crate) async fn until_closed(&mut self) {
        let closed = self.closed.wait_for(|count| *count > 0);
        tokio::time::timeout(Duration::from_secs(5), closed)
            .await
            .expect("the socket stays open")
            .unwrap();
    }
}

async fn play(
    mut stream: TcpStream,
    number: usize,
    acts: &Plan,
    seen: &Mutex<Vec<String>>,
    closed: &watch::Sender<usize>,
) {
    let Some(request) = read_request(&mut stream).await else {
        closed.send_modify(|count| *count += 1);
        return;
    };
    let acts = acts(number, &request);
    seen.lock().unwrap().push(request);
    for act in acts {
        match act {
            Act::Meet(barrier) => {
                barrier.wait().await;
            }
            Act::Read => match read_request(&mut stream).await {
                Some(request) => seen.lock().unwrap().push(request),
                None => return,
            },
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            Act::Pause(duration) => tokio::time::sleep(duration).await,
            Act::Hang => {
                let mut rest = [0; 64];
                while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
                closed.send_modify(|count| *count += 1);
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// Reads a request with its body; `None` where the client leaves before.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A response that ends where the connection does.
pub(crate) fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}\r\n{body}").into_bytes()
}

pub(crate) fn json(status: u16, body: &str) -> Vec<Act> {
    vec![Act::Send(response(
        status,
        "content-type: application/json\r\n",
        body,
    ))]
}

pub(crate) fn events(body: &str) -> Vec<Act> {
    vec![Act::Send(response(
        200,
        "content-type: text/event-stream\r\n",
        body,
    ))]
}

pub(crate) const GOOD: &str = concat!(
    ": keepalive\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hé \"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"🦀\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"shell\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"files\",\"arguments\":\"{}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":7}}\n\n",
    "data: [DONE]\n\n",
);

/// Settings for a model of a server that follows OpenAI, without a key.
pub(crate) fn plain(url: &str, model: &str) -> HttpSettings {
    HttpSettings {
        provider: "openai_compatible".to_owned(),
        service: Service::OpenAiCompatible,
        base_url: url.to_owned(),
        model: model.to_owned(),
        api_key: None,
        headers: Vec::new(),
        route: Route::default(),
        timeouts: Timeouts::default(),
        limits: ResponseLimits::default(),
    }
}

pub(crate) fn settings(url: &str) -> HttpSettings {
    HttpSettings {
        api_key: Some(Arc::new(Secret::new(KEY))),
        ..plain(url, "tiny-1")
    }
}

/// The provider behind the port.
pub(crate) fn opened(settings: HttpSettings) -> Arc<dyn Provider> {
    open(ProviderSettings::Http(Box::new(settings))).unwrap()
}

/// The provider as a session sees it.
pub(crate) fn provider(settings: HttpSettings) -> Arc<dyn ModelProvider> {
    let model = settings.model.clone();
    Arc::new(Direct::new(opened(settings), model))
}

pub(crate) fn request() -> ModelRequest {
    ModelRequest {
        messages: vec![Message::text(Role::User, "hello")],
        ..ModelRequest::default()
    }
}

pub(crate) async fn ask(provider: &dyn ModelProvider) -> Result<ModelAnswer, InferenceError> {
    provider.call(&request(), &mut |_| {}).await
}

/// Asks a server that plays `acts` once, and demands a failure that shows no secret.
pub(crate) async fn failure(acts: Vec<Act>) -> InferenceError {
    let server = Server::start(acts).await;
    let error = ask(&*provider(settings(&server.url))).await.unwrap_err();
    assert_eq!(server.hits(), 1, "a provider never repeats a call");
    let shown = format!(
        "{error:?} {}",
        serde_json::to_string(&error.report()).unwrap()
    );
    assert!(!shown.contains(KEY), "{shown}");
    error
}
