//! Tokens, as providers count them.

use serde::{Deserialize, Serialize};

/// The tokens of one call. `input` and `output` are totals: the others are parts of them, because
/// providers price them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Everything sent, cached or not.
    pub input: u64,
    /// Of `input`: read from the provider's prompt cache.
    #[serde(default)]
    pub cache_read: u64,
    /// Of `input`: written into the cache for minutes (the provider's shorter time).
    #[serde(default)]
    pub cache_write: u64,
    /// Of `input`: written into the cache for an hour.
    #[serde(default)]
    pub cache_write_hour: u64,
    /// Of `input`: sound.
    #[serde(default)]
    pub input_audio: u64,
    /// Everything received, thoughts included.
    pub output: u64,
    /// Of `output`: thoughts.
    #[serde(default)]
    pub reasoning: u64,
    /// Of `output`: sound.
    #[serde(default)]
    pub output_audio: u64,
}

impl Tokens {
    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_hour: self.cache_write_hour.saturating_add(other.cache_write_hour),
            input_audio: self.input_audio.saturating_add(other.input_audio),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            output_audio: self.output_audio.saturating_add(other.output_audio),
        }
    }

    /// Sent and received.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
