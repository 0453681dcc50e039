//! Vectors from a provider.

use super::HttpProvider;
use mainstay_inference::{EmbeddingRequest, Embeddings, InferenceError};
use std::sync::Arc;

pub(super) async fn embed(
    provider: Arc<HttpProvider>,
    _request: Arc<EmbeddingRequest>,
) -> Result<Embeddings, InferenceError> {
    Err(InferenceError::Unsupported {
        origin: provider.origin(false),
        param: "input".to_owned(),
        message: String::new(),
    })
}
