//! The routes that official clients speak to.

mod answer;
mod arrival;
mod body;
mod cache;
mod embeddings;
mod models;
mod refusal;

pub use arrival::Caller;
pub use refusal::{flow_report, unauthorized};

use crate::Gateway;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use cache::AnswerCache;
use mainstay_inference::Dialect;
use std::sync::Arc;

/// What every handler works with.
#[derive(Clone)]
struct Shared {
    gateway: Gateway,
    cache: Arc<AnswerCache>,
}

/// The routes below `/v1`. Who calls is judged before: a [`Caller`] among the extensions of the request, the
/// owner where there is none.
pub fn router<S: Clone + Send + Sync + 'static>(gateway: Gateway) -> Router<S> {
    let cache = Arc::new(AnswerCache::default());
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/responses", post(responses))
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(answer::count_tokens))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::show))
        .method_not_allowed_fallback(refusal::wrong_method)
        .with_state(Shared { gateway, cache })
}

async fn chat(State(shared): State<Shared>, request: Request) -> Response {
    answer::answer(shared, Dialect::OpenAiChat, request).await
}

async fn responses(State(shared): State<Shared>, request: Request) -> Response {
    answer::answer(shared, Dialect::OpenAiResponses, request).await
}

async fn messages(State(shared): State<Shared>, request: Request) -> Response {
    answer::answer(shared, Dialect::Anthropic, request).await
}

/// The dialect of a route's errors.
fn dialect_of(path: &str) -> Dialect {
    match path {
        "/v1/responses" => Dialect::OpenAiResponses,
        path if path.starts_with("/v1/messages") => Dialect::Anthropic,
        _ => Dialect::OpenAiChat,
    }
}
