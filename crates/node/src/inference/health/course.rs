//! How a server is doing, by the answers that it gave. Nothing here waits or asks.

use mainstay_contract::Timestamp;
use mainstay_manifest::HealthCheck;
use serde::Serialize;

/// How a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It has not answered well yet, and may take its time.
    Starting,
    /// It takes requests.
    Ready,
    /// It takes none.
    Failed,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthFailure {
    /// When.
    pub at: Timestamp,
    /// A word for it: `status`, `timeout`, `unreachable` or `key`.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

/// How a server is doing, since when, and what the last failure was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthStatus {
    /// How it is doing.
    pub state: HealthState,
    /// Since when.
    pub since: Timestamp,
    /// When it was asked last; absent where it was not yet.
    pub checked_at: Option<Timestamp>,
    /// How many checks in a row failed, the last ones.
    pub failures: u32,
    /// The last that failed, also where others were well since.
    pub last_failure: Option<HealthFailure>,
}

/// The course of one server's health.
#[derive(Debug, Clone)]
pub(super) struct Course {
    check: HealthCheck,
    began: Timestamp,
    /// Failures in a row that count.
    counted: u32,
    status: HealthStatus,
}

impl Course {
    /// Of a server that was not asked yet.
    pub(super) const fn new(now: Timestamp, check: HealthCheck) -> Self {
        Self {
            check,
            began: now,
            counted: 0,
            status: HealthStatus {
                state: HealthState::Starting,
                since: now,
                checked_at: None,
                failures: 0,
                last_failure: None,
            },
        }
    }

    /// The same server, asked in another way from now on.
    pub(super) fn asked_by(self, check: HealthCheck) -> Self {
        Self { check, ..self }
    }

    /// Takes in how a check ended.
    pub(super) fn take(&mut self, now: Timestamp, outcome: Result<(), HealthFailure>) {
        self.status.checked_at = Some(now);
        let Err(failure) = outcome else {
            (self.status.failures, self.counted) = (0, 0);
            self.turn(now, HealthState::Ready);
            return;
        };
        self.status.failures = self.status.failures.saturating_add(1);
        self.status.last_failure = Some(failure);
        let is_starting = self.status.state == HealthState::Starting
            && now.since(self.began) < self.check.start_period;
        if is_starting {
            return;
        }
        self.counted = self.counted.saturating_add(1);
        if self.counted >= self.check.retries {
            self.turn(now, HealthState::Failed);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.status.state == HealthState::Ready
    }

    pub(super) const fn status(&self) -> &HealthStatus {
        &self.status
    }

    fn turn(&mut self, now: Timestamp, state: HealthState) {
        if self.status.state != state {
            (self.status.state, self.status.since) = (state, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(retries: u32, start_period: u64) -> HealthCheck {
        HealthCheck {
            url: "http://h/health".to_owned(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            retries,
            start_period: Duration::from_secs(start_period),
        }
    }

    const GOOD: Result<(), &str> = Ok(());
    const BAD: Result<(), &str> = Err("no");

    /// The states after each of these checks, made every 5 seconds from the first moment on.
    fn states(course: &mut Course, from: u64, outcomes: &[Result<(), &str>]) -> String {
        let state = |(at, outcome): (usize, &Result<(), &str>)| {
            let now = Timestamp(from + at as u64 * 5_000);
            let failed = |message: &str| HealthFailure {
                at: now,
                reason: "status",
                message: message.to_owned(),
            };
            course.take(now, outcome.map_err(failed));
            match course.status().state {
                HealthState::Starting => 's',
                HealthState::Ready => 'r',
                HealthState::Failed => 'f',
            }
        };
        outcomes.iter().enumerate().map(state).collect()
    }

    #[test]
    fn it_is_not_ready_before_its_first_success() {
        let mut course = Course::new(Timestamp(0), check(3, 60));
        assert!(!course.is_ready());
        assert_eq!(states(&mut course, 0, &[BAD, BAD, BAD, BAD, GOOD]), "ssssr");
        assert!(course.is_ready());
        let status = course.status();
        assert_eq!((status.since, status.failures), (Timestamp(20_000), 0));
        let failure = status.last_failure.as_ref().map(|failure| failure.at);
        assert_eq!(failure, Some(Timestamp(15_000)));
    }

    #[test]
    fn failures_count_once_the_time_to_start_is_over() {
        // At 0, 5, …, 20 s; the first that counts is the one at 10 s.
        let mut course = Course::new(Timestamp(0), check(3, 10));
        assert_eq!(states(&mut course, 0, &[BAD; 6]), "ssssff");
        assert_eq!(course.status().since, Timestamp(20_000));
        assert_eq!(course.status().failures, 6);
    }

    #[test]
    fn the_first_success_ends_the_time_to_start() {
        let mut course = Course::new(Timestamp(0), check(2, 3600));
        assert_eq!(states(&mut course, 0, &[GOOD, BAD, BAD]), "rrf");
    }

    #[test]
    fn only_failures_in_a_row_take_it_out_and_one_success_puts_it_back() {
        let mut course = Course::new(Timestamp(0), check(3, 60));
        let outcomes = [GOOD, BAD, BAD, GOOD, BAD, BAD, BAD, BAD, GOOD, BAD];
        assert_eq!(states(&mut course, 0, &outcomes), "rrrrrrffrr");
        let mut hasty = Course::new(Timestamp(0), check(1, 60));
        assert_eq!(states(&mut hasty, 0, &[GOOD, BAD, GOOD]), "rfr");
    }

    #[test]
    fn another_way_of_asking_forgets_nothing() {
        let mut course = Course::new(Timestamp(0), check(3, 60));
        assert_eq!(states(&mut course, 0, &[GOOD, BAD]), "rr");
        let mut course = course.asked_by(check(2, 60));
        assert!(course.is_ready());
        assert_eq!(states(&mut course, 10_000, &[BAD]), "f");
    }
}
