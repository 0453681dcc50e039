//! The routes that official clients speak to.

mod answer;
mod apart;
mod arrival;
mod body;
mod cache;
mod embeddings;
mod headers;
mod models;
mod outside;
mod refusal;
mod room;
mod said;

pub use arrival::Caller;
pub use outside::{lost, turned_away, unserved};
pub use refusal::flow_report;
pub use said::patience;

use crate::Gateway;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use cache::AnswerCache;
use mainstay_inference::Dialect;
use room::Room;
use std::sync::Arc;

/// What every handler works with.
#[derive(Clone)]
struct Shared {
    gateway: Gateway,
    cache: Arc<AnswerCache>,
    room: Arc<Room>,
}

/// A route: its method, its path with parameters in braces, and who answers.
type Route = (Method, &'static str, MethodRouter<Shared>);

fn all() -> Vec<Route> {
    vec![
        (Method::POST, "/v1/chat/completions", post(chat)),
        (Method::POST, "/v1/responses", post(responses)),
        (Method::POST, "/v1/messages", post(messages)),
        (
            Method::POST,
            "/v1/messages/count_tokens",
            post(answer::count_tokens),
        ),
        (Method::POST, "/v1/embeddings", post(embeddings::embeddings)),
        (Method::GET, "/v1/models", get(models::list)),
        // A model's name may hold slashes.
        (Method::GET, "/v1/models/{*model}", get(models::show)),
    ]
}

/// What is answered below `/v1`: methods and paths, with `{model}` for the name of a model.
#[must_use]
pub fn routes() -> Vec<(Method, String)> {
    let named = |(method, path, _): Route| (method, path.replace("{*", "{"));
    all().into_iter().map(named).collect()
}

/// The routes below `/v1`. Who calls is judged before: a [`Caller`] among the extensions of the request, the
/// owner where there is none.
pub fn router<S: Clone + Send + Sync + 'static>(gateway: Gateway) -> Router<S> {
    let cache = Arc::new(AnswerCache::default());
    let router = all()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler)
        });
    router
        .method_not_allowed_fallback(outside::wrong_method)
        .with_state(Shared {
            gateway,
            cache,
            room: Arc::default(),
        })
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

/// Whether a path belongs to these routes, or would without a slash too many.
#[must_use]
pub fn is_below(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    path == "v1" || path.starts_with("v1/")
}

/// The dialect of a route's errors. Where a path does not tell, the caller's headers may.
fn dialect_of(path: &str, headers: &HeaderMap) -> Dialect {
    match path.trim_start_matches('/').trim_end_matches('/') {
        "v1/responses" => Dialect::OpenAiResponses,
        "v1/chat/completions" | "v1/embeddings" => Dialect::OpenAiChat,
        "v1/messages" => Dialect::Anthropic,
        path if path.starts_with("v1/messages/") => Dialect::Anthropic,
        _ if models::is_anthropic(headers) => Dialect::Anthropic,
        _ => Dialect::OpenAiChat,
    }
}
