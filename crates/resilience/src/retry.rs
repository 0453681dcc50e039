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
    ///
    /// To an advised wait a random part of a quarter of it is added, or of this failure's backoff
    /// where that is less, so that a thousand callers told the same do not all come back at once.
    /// The sum stays within the cap.
    #[must_use]
    pub fn wait(&self, failures: u32, advised: Option<Duration>, random: u32) -> Option<Duration> {
        if failures > self.retries_max {
            return None;
        }
        let cap = Duration::from_millis(self.cap_ms);
        let advised = advised.unwrap_or_default();
        if advised > cap {
            return None;
        }
        let doubled = self
            .base_ms
            .saturating_mul(1u64 << failures.saturating_sub(1).min(32));
        let backoff = Duration::from_millis(doubled).min(cap);
        let spread = advised + share(backoff.min(advised / 4), random);
        Some(share(backoff, random).max(spread).min(cap))
    }

    /// As [`Self::wait`], but gives up where the wait would use up all the time that is left until
    /// the caller's deadline: better to fail at once than after a wait for nothing.
    #[must_use]
    pub fn wait_until(
        &self,
        failures: u32,
        advised: Option<Duration>,
        random: u32,
        deadline_left: Option<Duration>,
    ) -> Option<Duration> {
        let wait = self.wait(failures, advised, random)?;
        deadline_left.is_none_or(|left| wait < left).then_some(wait)
    }
}

/// The part of `bound` that `random` is of its own range, in whole milliseconds.
fn share(bound: Duration, random: u32) -> Duration {
    let ms = bound.as_millis().saturating_mul(u128::from(random)) / u128::from(u32::MAX);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
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

    #[test]
    fn who_is_told_the_same_comes_back_spread_out() {
        let policy = RetryPolicy::default();
        let advised = Some(Duration::from_secs(2));
        let latest = |failures| policy.wait(failures, advised, u32::MAX);
        assert_eq!(latest(1), Some(Duration::from_millis(2_200)));
        assert_eq!(latest(2), Some(Duration::from_millis(2_400)));
        assert_eq!(latest(3), Some(Duration::from_millis(2_500)));
        let short = policy.wait(1, Some(Duration::from_millis(20)), u32::MAX);
        assert_eq!(short, Some(Duration::from_millis(200)));
        let most = policy.wait(1, Some(Duration::from_secs(10)), u32::MAX);
        assert_eq!(most, Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_wait_that_leaves_no_time_is_not_begun() {
        let policy = RetryPolicy::default();
        let wait = |left_ms| {
            let left = Some(Duration::from_millis(left_ms));
            policy.wait_until(1, None, u32::MAX, left)
        };
        assert_eq!(wait(200), None);
        assert_eq!(wait(201), Some(Duration::from_millis(200)));
        let unlimited = policy.wait_until(1, None, u32::MAX, None);
        assert_eq!(unlimited, Some(Duration::from_millis(200)));
    }
}
