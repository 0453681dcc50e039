//! Counted tokens.

use crate::Tokens;
use serde::{Deserialize, Serialize};

/// `usage`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    input_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens: u64,
    output_tokens_details: Option<OutputDetails>,
    total_tokens: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.input,
            input_tokens_details: Some(InputDetails {
                cached_tokens: Some(tokens.cache_read),
                cache_write_tokens: Some(
                    tokens.cache_write.saturating_add(tokens.cache_write_hour),
                ),
            }),
            output_tokens: tokens.output,
            output_tokens_details: Some(OutputDetails {
                reasoning_tokens: Some(tokens.reasoning),
            }),
            total_tokens: tokens.total(),
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let input = usage.input_tokens_details.unwrap_or_default();
        let output = usage.output_tokens_details.unwrap_or_default();
        Self {
            input: usage.input_tokens,
            cache_read: input.cached_tokens.unwrap_or_default(),
            cache_write: input.cache_write_tokens.unwrap_or_default(),
            output: usage.output_tokens,
            reasoning: output.reasoning_tokens.unwrap_or_default(),
            ..Self::default()
        }
    }
}
