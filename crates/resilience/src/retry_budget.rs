//! How many retries all calls to one target may make together, so that retries do not multiply
//! the load on a target that fails: a token bucket into which each first call pays a share of a
//! retry (Finagle's `RetryBudget`; gRPC proposal A6, "retry throttling"), and time a small reserve,
//! so that little traffic can retry as well.

use crate::clock::Latest;
use mainstay_contract::Timestamp;
use serde::{Deserialize, Serialize};

/// What a retry costs. A thousandth of a retry, and a retry a second for a millisecond, are both
/// a thousand of these, so that nothing is rounded.
const RETRY: u64 = 1_000_000;

/// How freely is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryBudgetConfig {
    /// How many retries a thousand first calls pay for.
    pub ratio_thousandths: u32,
    /// How many retries a second may be made however few calls there are.
    pub reserve_per_second: u32,
    /// How many retries can be saved up; so many are there at the start.
    pub saved_max: u32,
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self {
            ratio_thousandths: 200,
            reserve_per_second: 10,
            saved_max: 100,
        }
    }
}

/// The retries that are left to one target. In any stretch of time at most `saved_max +
/// reserve_per_second · seconds + ratio · first calls` are made.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    config: RetryBudgetConfig,
    saved: u64,
    latest: Latest,
}

impl RetryBudget {
    /// A budget with all that can be saved.
    #[must_use]
    pub fn new(config: RetryBudgetConfig) -> Self {
        Self {
            config,
            saved: u64::from(config.saved_max) * RETRY,
            latest: Latest::default(),
        }
    }

    /// Tells of a first call, which pays its share.
    pub fn deposit(&mut self, now: Timestamp) {
        self.turn_to(now);
        self.save(u64::from(self.config.ratio_thousandths) * 1_000);
    }

    /// Takes one retry. Says no where none is left: then the failure goes to the caller.
    #[must_use = "without leave there must be no retry"]
    pub fn try_retry(&mut self, now: Timestamp) -> bool {
        self.turn_to(now);
        let left = self.saved.checked_sub(RETRY);
        self.saved = left.unwrap_or(self.saved);
        left.is_some()
    }

    /// How many retries are left.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> u64 {
        let mut then = self.clone();
        then.turn_to(now);
        then.saved / RETRY
    }

    fn turn_to(&mut self, now: Timestamp) {
        let reserve = u128::from(self.config.reserve_per_second) * 1_000;
        let reserve = self.latest.elapsed_ms(now).saturating_mul(reserve);
        self.latest.advance(now);
        self.save(u64::try_from(reserve).unwrap_or(u64::MAX));
    }

    fn save(&mut self, amount: u64) {
        let most = u64::from(self.config.saved_max) * RETRY;
        self.saved = self.saved.saturating_add(amount).min(most);
    }
}
