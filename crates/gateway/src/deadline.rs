//! The end of a caller's patience.

use crate::gateway::Gateway;
use mainstay_inference::{Ask, InferenceError, Origin, TimeoutPhase};
use std::time::{Duration, Instant};

/// When a caller gives up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    within: Duration,
    limit: Duration,
    phase: TimeoutPhase,
}

impl Deadline {
    /// Until when a request may take; nothing where its caller waits for ever.
    pub(crate) fn of(gateway: &Gateway, ask: &Ask) -> Option<Self> {
        let within = ask.deadline?.since(gateway.now());
        let at = Instant::now() + within;
        Some(Self {
            at,
            within,
            limit: ask.patience.unwrap_or(within),
            phase: ask.late_phase(),
        })
    }

    /// What the caller is told then.
    pub(crate) fn passed(self, model: &str, answering: bool) -> InferenceError {
        InferenceError::Timeout {
            origin: Origin {
                provider: "mainstay".to_owned(),
                model: model.to_owned(),
                answering,
            },
            phase: self.phase,
            after: self.limit,
            elapsed: self.within,
        }
    }
}

/// Ends when the caller's time is over; never where it has no end.
pub(crate) async fn over(deadline: Option<Deadline>) -> Deadline {
    match deadline {
        Some(deadline) => {
            tokio::time::sleep_until(deadline.at.into()).await;
            deadline
        }
        None => std::future::pending().await,
    }
}
