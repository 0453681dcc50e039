//! Vectors from a provider.

use super::call::{bad_response, send};
use super::endpoint::Aim;
use super::{HttpProvider, Service};
use mainstay_inference::{
    EmbeddingInput, EmbeddingRequest, Embeddings, InferenceError, ResponseProblem, read_embeddings,
    write_embedding_request,
};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn embed(
    provider: Arc<HttpProvider>,
    request: Arc<EmbeddingRequest>,
) -> Result<Embeddings, InferenceError> {
    let model = &provider.settings.model;
    let body = match provider.settings.service {
        Service::OpenAi | Service::OpenAiCompatible | Service::AzureOpenAi { .. } => {
            write_embedding_request(&request, model).body
        }
        Service::Gemini => gemini_request(&provider, &request)?,
        Service::Anthropic => {
            let message = "Anthropic makes no vectors";
            return Err(unsupported(&provider, "model", message));
        }
    };
    let mut sent = send(&provider, Aim::Embeddings, body, &[], false).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = sent.next_bytes(&provider).await? {
        sent.clock.note_token();
        whole.extend_from_slice(&bytes);
    }
    let malformed = |message: String| {
        let said = sent.keyed.cleaner.clean(&message);
        bad_response(&provider, true, ResponseProblem::Malformed, said)
    };
    let made = match provider.settings.service {
        Service::Gemini => {
            gemini_answer(&whole, model).map_err(|error| malformed(error.to_string()))?
        }
        _ => read_embeddings(&whole).map_err(|error| malformed(error.to_string()))?,
    };
    let made = made.of_inputs(request.inputs.len());
    made.map_err(|error| malformed(error.to_string()))
}

fn unsupported(provider: &HttpProvider, param: &str, message: &str) -> InferenceError {
    InferenceError::Unsupported {
        origin: provider.origin(false),
        param: param.to_owned(),
        message: message.to_owned(),
    }
}

fn gemini_request(
    provider: &HttpProvider,
    request: &EmbeddingRequest,
) -> Result<Vec<u8>, InferenceError> {
    let model = format!("models/{}", provider.settings.model);
    let one = |input: &EmbeddingInput| match input {
        EmbeddingInput::Text(text) => {
            let mut one = json!({ "model": model, "content": { "parts": [{ "text": text }] } });
            if let Some(dimensions) = request.dimensions {
                one["outputDimensionality"] = dimensions.into();
            }
            Ok(one)
        }
        EmbeddingInput::Tokens(_) => {
            let message = "Gemini takes texts, not tokens";
            Err(unsupported(provider, "input", message))
        }
    };
    let requests: Result<Vec<_>, _> = request.inputs.iter().map(one).collect();
    Ok(json!({ "requests": requests? }).to_string().into_bytes())
}

#[derive(Deserialize)]
struct GeminiAnswer {
    embeddings: Vec<GeminiVector>,
}

#[derive(Deserialize)]
struct GeminiVector {
    values: Vec<f32>,
}

/// Gemini does not count what vectors cost.
fn gemini_answer(body: &[u8], model: &str) -> serde_json::Result<Embeddings> {
    let answer: GeminiAnswer = serde_json::from_slice(body)?;
    Ok(Embeddings {
        model: model.to_owned(),
        vectors: answer
            .embeddings
            .into_iter()
            .map(|vector| vector.values)
            .collect(),
        tokens: None,
    })
}
