//! What was decided, in the past tense. The journal is the truth, and the event tape is its reading.
//!
//! The serialised names are a durable format: add, never rename.

use crate::{EffectClass, OnBusy, Resolution, TurnConfig};
use mainstay_contract::{
    Code, Digest, ErrorReport, Seq, Spent, StepId, Timestamp, TurnId, Usage, Usd,
};
use serde::{Deserialize, Serialize};

/// One line of a session's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its place, from 1, without gaps.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// What was decided.
    #[serde(flatten)]
    pub kind: RecordKind,
}

/// A tool call inside a stored assistant message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRef {
    /// The provider's call id.
    pub id: String,
    /// The tool's name.
    pub name: String,
}

/// How a tool run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It ran and has a result.
    Succeeded,
    /// It ended badly; the model is told, and the turn goes on.
    Failed(Code),
    /// The turn was cancelled or ended before it could finish.
    Cancelled,
}

/// How a workspace is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceMode {
    /// A copy-on-write overlay over the folder.
    Overlay,
    /// A full copy of the folder, where the host has no overlay.
    Copy,
}

/// Everything that can be decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum RecordKind {
    /// The turn will run, whatever happens.
    TurnAccepted {
        /// The stored snapshot.
        config: Digest,
        /// The stored user message.
        input: Digest,
        /// How it was asked for.
        on_busy: OnBusy,
    },
    /// The turn left the queue.
    TurnStarted {},
    /// The node stops in good order; the turn goes on when a node takes it up again.
    TurnSuspended {},
    /// A node took the turn up again.
    TurnResumed {
        /// How many crashes without progress this makes.
        attempt: u32,
    },
    /// The private view is open.
    WorkspaceOpened {
        /// The committed state it shows.
        state: Digest,
        /// How it is kept private.
        mode: WorkspaceMode,
    },
    /// An input was handed to the running turn.
    InputSteered {
        /// The turn the caller had asked for.
        from: TurnId,
        /// The stored user message.
        input: Digest,
    },
    /// A model call failed and will be repeated.
    ModelCallFailed {
        /// The step.
        step: StepId,
        /// Calls of this step that failed so far, this one included.
        attempt: u32,
        /// Why.
        error: Box<ErrorReport>,
        /// When it will be repeated.
        retry_at: Timestamp,
    },
    /// The model answered.
    ModelAnswered {
        /// The step.
        step: StepId,
        /// The stored assistant message.
        message: Digest,
        /// The tools it calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<CallRef>,
        /// What it used.
        usage: Usage,
        /// What it cost.
        cost: Usd,
    },
    /// A tool that must not be repeated is about to run.
    ToolIntended {
        /// The step.
        step: StepId,
        /// The provider's call id.
        call: String,
        /// The class under which it runs.
        class: EffectClass,
    },
    /// Nobody knows whether the tool took effect; the turn is parked.
    ToolInDoubt {
        /// The step.
        step: StepId,
        /// Why it is unknown, and what a probe said.
        error: Box<ErrorReport>,
    },
    /// Somebody said what became of a tool in doubt.
    ToolResolved {
        /// The step.
        step: StepId,
        /// What was said.
        resolution: Resolution,
        /// Whether a probe said it rather than an operator.
        by_probe: bool,
    },
    /// A tool call has its result.
    ToolCompleted {
        /// The step.
        step: StepId,
        /// The provider's call id.
        call: String,
        /// How it ended.
        status: ToolStatus,
        /// The stored tool message.
        result: Digest,
        /// The committed state of the workspace, where it changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workspace: Option<Digest>,
    },
    /// Somebody asked the turn to end.
    CancelRequested {},
    /// The turn ended well.
    TurnCompleted {
        /// The stored last assistant message.
        message: Digest,
        /// What it cost.
        spent: Spent,
    },
    /// The turn ended badly.
    TurnFailed {
        /// Why; what it cost is in it.
        error: Box<ErrorReport>,
    },
    /// The turn ended on request.
    TurnCancelled {
        /// What it cost.
        spent: Spent,
    },
    /// The turn is set aside after starts without progress; an operator can release it.
    TurnQuarantined {
        /// Why; what it cost is in it.
        error: Box<ErrorReport>,
    },
    /// An operator released a quarantined turn.
    TurnReleased {},
}

impl RecordKind {
    /// The name under which the kind is stored and told.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TurnAccepted { .. } => "turn_accepted",
            Self::TurnStarted {} => "turn_started",
            Self::TurnSuspended {} => "turn_suspended",
            Self::TurnResumed { .. } => "turn_resumed",
            Self::WorkspaceOpened { .. } => "workspace_opened",
            Self::InputSteered { .. } => "input_steered",
            Self::ModelCallFailed { .. } => "model_call_failed",
            Self::ModelAnswered { .. } => "model_answered",
            Self::ToolIntended { .. } => "tool_intended",
            Self::ToolInDoubt { .. } => "tool_in_doubt",
            Self::ToolResolved { .. } => "tool_resolved",
            Self::ToolCompleted { .. } => "tool_completed",
            Self::CancelRequested {} => "cancel_requested",
            Self::TurnCompleted { .. } => "turn_completed",
            Self::TurnFailed { .. } => "turn_failed",
            Self::TurnCancelled { .. } => "turn_cancelled",
            Self::TurnQuarantined { .. } => "turn_quarantined",
            Self::TurnReleased {} => "turn_released",
        }
    }
}

/// A journal that does not follow from its own beginning.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// A place is missing or repeated.
    #[error("record {found:?} stands where {expected:?} belongs")]
    Sequence {
        /// The place that comes next.
        expected: Seq,
        /// The place found.
        found: Seq,
    },
    /// The record cannot follow what came before.
    #[error("record {seq:?} ({kind}) cannot follow: {why}")]
    Impossible {
        /// The place.
        seq: Seq,
        /// The kind of record.
        kind: &'static str,
        /// What contradicts it.
        why: String,
    },
    /// The snapshot of an accepted turn is missing.
    #[error("the configuration {digest} of turn {turn} is missing")]
    ConfigMissing {
        /// The turn.
        turn: TurnId,
        /// The snapshot.
        digest: Digest,
    },
}

/// Finds the snapshot of a turn while replaying.
pub type ConfigOf<'a> = &'a dyn Fn(&Digest) -> Option<TurnConfig>;
