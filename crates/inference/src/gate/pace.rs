//! The limits of a deployment in time: requests and tokens a minute, and the time for which its provider asked
//! to be left alone. Those who wait for them stand in one line, and only its first is woken by time: a
//! thousand who wait cost no more than one.

use super::arrive::{SOME_TIME, our_origin};
use super::deployment::{Deployment, Waits};
use super::flight::Flight;
use super::seek::Freed;
use super::{FailureClass, FlightId, Gate};
use crate::InferenceError;
use mainstay_contract::Timestamp;
use std::time::Duration;

/// What the limits say to a call.
pub(super) enum Pace {
    /// Now.
    Free,
    /// Not now; to be asked again then, or when it is first in line.
    Until(Timestamp),
    /// Not in time.
    Never(InferenceError),
}

impl Gate {
    pub(super) fn pace(
        &self,
        now: Timestamp,
        id: FlightId,
        flight: &Flight,
        at: usize,
        tokens: u64,
    ) -> Pace {
        let deployment = &self.deployments[at];
        let rank = flight.rank(id);
        let has_others_first = deployment.line.first().is_some_and(|first| *first < rank);
        let waits = deployment.wait(now, tokens);
        let wait = waits.longest();
        if wait.is_zero() && !has_others_first {
            return Pace::Free;
        }
        let is_last = deployment.line.last().is_some_and(|last| *last < rank);
        let before = if is_last { deployment.line.len() } else { 0 };
        let wait = wait.max(turns(deployment, waits.requests, before));
        let patience = patience(now, flight, deployment, waits);
        let is_late = flight.is_late(now.after(wait));
        if wait > patience || patience.is_zero() || is_late {
            return Pace::Never(self.limited(flight, at, waits, wait));
        }
        Pace::Until(if has_others_first {
            flight.in_time(now.after(patience))
        } else {
            now.after(wait)
        })
    }

    fn limited(
        &self,
        flight: &Flight,
        at: usize,
        waits: Waits,
        retry_after: Duration,
    ) -> InferenceError {
        let told = match retry_after.is_zero() {
            true => SOME_TIME,
            false => retry_after,
        };
        let longest = waits.longest();
        if !longest.is_zero() && waits.cooling == longest {
            return self.left_alone(at, told);
        }
        let message = match waits.requests == longest {
            true => "the model has used its requests a minute",
            false => "the model has used its tokens a minute",
        };
        InferenceError::RateLimited {
            origin: our_origin(flight),
            retry_after: Some(told),
            message: message.to_owned(),
        }
    }

    /// What is told of a provider that asked to be left alone, as it was told itself.
    fn left_alone(&self, at: usize, wait: Duration) -> InferenceError {
        let origin = self.origin(at);
        let retry_after = Some(wait);
        let message = "it asked to be left alone".to_owned();
        match self.deployments[at].is_overloaded {
            true => InferenceError::Backpressure {
                origin,
                retry_after,
                message,
            },
            false => InferenceError::RateLimited {
                origin,
                retry_after,
                message,
            },
        }
    }

    /// Whoever leaves the head of a line makes another the first.
    pub(super) fn leave_line(&mut self, id: FlightId, flight: &mut Flight) {
        if !std::mem::take(&mut flight.is_in_line) {
            return;
        }
        let at = flight.deployment();
        let line = &mut self.deployments[at].line;
        let rank = flight.rank(id);
        let was_first = line.first() == Some(&rank);
        line.remove(&rank);
        if was_first && !line.is_empty() {
            self.freed.push_back(Freed::Line(at));
        }
    }
}

/// How long a flight may wait yet. A provider that asked to be left alone is waited for as a repetition would
/// be, and not at all where another may answer.
fn patience(now: Timestamp, flight: &Flight, deployment: &Deployment, waits: Waits) -> Duration {
    let waited = now.since(flight.since);
    let limits = deployment.config.limits;
    let has_room = flight.is_in_line || deployment.line.len() < limits.queue;
    let is_cooling = !waits.cooling.is_zero() && waits.cooling >= waits.requests.max(waits.tokens);
    let has_other = flight.next_link(Some(FailureClass::Limited)).is_some();
    let patience = match is_cooling {
        true if flight.ask.is_retried && !has_other => {
            Duration::from_millis(deployment.config.retry.cap_ms)
        }
        false if has_room => limits.queue_timeout,
        _ => Duration::ZERO,
    };
    patience.saturating_sub(waited)
}

/// When it is one's turn to make a request, after so many others.
fn turns(deployment: &Deployment, wait: Duration, others: usize) -> Duration {
    let Some(limit) = deployment.requests.as_ref().filter(|_| !wait.is_zero()) else {
        return Duration::ZERO;
    };
    let others = u64::try_from(others).unwrap_or(u64::MAX);
    let ms = others.saturating_mul(60_000) / limit.rate().per_minute.get();
    wait.saturating_add(Duration::from_millis(ms))
}
