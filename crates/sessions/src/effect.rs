//! What the machine asks the shell to do. Data, so that a replay can compare and skip it.

use crate::EffectClass;
use mainstay_contract::{Digest, StepId, TurnId};

/// Work for the shell. Each ends in exactly one [`crate::Input`] that names the same step or turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open the private view of the workspace, at a committed state or fresh from the folder.
    OpenWorkspace {
        /// For this turn.
        turn: TurnId,
        /// The configuration snapshot.
        config: Digest,
        /// The committed state to roll back to; `None` for a session that has no view yet.
        at: Option<Digest>,
    },
    /// Ask the model for its next answer.
    CallModel {
        /// The turn.
        turn: TurnId,
        /// The step.
        step: StepId,
        /// The configuration snapshot.
        config: Digest,
        /// The conversation, oldest first, as digests of stored messages.
        messages: Vec<Digest>,
        /// How many calls of this step failed before.
        attempt: u32,
    },
    /// Run one tool.
    RunTool {
        /// The turn.
        turn: TurnId,
        /// The step.
        step: StepId,
        /// The configuration snapshot.
        config: Digest,
        /// The stored assistant message that holds the call.
        message: Digest,
        /// Which of its calls.
        call: String,
        /// The class under which it runs.
        class: EffectClass,
        /// The idempotency key, equal for every repetition of this step.
        key: String,
    },
    /// Ask whether a call whose outcome is unknown took effect.
    ProbeTool {
        /// The turn.
        turn: TurnId,
        /// The step.
        step: StepId,
        /// The configuration snapshot.
        config: Digest,
        /// The stored assistant message that holds the call.
        message: Digest,
        /// Which of its calls.
        call: String,
        /// The key under which the call was made.
        key: String,
    },
    /// Stop whatever runs for this turn; its input still comes.
    Abort {
        /// The turn.
        turn: TurnId,
    },
}
