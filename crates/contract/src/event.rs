//! The envelope of what outsiders are told: one line of a session's durable tape.

use crate::{Seq, SessionId, Timestamp, TurnId};
use serde::{Deserialize, Serialize};

/// A notice to outsiders. Its sequence is the cursor a reader resumes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its place on the session's tape, from 1, without gaps; 0 marks a live preview that is not kept.
    pub seq: Seq,
    /// When it was recorded.
    pub at: Timestamp,
    /// The turn it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// What happened, in snake_case (`turn_accepted`, `tool_completed`, …).
    pub kind: String,
    /// The particulars of that kind.
    pub data: serde_json::Value,
}
