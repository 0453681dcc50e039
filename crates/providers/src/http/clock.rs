//! The four limits of one call, and which of them runs out first.

use super::Timeouts;
use mainstay_inference::TimeoutPhase;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Stands in for a limit too far away to be represented.
const FAR: Duration = Duration::from_hours(24 * 365);

/// An alarm that is so late says that the node itself stood still: its process was stopped, its machine paused. That is
/// not the provider's silence.
const STOOD_STILL: Duration = Duration::from_millis(250);

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
        let (mut deadline, phase, after) = if total.0 <= piece.0 { total } else { piece };
        let mut work = std::pin::pin!(work);
        loop {
            if let Ok(done) = tokio::time::timeout_at(deadline, &mut work).await {
                return Ok(done);
            }
            let late = Instant::now().saturating_duration_since(deadline);
            if late < STOOD_STILL {
                return Err(Expired { phase, after });
            }
            // What came meanwhile has not been looked at yet.
            deadline = Instant::now() + late.min(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    const IDLE: Duration = Duration::from_secs(15);

    fn clock() -> CallClock {
        let mut clock = CallClock::start(Timeouts {
            idle: IDLE,
            ..Timeouts::default()
        });
        clock.note_token();
        clock
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_the_node_stood_still_is_heard() {
        let (sender, piece) = oneshot::channel();
        let waiting = tokio::spawn(async move { clock().limit(piece).await.is_ok() });
        tokio::task::yield_now().await;
        tokio::time::advance(IDLE + Duration::from_secs(2)).await;
        tokio::task::yield_now().await;
        sender.send(()).unwrap();
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_that_is_silence() {
        let began = Instant::now();
        let silence = std::future::pending::<()>();
        let waiting = tokio::spawn(async move { clock().limit(silence).await.is_err() });
        tokio::task::yield_now().await;
        tokio::time::advance(IDLE + Duration::from_secs(2)).await;
        assert!(waiting.await.unwrap());
        let took = began.elapsed();
        assert!(took >= IDLE + Duration::from_secs(4), "{took:?}");
        assert!(took < IDLE + Duration::from_secs(5), "{took:?}");
    }
}
