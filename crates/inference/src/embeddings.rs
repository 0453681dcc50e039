//! Vectors of texts, in nobody's dialect.

use crate::Tokens;
use serde_json::{Map, Value};

/// One request for vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingRequest {
    /// The model, as the caller named it.
    pub model: String,
    /// What is to become vectors; at least one.
    pub inputs: Vec<EmbeddingInput>,
    /// How many numbers a vector has, for models that can shorten theirs.
    pub dimensions: Option<u64>,
    /// Whom the vectors are for, as the caller's own id.
    pub user: Option<String>,
    /// How the numbers travel.
    pub encoding: EmbeddingEncoding,
    /// Fields that are not known here; they are sent on as they are.
    pub extra: Map<String, Value>,
}

/// What is to become a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// Text.
    Text(String),
    /// Text as the model's own tokens.
    Tokens(Vec<u32>),
}

/// How the numbers of vectors travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmbeddingEncoding {
    /// As JSON numbers.
    #[default]
    Float,
    /// As base64 of 32-bit floats, little end first: the official Python client asks for it by default.
    Base64,
}

/// The vectors, in the order of the inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// The model that made them, as the provider calls it.
    pub model: String,
    /// One for every input.
    pub vectors: Vec<Vec<f32>>,
    /// What the provider counted; absent where it counted nothing.
    pub tokens: Option<Tokens>,
}
