//! Usage. The wire tells input apart from what went through the prompt cache; the neutral total is the sum.

use crate::Tokens;
use serde::{Deserialize, Serialize};

/// Usage as the wire tells it. In streams every field may be absent, and stays as it was.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl Usage {
    /// What is told later replaces what was told before: the counts are cumulative.
    pub(super) const fn merge(&mut self, later: Self) {
        const fn or(later: Option<u64>, before: Option<u64>) -> Option<u64> {
            match later {
                Some(_) => later,
                None => before,
            }
        }
        self.input_tokens = or(later.input_tokens, self.input_tokens);
        self.output_tokens = or(later.output_tokens, self.output_tokens);
        self.cache_creation_input_tokens = or(
            later.cache_creation_input_tokens,
            self.cache_creation_input_tokens,
        );
        self.cache_read_input_tokens =
            or(later.cache_read_input_tokens, self.cache_read_input_tokens);
        if later.cache_creation.is_some() {
            self.cache_creation = later.cache_creation;
        }
        if later.output_tokens_details.is_some() {
            self.output_tokens_details = later.output_tokens_details;
        }
    }

    /// The neutral form; nothing where nothing was counted.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let cache_read = self.cache_read_input_tokens.unwrap_or(0);
        let split = self.cache_creation.unwrap_or_default();
        let hour = split.ephemeral_1h_input_tokens.unwrap_or(0);
        let minutes = split.ephemeral_5m_input_tokens.unwrap_or(0);
        let sum = || minutes.saturating_add(hour);
        let written = self.cache_creation_input_tokens.unwrap_or_else(sum);
        // A stream may repeat the sum without its parts; the hour's part is then at most the sum.
        let cache_write_hour = hour.min(written);
        let input = self.input_tokens.unwrap_or(0);
        Some(Tokens {
            input: input.saturating_add(cache_read).saturating_add(written),
            cache_read,
            cache_write: written - cache_write_hour,
            cache_write_hour,
            output: self.output_tokens.unwrap_or(0),
            reasoning: self
                .output_tokens_details
                .and_then(|details| details.thinking_tokens)
                .unwrap_or(0),
            ..Tokens::default()
        })
    }
}

/// Usage to be written.
#[derive(Serialize)]
pub(super) struct Written {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
}

impl Written {
    pub(super) fn of(tokens: Tokens) -> Self {
        let written = tokens.cache_write.saturating_add(tokens.cache_write_hour);
        let cached = written.saturating_add(tokens.cache_read);
        Self {
            input_tokens: tokens.input.saturating_sub(cached),
            cache_creation_input_tokens: written,
            cache_read_input_tokens: tokens.cache_read,
            cache_creation: (written > 0).then_some(CacheCreation {
                ephemeral_5m_input_tokens: Some(tokens.cache_write),
                ephemeral_1h_input_tokens: Some(tokens.cache_write_hour),
            }),
            output_tokens: tokens.output,
            output_tokens_details: (tokens.reasoning > 0).then_some(OutputDetails {
                thinking_tokens: Some(tokens.reasoning),
            }),
        }
    }
}
