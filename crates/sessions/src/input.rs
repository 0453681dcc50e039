//! What the machine is told: commands of callers and outcomes of effects.

use crate::{CallRef, ToolStatus, TurnConfig, WorkspaceMode};
use mainstay_contract::{Digest, ErrorReport, Seq, StepId, TurnId, Usage};
use serde::{Deserialize, Serialize};

/// What to do with a turn that finds its session busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    /// Refuse it, before any model is called.
    #[default]
    Reject,
    /// Run it after those before it.
    Queue,
    /// Cancel the running turn, then run it.
    Interrupt,
    /// Hand its input to the running turn at its next step.
    Steer,
}

/// A turn asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct StartTurn {
    /// Its id, unique on the node. A repeat with equal content is answered, not run again.
    pub turn: TurnId,
    /// The digest of the stored configuration snapshot.
    pub config_digest: Digest,
    /// The snapshot itself.
    pub config: TurnConfig,
    /// The digest of the stored user message.
    pub input: Digest,
    /// What to do if the session is busy.
    pub on_busy: OnBusy,
}

/// An operator's word on a step in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It took effect; this is its result (a stored tool message).
    Result(Digest),
    /// It did not; run it again.
    Retry,
    /// Treat it as failed and tell the model so (a stored tool message).
    Fail(Digest),
}

/// How a model call ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelOutcome {
    /// The whole answer.
    Answered {
        /// The stored assistant message.
        message: Digest,
        /// The tools it calls, in emission order.
        calls: Vec<CallRef>,
        /// What it used.
        usage: Usage,
    },
    /// A failure; the report's retry advice decides what follows.
    Failed(Box<ErrorReport>),
    /// It was stopped on request.
    Aborted,
}

/// How a tool run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutcome {
    /// It has a result for the model, good or bad.
    Finished {
        /// How it ended.
        status: ToolStatus,
        /// The stored tool message.
        result: Digest,
        /// The committed state of the workspace, where it changed.
        workspace: Option<Digest>,
    },
    /// It could not be run for reasons that are not the agent's; nothing took effect.
    Failed(Box<ErrorReport>),
    /// It was sent to the outside and nobody knows whether it arrived.
    Unknown(Box<ErrorReport>),
    /// It was stopped on request; the view was rolled back. For `once` tools prefer `Unknown`.
    Aborted,
}

/// What a probe learned.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeOutcome {
    /// The call took effect; this is its result (a stored tool message).
    Applied(Digest),
    /// It did not.
    Absent,
    /// The probe could not tell.
    Unknown(Box<ErrorReport>),
}

/// Everything the machine handles.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A caller wants a turn.
    StartTurn(Box<StartTurn>),
    /// A caller wants a turn to end, whatever it is doing.
    Cancel {
        /// The turn; `None` for whichever runs.
        turn: Option<TurnId>,
    },
    /// An operator resolves a step in doubt, or releases a quarantined turn with `Retry`.
    Resolve {
        /// The step.
        step: StepId,
        /// The word.
        resolution: Resolution,
    },
    /// The node stops in good order. Nothing but [`Session::resume`](crate::Session::resume) follows.
    Suspend,
    /// The view is open.
    WorkspaceOpened {
        /// The turn.
        turn: TurnId,
        /// The committed state it shows.
        state: Digest,
        /// How it is kept private.
        mode: WorkspaceMode,
    },
    /// The view cannot be opened.
    WorkspaceFailed {
        /// The turn.
        turn: TurnId,
        /// Why.
        error: Box<ErrorReport>,
    },
    /// A model call ended.
    Model {
        /// The step.
        step: StepId,
        /// How.
        outcome: ModelOutcome,
    },
    /// A tool run ended.
    Tool {
        /// The step.
        step: StepId,
        /// How.
        outcome: ToolOutcome,
    },
    /// A probe ended.
    Probe {
        /// The step.
        step: StepId,
        /// How.
        outcome: ProbeOutcome,
    },
}

/// What a caller is told once the records are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The turn was accepted now.
    Accepted {
        /// Where its acceptance stands on the tape.
        seq: Seq,
        /// Whether it waits behind another turn.
        is_queued: bool,
    },
    /// The same turn was accepted before; nothing new happens.
    Known,
    /// Its input was handed to the running turn.
    Steered {
        /// The turn that takes it.
        into: TurnId,
    },
    /// Done, or nothing to do.
    Done,
}

/// Why a command is refused. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Another turn runs, is parked, or waits.
    #[error("the session is busy with turn {holder}")]
    Busy {
        /// Which.
        holder: TurnId,
        /// Whether it waits for an operator, so that waiting for it helps nobody.
        is_parked: bool,
    },
    /// The turn id was used for something else.
    #[error("turn {turn} was accepted before with a different {what}")]
    Conflict {
        /// The turn.
        turn: TurnId,
        /// What differs: `input` or `agent`.
        what: &'static str,
    },
    /// There is no such turn.
    #[error("there is no turn {turn} in this session")]
    UnknownTurn {
        /// The turn.
        turn: TurnId,
    },
    /// There is no such step.
    #[error("there is no step {step} in this session")]
    UnknownStep {
        /// The step.
        step: StepId,
    },
    /// The step is not waiting for a word.
    #[error("step {step} is not in doubt")]
    NotInDoubt {
        /// The step.
        step: StepId,
    },
}
