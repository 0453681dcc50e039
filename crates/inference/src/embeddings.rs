//! Vectors for texts.

use crate::Tokens;

/// A request for vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingRequest {
    /// The model, as the caller named it.
    pub model: String,
    /// What to make vectors of.
    pub inputs: Vec<EmbeddingInput>,
    /// How many dimensions they shall have; the model's own where absent.
    pub dimensions: Option<u64>,
    /// Whether the caller wants numbers packed as base64.
    pub is_packed: bool,
    /// Whom it is for.
    pub user: Option<String>,
}

/// Something to make a vector of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// Text.
    Text(String),
    /// The model's own tokens.
    Tokens(Vec<u64>),
}

/// Vectors, in the order of the inputs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embeddings {
    /// The model that made them.
    pub model: String,
    /// The vectors.
    pub vectors: Vec<Vec<f32>>,
    /// What was counted.
    pub tokens: Tokens,
}
