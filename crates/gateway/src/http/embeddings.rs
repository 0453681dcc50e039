//! `POST /v1/embeddings`.

use super::answer::{insert, json, known};
use super::arrival::Arrival;
use super::headers::{COST, MODEL};
use super::refusal::{Refusal, refuse};
use super::{Shared, apart};
use crate::embed::Named;
use axum::extract::{Request, State};
use axum::response::Response;
use mainstay_inference::{Ask, Dialect, EmbeddingInput, EmbeddingRequest, estimate_text};
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn embeddings(State(shared): State<Shared>, request: Request) -> Response {
    let arrival = match Arrival::read(&shared.room, Dialect::OpenAiChat, request).await {
        Ok(arrival) => arrival,
        Err(response) => return *response,
    };
    answer(&shared, &arrival)
        .await
        .unwrap_or_else(|refusal| refuse(Dialect::OpenAiChat, &refusal, &arrival.request_id))
}

async fn answer(shared: &Shared, arrival: &Arrival) -> Result<Response, Box<Refusal>> {
    let (request, input_tokens) = read(arrival).await?;
    let model = known(&shared.gateway, &arrival.caller, &request.model)?;
    let (deadline, patience) = arrival.deadline(shared.gateway.now(), model.total, false);
    let ask = Ask {
        model: Arc::from(request.model.as_str()),
        spender: arrival.spender(),
        session_budget: None,
        input_tokens,
        output_tokens_max: Some(0),
        has_audio: false,
        priority: arrival.caller.priority,
        deadline,
        patience,
        is_retried: true,
        random: arrival.random,
    };
    let request: Arc<EmbeddingRequest> = Arc::new(request);
    let named = Named {
        request_id: &arrival.request_id,
        parent: arrival.text("traceparent"),
    };
    let made = shared.gateway.embed(ask, Arc::clone(&request), named);
    let made = made.await;
    let (embeddings, success) = made.map_err(|error| {
        let log = shared.gateway.log();
        log.request(&arrival.request_id, &request.model, &error);
        Refusal::of_flow(&error, &request.model)
    })?;
    let body = mainstay_inference::write_embeddings(&embeddings, request.encoding);
    let mut response = json(body, &arrival.request_id);
    insert(&mut response, MODEL, &success.deployment);
    insert(&mut response, COST, &success.usd.to_string());
    Ok(response)
}

/// The request, and how many tokens it is likely to be.
async fn read(arrival: &Arrival) -> Result<(EmbeddingRequest, u64), Box<Refusal>> {
    let body = arrival.body.clone();
    let reading = move || {
        let request = mainstay_inference::read_embedding_request(&body)?;
        let inputs: u64 = request.inputs.iter().map(tokens).sum();
        // Nobody knows what a provider makes of these.
        let extra = match request.extra.is_empty() {
            true => 0,
            false => estimate_text(&Value::Object(request.extra.clone()).to_string()),
        };
        Ok((request, inputs.saturating_add(extra)))
    };
    let read = apart::read(arrival.body.len(), reading).await;
    let read = read.map_err(|report| Refusal::of(&report))?;
    Ok(read.map_err(Refusal::unread)?)
}

fn tokens(input: &EmbeddingInput) -> u64 {
    match input {
        EmbeddingInput::Text(text) => estimate_text(text),
        EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
    }
}
