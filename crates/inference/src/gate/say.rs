//! What the gate is told, and what it asks for.

use super::{Ask, AttemptId, FlightId, GateError, LedgerEntry};
use crate::{InferenceError, Tokens};
use mainstay_contract::Usd;
use std::sync::Arc;
use std::time::Duration;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A caller asks.
    Asked {
        /// A new id, by [`super::Gate::next_id`].
        flight: FlightId,
        /// What is asked for.
        ask: Ask,
    },
    /// The first content of an attempt came. Only where the flight has no other that was first does the
    /// caller get it: [`Effect::Cancel`] says otherwise.
    Content {
        /// The attempt.
        attempt: AttemptId,
    },
    /// An attempt ended.
    Ended {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        outcome: Outcome,
    },
    /// The caller left. Its calls are dropped by whoever made them.
    Left {
        /// The flight.
        flight: FlightId,
        /// What came for it so far, and what was sent for that. Where no content came, what was sent is
        /// paid for by the estimate.
        came: Tokens,
    },
    /// The caller's time is over: the flight ends with this failure. Its calls are dropped as if it had left.
    Expired {
        /// The flight.
        flight: FlightId,
        /// As for [`Input::Left`].
        came: Tokens,
        /// What the caller is told.
        error: InferenceError,
    },
    /// A deployment began or ceased to be ready: a local worker, a server, a service that it needs.
    Ready {
        /// The deployment.
        deployment: Arc<str>,
        /// Whether it is.
        is_ready: bool,
        /// How long until that may change, where known: callers are told to come back then.
        retry_after: Option<Duration>,
        /// Why it is not ready, for callers; empty where that is not known.
        reason: String,
    },
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a whole answer.
    Answered {
        /// What was counted; absent where the provider counted nothing, and nothing can be estimated: then what
        /// was reserved counts as used.
        tokens: Option<Tokens>,
    },
    /// With a failure.
    Failed {
        /// Which.
        error: InferenceError,
        /// What came before it, and is paid for. Where nothing was counted and the question may have been
        /// billed, it is paid for by the estimate.
        tokens: Tokens,
    },
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Write this down before anything that follows.
    Record(LedgerEntry),
    /// Call a deployment.
    Call {
        /// The attempt, which names the flight.
        attempt: AttemptId,
        /// The deployment.
        deployment: Arc<str>,
        /// How many calls of the flight failed before, wherever.
        failures: u32,
        /// What the caller should know when the answer begins.
        warnings: Vec<String>,
    },
    /// Drop a call: another was faster.
    Cancel {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The flight is over.
    Finish {
        /// The flight.
        flight: FlightId,
        /// How it ended.
        ending: Ending,
    },
}

/// How a flight ended.
pub type Ending = Result<Success, Box<GateError>>;

/// A flight that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// Who answered.
    pub deployment: Arc<str>,
    /// How many attempts it took.
    pub attempts: u32,
    /// What all of them cost.
    pub usd: Usd,
    /// What was counted for the answer.
    pub tokens: Tokens,
    /// Budgets that are used up and only warn.
    pub warnings: Vec<String>,
}
