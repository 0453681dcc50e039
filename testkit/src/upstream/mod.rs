//! A provider of models over HTTP that does as its models are called.
//!
//! It speaks the wires of OpenAI (Chat Completions, Responses, embeddings), Azure OpenAI, Anthropic and
//! Gemini, written by hand after each provider's documentation and checked against the official clients'
//! types: what is tested with it shares no code with it. A request that is not valid on its wire is refused
//! as the provider would.
//!
//! What happens follows from the model's name, of which the part after the last `/` counts:
//!
//! | model | what happens |
//! |---|---|
//! | `ok` · `echo` | says `ok`; the last text of the user, word by word |
//! | `tools` | calls the first two tools at once, with arguments that their schemas admit, and then tells the results |
//! | `run` | runs what stands between `RUN[` and `]` in the text of the user with the tool that takes a `command` or `cmd`, and then says `done` |
//! | `json` | JSON that the schema asked for admits |
//! | `think` | thoughts with their seal, then `ok` |
//! | `image` | tells media type and length of the image |
//! | `cached` | tells 5 tokens read from a cache and 3 written |
//! | `slow-MS` · `ttft-MS` | ten words, each after MS; all at once after MS |
//! | `stall` · `stall-mid` | silence; silence after two pieces, or half a body |
//! | `cut` · `reset` | closes after two pieces, or half a body; closes without a word |
//! | `401` `403` `404` `500` `503` `529` | fails, in the provider's words |
//! | `html502` | the page of a proxy, with the key in it |
//! | `429-SECS` · `429ms-MS` | a rate limit, with the wait in a header, or where the provider puts it |
//! | `quota` · `ctx` · `filter` | the account is used up; 5000 tokens of 4096; the prompt is refused |
//! | `length` | `so far`, and then the most tokens allowed are used up |
//! | `filter-finish` · `refusal` | an answer that ends because of what it holds |
//! | `overloaded-mid` | an error within a stream after two pieces; 529 without one |
//! | `badjson` · `badjson-mid` · `empty` | what is no JSON, at once or after two pieces; no body |
//! | `flaky-N` · `limited-N` · `limited-N-SECS` | so many 500 or 429 for each key, then `ok` |
//! | `ill-N` | one request in so many fails with 500 |
//! | `rotate` | 401 unless the key is the one of the last `POST /key` |
//!
//! Any other model does not exist. Below `/open/v1` no key is asked for, and unknown
//! fields are read over, and thoughts are shown in `reasoning_content`. Ids hold the number of the request
//! for its model. An answer costs 11 tokens in and 7 out, 4 of these for thoughts where there are any.
//!
//! `GET /hits` tells how many requests each model had, `GET /requests?model=M` the last of them, `GET /open`
//! what is in progress and what was left by the client, and `POST /key` takes `{"model", "key"}`. `GET /health`
//! answers as the test says.

mod anthropic;
mod ask;
mod chat;
mod control;
mod gemini;
mod playing;
mod reply;
mod responses;
mod scenario;
mod server;
mod state;
mod trouble;
mod vectors;
mod wire;

#[cfg(test)]
mod tests;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use state::{Health, State};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An upstream on a thread of its own; it ends when this goes out of scope.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts one on a free port of this machine.
    ///
    /// # Errors
    /// It cannot listen.
    pub fn start() -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts one at this address.
    ///
    /// # Errors
    /// It cannot listen there.
    pub fn listen(address: SocketAddr) -> std::io::Result<Self> {
        // Nothing here blocks on a runtime, so that tests within one may start an upstream too.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let (stop, stopped) = oneshot::channel();
        let kept = Arc::clone(&state);
        let serve = async move {
            let Ok(listener) = TcpListener::from_std(listener) else {
                return;
            };
            tokio::select! {
                () = accept(listener, kept) => {}
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new().name("upstream".to_owned());
        let thread = thread.spawn(move || runtime.block_on(serve))?;
        Ok(Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came for a model.
    #[must_use]
    pub fn hits(&self, model: &str) -> u64 {
        self.state.hits().get(model).copied().unwrap_or_default()
    }

    /// The last requests for a model: path, query, headers and body.
    #[must_use]
    pub fn requests(&self, model: &str) -> Vec<Value> {
        self.state.requests(model)
    }

    /// How many requests for a model are being answered.
    #[must_use]
    pub fn open(&self, model: &str) -> u64 {
        self.state.open()["by_model"][model]
            .as_u64()
            .unwrap_or_default()
    }

    /// How many requests for a model the client left before they were answered.
    #[must_use]
    pub fn left(&self, model: &str) -> u64 {
        self.state.open()["left"][model]
            .as_u64()
            .unwrap_or_default()
    }

    /// The status that `/health` has from now on; 200 at first.
    pub fn set_health(&self, status: u16) {
        self.state.set_health(Health::Status(status));
    }

    /// From now on `/health` is not answered.
    pub fn silence_health(&self) {
        self.state.set_health(Health::Silence);
    }

    /// How often `/health` was asked for.
    #[must_use]
    pub fn health_checks(&self) -> u64 {
        self.state.health_checks()
    }

    /// The key that a `rotate` model takes from now on.
    pub fn set_key(&self, model: &str, key: &str) {
        self.state.set_key(model, key);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _without_delay = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _stands = state.connected();
            let service = service_fn(|request| server::serve(Arc::clone(&state), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _closed = connection.await;
        });
    }
}
