//! What models cost, and how much fits into them: data with a date, and exact arithmetic.
//!
//! `models.json` lies beside this file and is written by `cargo xtask prices`; `docs/prices.md` says where
//! its figures come from.

mod cost;
mod file;
mod host;
mod table;

pub use cost::Cost;
pub use host::provider_of_host;
pub use table::{PriceTable, PriceTableError};

use mainstay_contract::Usd;

/// What one model costs, and how much fits into it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelPrice {
    /// What it is for.
    pub kind: ModelKind,
    /// The most tokens of a prompt. Where a provider names one window for the prompt and the answer
    /// together, that window.
    pub context_window: Option<u64>,
    /// The most tokens of an answer.
    pub output_tokens_max: Option<u64>,
    /// The prices of a request whose prompt is not longer than the first tier's threshold.
    pub rates: Rates,
    /// The prices of longer prompts, by ascending threshold.
    pub tiers: Vec<Tier>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModelKind {
    /// Answers.
    #[default]
    Chat,
    /// Embeddings: no tokens come out.
    Embedding,
}

/// Prices of a million tokens. What has no price of its own costs as the part it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Tokens sent.
    pub input: Usd,
    /// Tokens received, thoughts among them.
    pub output: Usd,
    /// Tokens read from the provider's cache; else as `input`.
    pub cache_read: Option<Usd>,
    /// Tokens written into it for minutes; else as `input`.
    pub cache_write: Option<Usd>,
    /// Tokens written into it for an hour; else as `cache_write`.
    pub cache_write_hour: Option<Usd>,
    /// Sound sent; else as `input`.
    pub input_audio: Option<Usd>,
    /// Sound received; else as `output`.
    pub output_audio: Option<Usd>,
}

/// Other prices for long prompts. They hold for the whole request, not for what exceeds the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The prompt has more tokens than this.
    pub above_input_tokens: u64,
    /// All its prices: none is taken over from below.
    pub rates: Rates,
}

impl ModelPrice {
    /// A model with two prices and nothing else known, as a manifest states it.
    #[must_use]
    pub fn flat(input: Usd, output: Usd) -> Self {
        let rates = Rates {
            input,
            output,
            ..Rates::default()
        };
        Self {
            rates,
            ..Self::default()
        }
    }
}
