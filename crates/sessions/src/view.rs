//! Read-only pictures of a session, for callers.

use crate::ToolStatus;
use mainstay_contract::{
    AgentName, Digest, ErrorReport, Seq, SessionId, Spent, StepId, Timestamp, TurnId,
};
use serde::{Deserialize, Serialize};

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// Accepted, waiting for turns before it.
    Accepted,
    /// At work.
    Running,
    /// Parked: an effect's outcome is unknown.
    InDoubt,
    /// Set aside after starts without progress.
    Quarantined,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended on request.
    Cancelled,
    /// Its input was handed to another turn.
    Steered,
}

impl TurnState {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Steered
        )
    }

    /// Whether it waits for an operator.
    #[must_use]
    pub const fn is_parked(self) -> bool {
        matches!(self, Self::InDoubt | Self::Quarantined)
    }
}

/// One step of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Its id.
    pub step: StepId,
    /// The tool, or `None` for a model call.
    pub tool: Option<String>,
    /// How it ended; `None` while it runs, waits or is in doubt, and for model calls.
    pub status: Option<ToolStatus>,
    /// Whether its outcome is unknown.
    pub is_in_doubt: bool,
    /// The stored message it produced.
    pub message: Option<Digest>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnView {
    /// Its id.
    pub turn: TurnId,
    /// Its agent.
    pub agent: AgentName,
    /// Where it stands.
    pub state: TurnState,
    /// The stored user message.
    pub input: Digest,
    /// The stored snapshot.
    pub config: Digest,
    /// The stored last assistant message, once completed.
    pub answer: Option<Digest>,
    /// Why it failed, was quarantined or is in doubt.
    pub error: Option<ErrorReport>,
    /// What it cost so far.
    pub spent: Spent,
    /// Starts without progress.
    pub attempt: u32,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// A whole session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub session: SessionId,
    /// Its last record.
    pub last_seq: Seq,
    /// The committed state of its workspace.
    pub workspace: Option<Digest>,
    /// Its turns, oldest first.
    pub turns: Vec<TurnView>,
}
