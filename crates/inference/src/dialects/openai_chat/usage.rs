//! Counted tokens.

use crate::Tokens;
use serde::{Deserialize, Serialize};

/// `usage`, as providers send it: details are absent where nothing was counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
    #[serde(default)]
    audio_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
    #[serde(default)]
    audio_tokens: Option<u64>,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            prompt_tokens: Some(tokens.input),
            completion_tokens: Some(tokens.output),
            total_tokens: Some(tokens.total()),
            prompt_tokens_details: Some(PromptDetails {
                cached_tokens: Some(tokens.cache_read),
                cache_write_tokens: Some(
                    tokens.cache_write.saturating_add(tokens.cache_write_hour),
                ),
                audio_tokens: Some(tokens.input_audio),
            }),
            completion_tokens_details: Some(CompletionDetails {
                reasoning_tokens: Some(tokens.reasoning),
                audio_tokens: Some(tokens.output_audio),
            }),
        }
    }
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        let prompt = usage.prompt_tokens_details.unwrap_or_default();
        let completion = usage.completion_tokens_details.unwrap_or_default();
        let input = usage.prompt_tokens.unwrap_or_default();
        // Servers that count the sum alone exist; what is not of the prompt was answered.
        let output = usage.completion_tokens.unwrap_or_else(|| {
            usage
                .total_tokens
                .map_or(0, |total| total.saturating_sub(input))
        });
        Self {
            input,
            cache_read: prompt.cached_tokens.unwrap_or_default(),
            cache_write: prompt.cache_write_tokens.unwrap_or_default(),
            cache_write_hour: 0,
            input_audio: prompt.audio_tokens.unwrap_or_default(),
            output,
            reasoning: completion.reasoning_tokens.unwrap_or_default(),
            output_audio: completion.audio_tokens.unwrap_or_default(),
        }
    }
}
