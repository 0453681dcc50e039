//! How many requests or tokens pass in a minute: the generic cell rate algorithm (ITU-T I.371,
//! annex A) in its leaky-bucket form.
//!
//! The bucket holds `burst` and refills at `per_minute`, evenly. Hence in any stretch of time `w`
//! at most `burst + per_minute · w` is admitted: no edge of a minute exists at which twice the rate
//! could pass. What is given back counts as if it had not been taken.

use crate::clock::Latest;
use mainstay_contract::Timestamp;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::time::Duration;

/// What one request or token weighs. The bucket leaks `per_minute` of these in a millisecond, so
/// that every rate is a whole number and nothing is ever rounded away.
const WEIGHT: u128 = 60_000;

/// How fast, and how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// What is admitted in the long run, a minute.
    pub per_minute: NonZeroU64,
    /// What may pass at once after a pause.
    pub burst: NonZeroU64,
}

impl Rate {
    /// A rate with the usual burst: a minute's allotment. Whoever was told sixty a minute may send
    /// sixty at once after a pause; from then on the bucket refills evenly, never all at the edge of
    /// a minute.
    #[must_use]
    pub fn per_minute(per_minute: NonZeroU64) -> Self {
        let burst = per_minute;
        Self { per_minute, burst }
    }

    fn room(self) -> u128 {
        u128::from(self.burst.get()) * WEIGHT
    }
}

/// Not now, but after this long, if nobody else comes first. Whole milliseconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit admits this in {} ms", .after.as_millis())]
pub struct Wait {
    /// How long.
    pub after: Duration,
}

/// A limit and how much of it is in use. Starts with the whole burst free.
///
/// An amount above the burst is not impossible: it is admitted when the whole burst is free, and
/// leaves a debt that delays what comes later. An amount of zero is always admitted.
#[derive(Debug, Clone)]
pub struct RateLimit {
    rate: Rate,
    /// What has been taken and has not yet leaked away, in weights; above the room it is debt.
    held: u128,
    latest: Latest,
}

impl RateLimit {
    /// A limit of which nothing is in use.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            held: 0,
            latest: Latest::default(),
        }
    }

    /// Takes `amount`.
    ///
    /// # Errors
    /// How long to wait where there is no room; then nothing is taken.
    pub fn try_take(&mut self, now: Timestamp, amount: u64) -> Result<(), Wait> {
        self.leak(now);
        self.admits(self.held, amount)?;
        self.charge(amount);
        Ok(())
    }

    /// Whether [`Self::try_take`] would succeed; takes nothing.
    ///
    /// # Errors
    /// How long to wait where there is no room.
    pub fn check(&self, now: Timestamp, amount: u64) -> Result<(), Wait> {
        self.admits(self.held_at(now), amount)
    }

    /// Returns what was taken and not used. What has leaked away meanwhile is not returned twice.
    pub fn give_back(&mut self, now: Timestamp, amount: u64) {
        self.leak(now);
        self.held = self.held.saturating_sub(u128::from(amount) * WEIGHT);
    }

    /// Corrects an amount taken in advance to what was used in the end: less is given back, more
    /// is charged now, if need be as debt.
    pub fn settle(&mut self, now: Timestamp, reserved: u64, used: u64) {
        if used > reserved {
            self.leak(now);
            self.charge(used - reserved);
        } else {
            self.give_back(now, reserved - used);
        }
    }

    /// What could be taken at this moment without debt.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> u64 {
        let free = self.rate.room().saturating_sub(self.held_at(now));
        u64::try_from(free / WEIGHT).unwrap_or(u64::MAX)
    }

    /// How long until the whole burst is free, if nothing is taken meanwhile.
    #[must_use]
    pub fn full_after(&self, now: Timestamp) -> Duration {
        self.time_to_leak(self.held_at(now))
    }

    /// The rate.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Another rate from now on. What is in use stays in use.
    pub fn set_rate(&mut self, now: Timestamp, rate: Rate) {
        self.leak(now);
        self.rate = rate;
    }

    fn admits(&self, held: u128, amount: u64) -> Result<(), Wait> {
        if amount == 0 {
            return Ok(());
        }
        let needed = u128::from(amount.min(self.rate.burst.get())) * WEIGHT;
        let excess = held.saturating_sub(self.rate.room() - needed);
        if excess == 0 {
            return Ok(());
        }
        Err(Wait {
            after: self.time_to_leak(excess),
        })
    }

    fn charge(&mut self, amount: u64) {
        self.held = self.held.saturating_add(u128::from(amount) * WEIGHT);
    }

    fn leak(&mut self, now: Timestamp) {
        self.held = self.held_at(now);
        self.latest.advance(now);
    }

    fn held_at(&self, now: Timestamp) -> u128 {
        let leaked = self.latest.elapsed_ms(now) * u128::from(self.rate.per_minute.get());
        self.held.saturating_sub(leaked)
    }

    fn time_to_leak(&self, weight: u128) -> Duration {
        let ms = weight.div_ceil(u128::from(self.rate.per_minute.get()));
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_minute: u64, burst: u64) -> Rate {
        Rate {
            per_minute: NonZeroU64::new(per_minute).unwrap(),
            burst: NonZeroU64::new(burst).unwrap(),
        }
    }

    fn wait(ms: u64) -> Result<(), Wait> {
        let after = Duration::from_millis(ms);
        Err(Wait { after })
    }

    #[test]
    fn the_whole_rate_is_usable_at_once_and_then_evenly() {
        let mut limit = RateLimit::new(Rate::per_minute(NonZeroU64::new(60).unwrap()));
        let admitted = |limit: &mut RateLimit, from, to| {
            let tries = (from..to).step_by(10);
            let is_admitted = |ms: &u64| limit.try_take(Timestamp(*ms), 1).is_ok();
            tries.filter(is_admitted).count()
        };
        assert_eq!(admitted(&mut limit, 0, 60_000), 60 + 59);
        assert_eq!(admitted(&mut limit, 60_000, 660_000), 600);
    }

    #[test]
    fn more_than_the_burst_waits_for_all_of_it_and_leaves_debt() {
        let mut limit = RateLimit::new(rate(60, 10));
        let now = Timestamp(1_000_000);
        assert_eq!(limit.try_take(now, 1), Ok(()));
        assert_eq!(limit.try_take(now, 25), wait(1000));
        let now = Timestamp(1_001_000);
        assert_eq!(limit.try_take(now, 25), Ok(()));
        assert_eq!(limit.left(now), 0);
        assert_eq!(limit.check(now, 1), wait(16_000));
        assert_eq!(limit.check(now, 0), Ok(()));
        assert_eq!(limit.full_after(now), Duration::from_secs(25));
    }

    #[test]
    fn a_clock_set_back_does_not_freeze_the_limit() {
        let mut limit = RateLimit::new(rate(60, 1));
        assert_eq!(limit.try_take(Timestamp(10_000_000), 1), Ok(()));
        assert_eq!(limit.try_take(Timestamp(5_000_000), 1), wait(1000));
        assert_eq!(limit.try_take(Timestamp(5_001_000), 1), Ok(()));
    }
}
