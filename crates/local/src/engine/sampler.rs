//! Choosing the next token.

use super::grammar::Constraint;
use crate::error::LocalError;
use crate::request::Sampling;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
    /// How often each token occurred in the answer.
    counts: HashMap<u32, u32>,
}

impl Sampler {
    pub(super) fn new(sampling: &Sampling) -> Self {
        let seed = sampling.seed.unwrap_or_else(accidental);
        Self {
            sampling: sampling.clone(),
            random: ChaCha8Rng::seed_from_u64(seed),
            counts: HashMap::new(),
        }
    }

    /// Chooses a token; none where the constraint allows none.
    ///
    /// # Errors
    /// Where the constraint fails.
    pub(super) fn choose(
        &mut self,
        logits: &mut [f32],
        constraint: Option<&mut Constraint>,
    ) -> Result<Option<u32>, LocalError> {
        self.adjust(logits);
        if let Some(constraint) = constraint {
            constraint.restrict(logits)?;
        }
        let chosen = if self.sampling.temperature <= 0.0 {
            likeliest(logits)
        } else {
            self.draw(logits)
        };
        if let Some(token) = chosen {
            *self.counts.entry(token).or_default() += 1;
        }
        Ok(chosen)
    }

    fn adjust(&self, logits: &mut [f32]) {
        let Sampling {
            frequency_penalty,
            presence_penalty,
            ..
        } = self.sampling;
        let at = |token: u32| usize::try_from(token).unwrap_or(usize::MAX);
        if frequency_penalty != 0.0 || presence_penalty != 0.0 {
            for (token, count) in &self.counts {
                if let Some(logit) = logits.get_mut(at(*token)) {
                    #[expect(clippy::cast_precision_loss, reason = "answers are short")]
                    let count = *count as f32;
                    *logit -= frequency_penalty * count + presence_penalty;
                }
            }
        }
        for (token, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(at(*token)) {
                *logit += bias;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if most == f32::NEG_INFINITY {
            return None;
        }
        let temperature = self.sampling.temperature;
        let weigh = |(token, logit): (u32, &f32)| (((logit - most) / temperature).exp(), token);
        // What is e⁻³⁰ times less likely than the likeliest token will not come up.
        let floor = most - 30.0 * temperature;
        let considered = (0..).zip(logits).filter(|(_, logit)| **logit >= floor);
        let mut weights: Vec<(f32, u32)> = considered.map(weigh).collect();
        if self.sampling.top_k.is_some() || self.sampling.top_p < 1.0 {
            weights
                .sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
            self.cut(&mut weights);
        }
        let sum: f32 = weights.iter().map(|(weight, _)| weight).sum();
        let mut left = self.fraction() * sum;
        for (weight, token) in &weights {
            left -= weight;
            if left < 0.0 {
                return Some(*token);
            }
        }
        weights.first().map(|(_, token)| *token)
    }

    /// Leaves only the tokens that are considered, of which there is always one.
    fn cut(&self, weights: &mut Vec<(f32, u32)>) {
        if let Some(count) = self.sampling.top_k {
            weights.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        }
        let sum: f32 = weights.iter().map(|(weight, _)| weight).sum();
        let enough = self.sampling.top_p * sum;
        let mut reached = 0.0;
        let before = weights.iter().take_while(|(weight, _)| {
            let is_before = reached < enough;
            reached += weight;
            is_before
        });
        let count = before.count().max(1);
        weights.truncate(count);
    }

    /// A number from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
    fn fraction(&mut self) -> f32 {
        (self.random.next_u32() >> 8) as f32 / (1 << 24) as f32
    }
}

/// The likeliest token, and the first of equally likely ones.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most == f32::NEG_INFINITY {
        return None;
    }
    let at = logits.iter().position(|logit| *logit >= most)?;
    u32::try_from(at).ok()
}

/// A seed that nobody chose. It need not be secret.
fn accidental() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sampling: &Sampling, logits: &[f32]) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..200)
            .map(|_| sampler.choose(&mut logits.to_vec(), None).unwrap().unwrap())
            .collect()
    }

    #[test]
    fn the_likeliest_token_is_taken_where_nothing_is_left_to_chance() {
        let greedy = Sampling {
            temperature: 0.0,
            ..Sampling::default()
        };
        assert_eq!(drawn(&greedy, &[0.0, 2.0, 2.0, 1.0])[0], 1);
        let nothing = [f32::NEG_INFINITY; 3];
        let chosen = Sampler::new(&greedy).choose(&mut nothing.to_vec(), None);
        assert_eq!(chosen.unwrap(), None);
    }

    #[test]
    fn a_seed_makes_chance_repeatable() {
        let seeded = |seed| Sampling {
            seed: Some(seed),
            ..Sampling::default()
        };
        let logits = [1.0, 0.5, 0.0, 0.2];
        assert_eq!(drawn(&seeded(7), &logits), drawn(&seeded(7), &logits));
        assert_ne!(drawn(&seeded(7), &logits), drawn(&seeded(8), &logits));
        let mut all = drawn(&seeded(7), &logits);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, [0, 1, 2, 3]);
    }

    #[test]
    fn only_what_is_considered_is_drawn() {
        let logits = [1.0, 0.9, -1.0, -2.0];
        let two = Sampling {
            top_k: Some(2),
            seed: Some(1),
            ..Sampling::default()
        };
        assert!(drawn(&two, &logits).iter().all(|token| *token < 2));
        let most = Sampling {
            top_p: 0.3,
            seed: Some(1),
            ..Sampling::default()
        };
        assert!(drawn(&most, &logits).iter().all(|token| *token == 0));
    }

    #[test]
    fn penalties_and_biases_count() {
        let penalised = Sampling {
            temperature: 0.0,
            frequency_penalty: 1.5,
            ..Sampling::default()
        };
        assert_eq!(drawn(&penalised, &[2.0, 1.0])[..4], [0, 1, 0, 1]);
        let biased = Sampling {
            temperature: 0.0,
            logit_bias: [(1, 100.0)].into(),
            ..Sampling::default()
        };
        assert_eq!(drawn(&biased, &[2.0, 1.0])[0], 1);
    }
}
