//! A small tracker on loopback: it stores a post under its idempotency key, then takes its time to
//! answer, so that a kill can fall between the effect and the news of it.

use crate::error::CliError;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const ANSWER_DELAY: Duration = Duration::from_millis(60);

#[derive(Clone, Default)]
struct Posts(Arc<Mutex<Vec<(String, Value)>>>);

impl Posts {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<(String, Value)>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The running tracker; it ends with the demo.
pub(super) struct Tracker {
    posts: Posts,
    port: u16,
    server: JoinHandle<()>,
}

impl Tracker {
    pub(super) async fn start() -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::Runtime(format!("the tracker: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let posts = Posts::default();
        let router = axum::Router::new()
            .route("/posts", post(store))
            .route("/posts/{key}", get(find))
            .with_state(posts.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the tracker ended");
            }
        });
        Ok(Self {
            posts,
            port,
            server,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many posts came since this was last asked. It does not fold posts of equal key: a
    /// repetition shows.
    pub(super) fn take_posts(&self) -> usize {
        self.posts.with(|posts| std::mem::take(posts).len())
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn store(
    State(posts): State<Posts>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let key = key.unwrap_or_default().to_owned();
    let number = posts.with(|posts| {
        posts.push((key, body));
        posts.len()
    });
    tokio::time::sleep(ANSWER_DELAY).await;
    (StatusCode::CREATED, Json(json!({ "number": number })))
}

async fn find(State(posts): State<Posts>, Path(key): Path<String>) -> (StatusCode, Json<Value>) {
    let number = posts.with(|posts| posts.iter().position(|(found, _)| *found == key));
    match number {
        Some(at) => (StatusCode::OK, Json(json!({ "number": at + 1 }))),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "error": "no such post" })),
        ),
    }
}
