//! `GET /v1/models`, as OpenAI's clients read it, or Anthropic's, which say which version they speak.

use super::Shared;
use super::answer::{json, unknown, usable};
use super::arrival::Caller;
use super::refusal::refuse;
use crate::request_id::request_id;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use mainstay_inference::Dialect;
use serde_json::{Value, json as value};

/// Nobody knows when a model was made; clients want a number.
const CREATED: u64 = 0;
const CREATED_AT: &str = "1970-01-01T00:00:00Z";

pub(super) async fn list(State(shared): State<Shared>, request: Request) -> Response {
    let settings = shared.gateway.settings();
    let names = usable(&settings, &caller(&request));
    let is_anthropic = is_anthropic(request.headers());
    let one = |name: &&str| model(name, &settings.models[*name].provider, is_anthropic);
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
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let is_anthropic = is_anthropic(request.headers());
    let (id, caller) = (request_id(), caller(&request));
    // What is no UTF-8 is no name, and is told as it was written.
    let written = || request.uri().path().trim_start_matches("/v1/models/");
    let name = name.map_or_else(|_| written().to_owned(), |Path(name)| name);
    let settings = shared.gateway.settings();
    if usable(&settings, &caller).contains(&name.as_str()) {
        let provider = &settings.models[name.as_str()].provider;
        let body = model(&name, provider, is_anthropic);
        return json(body.to_string().into_bytes(), &id);
    }
    let dialect = match is_anthropic {
        true => Dialect::Anthropic,
        false => Dialect::OpenAiChat,
    };
    refuse(dialect, &unknown(&settings, &caller, &name), &id)
}

fn caller(request: &Request) -> Caller {
    let caller = request.extensions().get::<Caller>();
    caller.cloned().unwrap_or_default()
}

/// Whether a caller is a client of Anthropic's.
pub(super) fn is_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

fn model(name: &str, provider: &str, is_anthropic: bool) -> Value {
    match is_anthropic {
        true => {
            value!({ "type": "model", "id": name, "display_name": name, "created_at": CREATED_AT })
        }
        false => {
            value!({ "id": name, "object": "model", "created": CREATED, "owned_by": provider })
        }
    }
}
