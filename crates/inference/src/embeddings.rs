//! Vectors of texts, in nobody's dialect.

use crate::{DecodeError, Tokens};
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

impl Embeddings {
    /// Itself, if it is the answer to a request with so many inputs.
    ///
    /// # Errors
    /// There are more or fewer vectors, or one holds nothing or what is no number.
    pub fn of_inputs(self, count: usize) -> Result<Self, DecodeError> {
        let came = self.vectors.len();
        if came != count {
            let message = format!("{came} vectors came where {count} were asked for");
            return Err(DecodeError::Malformed(message));
        }
        let is_broken = |vector: &Vec<f32>| {
            vector.is_empty() || vector.iter().any(|number| !number.is_finite())
        };
        match self.vectors.iter().position(is_broken) {
            Some(place) => Err(DecodeError::Malformed(format!(
                "the vector {place} holds nothing, or what is no number"
            ))),
            None => Ok(self),
        }
    }
}
