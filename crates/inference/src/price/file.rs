//! The table's file: the builtin one, and a user's own of the same shape.

use super::table::PriceTableError;
use super::{ModelKind, ModelPrice, Rates, Tier};
use mainstay_contract::Usd;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

/// All of it. Nothing that is not known here is accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The day on which the prices held.
    #[serde(default)]
    pub(super) as_of: Option<String>,
    /// Provider to model to price.
    pub(super) models: BTreeMap<String, BTreeMap<String, Entry>>,
}

/// One model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Further names.
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    #[serde(default)]
    kind: Kind,
    /// Has to be said of what costs nothing, so that no forgotten price passes for it.
    #[serde(default)]
    free: bool,
    #[serde(default)]
    context_window: Option<NonZeroU64>,
    #[serde(default)]
    output_tokens_max: Option<NonZeroU64>,
    price: Prices,
    #[serde(default)]
    tiers: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Chat,
    Embedding,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    input: Usd,
    #[serde(default)]
    output: Option<Usd>,
    #[serde(default)]
    cache_read: Option<Usd>,
    #[serde(default)]
    cache_write: Option<Usd>,
    #[serde(default)]
    cache_write_hour: Option<Usd>,
    #[serde(default)]
    input_audio: Option<Usd>,
    #[serde(default)]
    output_audio: Option<Usd>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    above_input_tokens: NonZeroU64,
    price: Prices,
}

impl File {
    pub(super) fn read(text: &str) -> Result<Self, PriceTableError> {
        serde_json::from_str(text).map_err(|error| PriceTableError::Malformed(error.to_string()))
    }
}

impl Entry {
    /// The price, if it makes sense.
    pub(super) fn price(&self, provider: &str, model: &str) -> Result<ModelPrice, PriceTableError> {
        let name = || format!("{provider}/{model}");
        let prices = self.tiers.iter().map(|step| &step.price);
        for price in prices.chain([&self.price]) {
            let costs = price.all().any(|part| part != Usd::ZERO);
            let lacks_one = price.input == Usd::ZERO
                || self.kind == Kind::Chat && price.output.unwrap_or_default() == Usd::ZERO
                || price.all().any(|part| part == Usd::ZERO);
            if self.free && costs || !self.free && lacks_one {
                return Err(PriceTableError::Zero(name()));
            }
            if self.kind == Kind::Embedding && price.output.is_some() {
                return Err(PriceTableError::Output(name()));
            }
        }
        let thresholds = self.tiers.iter().map(|step| step.above_input_tokens);
        if !thresholds.is_sorted_by(|one, next| one < next) {
            return Err(PriceTableError::Order(name()));
        }
        Ok(ModelPrice {
            kind: match self.kind {
                Kind::Chat => ModelKind::Chat,
                Kind::Embedding => ModelKind::Embedding,
            },
            context_window: self.context_window.map(NonZeroU64::get),
            output_tokens_max: self.output_tokens_max.map(NonZeroU64::get),
            rates: self.price.rates(),
            tiers: self.tiers.iter().map(Step::tier).collect(),
        })
    }
}

impl Step {
    fn tier(&self) -> Tier {
        Tier {
            above_input_tokens: self.above_input_tokens.get(),
            rates: self.price.rates(),
        }
    }
}

impl Prices {
    /// Those that are stated.
    fn all(&self) -> impl Iterator<Item = Usd> {
        let optional = [
            Some(self.input),
            self.output,
            self.cache_read,
            self.cache_write,
            self.cache_write_hour,
            self.input_audio,
            self.output_audio,
        ];
        optional.into_iter().flatten()
    }

    fn rates(&self) -> Rates {
        Rates {
            input: self.input,
            output: self.output.unwrap_or_default(),
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_hour: self.cache_write_hour,
            input_audio: self.input_audio,
            output_audio: self.output_audio,
        }
    }
}
