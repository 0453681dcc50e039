//! `POST /v1/embeddings`.

use super::Shared;
use super::answer::{insert, json, known};
use super::arrival::Arrival;
use super::refusal::{COST, Refusal, refuse};
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::response::Response;
use mainstay_inference::{Ask, Dialect, EmbeddingInput, EmbeddingRequest, estimate_text};
use std::sync::Arc;

const MODEL: HeaderName = HeaderName::from_static("x-mainstay-model");

pub(super) async fn embeddings(State(shared): State<Shared>, request: Request) -> Response {
    let arrival = match Arrival::read(Dialect::OpenAiChat, request).await {
        Ok(arrival) => arrival,
        Err(response) => return *response,
    };
    let refused = |refusal: &Refusal| refuse(Dialect::OpenAiChat, refusal, &arrival.request_id);
    let request = match mainstay_inference::read_embedding_request(&arrival.body) {
        Ok(request) => request,
        Err(error) => return refused(&Refusal::invalid(error.message, error.param)),
    };
    let model = match known(&shared.gateway, &arrival.caller, &request.model) {
        Ok(model) => model,
        Err(refusal) => return refused(&refusal),
    };
    let (deadline, patience) = arrival.deadline(shared.gateway.now(), model.total);
    let ask = Ask {
        model: Arc::from(request.model.as_str()),
        spender: arrival.spender(),
        input_tokens: request.inputs.iter().map(tokens).sum(),
        output_tokens_max: Some(0),
        has_audio: false,
        priority: arrival.caller.priority,
        deadline,
        patience,
        is_retried: true,
        random: arrival.random,
    };
    let request: Arc<EmbeddingRequest> = Arc::new(request);
    match shared.gateway.embed(ask, Arc::clone(&request)).await {
        Ok((embeddings, success)) => {
            let body = mainstay_inference::write_embeddings(&embeddings, request.encoding);
            let mut response = json(body, &arrival.request_id);
            insert(&mut response, MODEL, &success.deployment);
            insert(&mut response, COST, &success.usd.to_string());
            response
        }
        Err(error) => refused(&Refusal::of_flow(&error, &request.model)),
    }
}

fn tokens(input: &EmbeddingInput) -> u64 {
    match input {
        EmbeddingInput::Text(text) => estimate_text(text),
        EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
    }
}
