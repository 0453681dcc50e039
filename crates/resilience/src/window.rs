//! How calls went of late, counted in slices of time: however many there are, little is kept.

use crate::Outcome;
use mainstay_contract::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// A window has so many slices; by one of them at most a call is forgotten early.
const SLICES: u32 = 30;

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    successes: u64,
    failures: u64,
}

/// The calls that ended of late.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Each from the first call in it on, the oldest first.
    slices: VecDeque<(Timestamp, Counts)>,
    /// How many failed since the last success.
    failures_in_a_row: u64,
    succeeded_at: Option<Timestamp>,
}

impl Window {
    /// Counts a call that ended, and forgets those that ended `length` ago or earlier.
    pub(crate) fn record(&mut self, now: Timestamp, length: Duration, outcome: Outcome) {
        self.set_back(now);
        while let Some((since, _)) = self.slices.front()
            && now.since(*since) >= length
        {
            self.slices.pop_front();
        }
        let slice = length / SLICES;
        let fits = |(since, _): &(Timestamp, Counts)| now.since(*since) < slice;
        if !self.slices.back().is_some_and(fits) {
            self.slices.push_back((now, Counts::default()));
        }
        if let Some((_, counts)) = self.slices.back_mut() {
            match outcome {
                Outcome::Success => {
                    counts.successes += 1;
                    self.failures_in_a_row = 0;
                    self.succeeded_at = Some(now);
                }
                Outcome::Failure => {
                    counts.failures += 1;
                    self.failures_in_a_row += 1;
                }
                Outcome::Neutral => {}
            }
        }
    }

    /// Whether so many calls failed, and of all so many percent; or all of late. Asked when a call was
    /// recorded at this moment.
    pub(crate) fn is_bad(
        &self,
        now: Timestamp,
        length: Duration,
        failures: u32,
        percent: u32,
    ) -> bool {
        let all = self.counts();
        let is_share = all.failures.saturating_mul(100)
            >= (all.failures + all.successes).saturating_mul(u64::from(percent));
        let is_quiet = self
            .succeeded_at
            .is_none_or(|at| now.since(at) >= length / SLICES);
        let is_down = is_quiet && self.failures_in_a_row >= u64::from(failures);
        all.failures >= u64::from(failures) && (is_share || is_down)
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in &self.slices {
            sum.successes += counts.successes;
            sum.failures += counts.failures;
        }
        sum
    }

    /// A clock that was set back must not make anything count for longer than a window from now.
    fn set_back(&mut self, now: Timestamp) {
        if self.slices.back().is_some_and(|(since, _)| *since > now) {
            let all = self.counts();
            self.slices.clear();
            self.slices.push_back((now, all));
        }
        self.succeeded_at = self.succeeded_at.map(|at| now.min(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn little_is_kept_whatever_the_clock_does(steps in proptest::collection::vec((any::<bool>(), 0..100u64), 1..500)) {
            let mut window = Window::default();
            let mut now = 1_000_000_u64;
            for (is_set_back, ms) in steps {
                now = if is_set_back && ms < 5 { now - 10 * ms } else { now + ms };
                window.record(Timestamp(now), Duration::from_secs(1), Outcome::Failure);
                prop_assert!(window.slices.len() <= 31);
                prop_assert!(window.slices.iter().all(|(since, _)| now - since.0 < 1_000));
            }
        }
    }
}
