//! When to try again. Exponential backoff with full jitter ("Exponential Backoff And Jitter",
//! AWS Architecture Blog, 2015), with what the other side advised as the floor.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often and how patiently a failed call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The most repetitions after the first call.
    pub retries_max: u32,
    /// The upper bound of the first wait, in milliseconds; doubled each time.
    pub base_ms: u64,
    /// The upper bound of every wait, in milliseconds.
    pub cap_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries_max: 3,
            base_ms: 200,
            cap_ms: 10_000,
        }
    }
}

impl RetryPolicy {
    /// How long to wait before the next call, after `failures` of them (from 1), or `None` where the
    /// policy gives up. `advised` is the other side's Retry-After: never undercut, and a wait longer
    /// than the cap is not waited at all. `random` lies in `0..=u32::MAX`.
    #[must_use]
    pub fn wait(&self, failures: u32, advised: Option<Duration>, random: u32) -> Option<Duration> {
        if failures > self.retries_max {
            return None;
        }
        let cap = Duration::from_millis(self.cap_ms);
        if advised.is_some_and(|advised| advised > cap) {
            return None;
        }
        let doubled = self
            .base_ms
            .saturating_mul(1u64 << failures.saturating_sub(1).min(32));
        let bound = doubled.min(self.cap_ms);
        let jittered = u128::from(bound) * u128::from(random) / u128::from(u32::MAX);
        let jittered = Duration::from_millis(u64::try_from(jittered).unwrap_or(self.cap_ms));
        Some(jittered.max(advised.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_end() {
        let policy = RetryPolicy {
            retries_max: 4,
            base_ms: 100,
            cap_ms: 500,
        };
        let waits: Vec<_> = (1..=5).map(|n| policy.wait(n, None, u32::MAX)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(100), ms(200), ms(400), ms(500), None]);
    }

    #[test]
    fn advice_is_a_floor_and_never_outlasts_the_cap() {
        let policy = RetryPolicy::default();
        assert_eq!(
            policy.wait(1, Some(Duration::from_secs(2)), 0),
            Some(Duration::from_secs(2))
        );
        assert_eq!(policy.wait(1, Some(Duration::from_secs(3600)), 0), None);
    }
}
