//! `GET /v1/models`, as OpenAI's clients read it, or Anthropic's, which say which version they speak.

use super::Shared;
use super::answer::{json, known};
use super::arrival::{Caller, request_id};
use super::refusal::refuse;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use mainstay_inference::Dialect;
use serde_json::{Value, json as value};
use std::sync::Arc;

/// Nobody knows when a model was made; clients want a number.
const CREATED: u64 = 0;
const CREATED_AT: &str = "1970-01-01T00:00:00Z";

pub(super) async fn list(State(shared): State<Shared>, request: Request) -> Response {
    let caller = request
        .extensions()
        .get::<Caller>()
        .cloned()
        .unwrap_or_default();
    let settings = shared.gateway.settings();
    let allowed = caller
        .key
        .as_ref()
        .and_then(|key| settings.gate.keys.get(key));
    let allowed = allowed.and_then(|key| key.models.clone());
    let is_allowed = |name: &&Arc<str>| allowed.as_ref().is_none_or(|names| names.contains(name));
    let mut names: Vec<&Arc<str>> = settings.models.keys().filter(is_allowed).collect();
    names.sort_unstable();
    let is_anthropic = is_anthropic(&request);
    let one = |name: &&Arc<str>| model(name, &settings.models[*name].provider, is_anthropic);
    let data: Vec<Value> = names.iter().map(one).collect();
    let body = match is_anthropic {
        true => value!({
            "data": data, "has_more": false,
            "first_id": names.first(), "last_id": names.last(),
        }),
        false => value!({ "object": "list", "data": data }),
    };
    json(body.to_string().into_bytes(), &request_id())
}

pub(super) async fn show(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let is_anthropic = is_anthropic(&request);
    let id = request_id();
    match known(&shared.gateway, &name) {
        Ok(info) => {
            let body = model(&Arc::from(name), &info.provider, is_anthropic);
            json(body.to_string().into_bytes(), &id)
        }
        Err(refusal) => {
            let dialect = if is_anthropic {
                Dialect::Anthropic
            } else {
                Dialect::OpenAiChat
            };
            refuse(dialect, &refusal, &id)
        }
    }
}

fn is_anthropic(request: &Request) -> bool {
    request.headers().contains_key("anthropic-version")
}

fn model(name: &Arc<str>, provider: &str, is_anthropic: bool) -> Value {
    match is_anthropic {
        true => {
            value!({ "type": "model", "id": name, "display_name": name, "created_at": CREATED_AT })
        }
        false => {
            value!({ "id": name, "object": "model", "created": CREATED, "owned_by": provider })
        }
    }
}
