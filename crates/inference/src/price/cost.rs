//! Tokens times prices. Sums are exact in nano-dollars for a million tokens, and rounded up once, at the
//! end, to a nano-dollar.

use super::{ModelPrice, Rates};
use crate::Tokens;
use mainstay_contract::Usd;

const MILLION: u128 = 1_000_000;

/// What a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The amount, rounded up to a nano-dollar.
    pub usd: Usd,
    /// The threshold of the tier that it was priced by; absent for the plain prices.
    pub above_input_tokens: Option<u64>,
}

impl ModelPrice {
    /// What these tokens cost in one request.
    ///
    /// Parts of the input that add up to more than all of it are all paid, and nothing besides.
    #[must_use]
    pub fn cost(&self, tokens: Tokens) -> Cost {
        let above = |tier: &&super::Tier| tokens.input > tier.above_input_tokens;
        let tier = self.tiers.iter().rev().find(above);
        let rates = tier.map_or(&self.rates, |tier| &tier.rates);
        Cost {
            usd: rounded_up(rates.sum(tokens)),
            above_input_tokens: tier.map(|tier| tier.above_input_tokens),
        }
    }

    /// The most that a request can cost that sends and receives no more than so many tokens, for a
    /// reservation: all of them the dearest part there is, in the dearest tier that it can reach.
    #[must_use]
    pub fn worst_case(&self, input_tokens: u64, output_tokens_max: u64) -> Usd {
        self.dearest(input_tokens, output_tokens_max, true)
    }

    /// As [`Self::worst_case`], of a request that neither holds sound nor asks for it.
    #[must_use]
    pub fn worst_case_without_audio(&self, input_tokens: u64, output_tokens_max: u64) -> Usd {
        self.dearest(input_tokens, output_tokens_max, false)
    }

    fn dearest(&self, input: u64, output: u64, may_have_audio: bool) -> Usd {
        let reached = self.tiers.iter();
        let reached = reached.filter(|tier| input > tier.above_input_tokens);
        let rates = reached
            .map(|tier| &tier.rates)
            .chain(std::iter::once(&self.rates));
        let sums = rates.map(|rates| {
            let (sent, received) = rates.dearest(may_have_audio);
            product(sent, input).saturating_add(product(received, output))
        });
        rounded_up(sums.max().unwrap_or_default())
    }
}

impl Rates {
    /// In nano-dollars for a million.
    fn sum(&self, tokens: Tokens) -> u128 {
        let cache_write = self.cache_write.unwrap_or(self.input);
        let parts = [
            (tokens.cache_read, self.cache_read.unwrap_or(self.input)),
            (tokens.cache_write, cache_write),
            (
                tokens.cache_write_hour,
                self.cache_write_hour.unwrap_or(cache_write),
            ),
            (tokens.input_audio, self.input_audio.unwrap_or(self.input)),
        ];
        let paid_apart = parts
            .iter()
            .fold(0_u64, |sum, (count, _)| sum.saturating_add(*count));
        let rest = [
            (tokens.input.saturating_sub(paid_apart), self.input),
            (
                tokens.output.saturating_sub(tokens.output_audio),
                self.output,
            ),
            (
                tokens.output_audio,
                self.output_audio.unwrap_or(self.output),
            ),
        ];
        let all = parts.iter().chain(&rest);
        all.fold(0, |sum, &(count, price)| {
            sum.saturating_add(product(price, count))
        })
    }

    /// The dearest price of a token sent, and of one received.
    fn dearest(&self, may_have_audio: bool) -> (Usd, Usd) {
        let audio = |price: Option<Usd>| price.filter(|_| may_have_audio);
        let sent = [
            self.cache_read,
            self.cache_write,
            self.cache_write_hour,
            audio(self.input_audio),
        ];
        let sent = sent.into_iter().flatten().fold(self.input, Usd::max);
        let received = audio(self.output_audio).map_or(self.output, |price| price.max(self.output));
        (sent, received)
    }
}

fn product(price: Usd, tokens: u64) -> u128 {
    u128::from(price.nanos()) * u128::from(tokens)
}

/// From nano-dollars for a million to nano-dollars; more than fits is the most that fits.
fn rounded_up(sum: u128) -> Usd {
    Usd::from_nanos(u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
