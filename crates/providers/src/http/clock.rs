//! The four limits of one call, and which of them runs out first.

use super::Timeouts;
use mainstay_inference::TimeoutPhase;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Stands in for a limit too far away to be represented.
const FAR: Duration = Duration::from_hours(24 * 365);

/// A limit that ran out.
pub(super) struct Expired {
    pub(super) phase: TimeoutPhase,
    pub(super) after: Duration,
}

/// Watches one call.
pub(super) struct CallClock {
    started: Instant,
    timeouts: Timeouts,
    has_token: bool,
}

impl CallClock {
    pub(super) fn start(timeouts: Timeouts) -> Self {
        Self {
            started: Instant::now(),
            timeouts,
            has_token: false,
        }
    }

    /// The first piece came: from now on silence counts.
    pub(super) const fn note_token(&mut self) {
        self.has_token = true;
    }

    pub(super) const fn has_token(&self) -> bool {
        self.has_token
    }

    /// How long the call has taken so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for work within the limits.
    pub(super) async fn limit<T>(&self, work: impl Future<Output = T>) -> Result<T, Expired> {
        let at = |from: Instant, after: Duration| from + after.min(FAR);
        let total = (
            at(self.started, self.timeouts.total),
            TimeoutPhase::Total,
            self.timeouts.total,
        );
        let piece = if self.has_token {
            (
                at(Instant::now(), self.timeouts.idle),
                TimeoutPhase::Idle,
                self.timeouts.idle,
            )
        } else {
            let after = self.timeouts.first_token;
            (at(self.started, after), TimeoutPhase::FirstToken, after)
        };
        let (deadline, phase, after) = if total.0 <= piece.0 { total } else { piece };
        let waited = tokio::time::timeout_at(deadline, work).await;
        waited.map_err(|_| Expired { phase, after })
    }
}
