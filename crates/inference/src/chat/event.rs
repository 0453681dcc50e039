//! An answer as it arrives.

use super::{Opaque, ToolCall};
use crate::Tokens;

/// One step of an answer. Parts are numbered from 0 in the order in which they begin; pieces of several
/// parts may alternate.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer begins.
    Started {
        /// The provider's id of it.
        id: String,
        /// The model that answers, as the provider calls it.
        model: String,
    },
    /// A part begins.
    PartStarted {
        /// Its number.
        part: usize,
        /// What it is.
        kind: PartKind,
    },
    /// A piece of text, thought, refusal, or of a tool call's arguments.
    Delta {
        /// The part.
        part: usize,
        /// The piece.
        text: String,
    },
    /// The proof of a thought or tool call.
    Signature {
        /// The part.
        part: usize,
        /// The proof.
        signature: String,
    },
    /// The sealed form of a thought, which only the provider can read.
    Sealed {
        /// The part.
        part: usize,
        /// The sealed thought.
        sealed: String,
    },
    /// A part is complete.
    PartEnded {
        /// The part.
        part: usize,
    },
    /// What was counted so far. The last one counts.
    Counted(Tokens),
    /// The answer is complete.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// The stop text that ended it, where the provider says so.
        stop: Option<String>,
    },
}

impl Event {
    /// Whether the caller gets to see something of the answer by it. What was seen cannot be taken back:
    /// from then on no other provider may answer in its place.
    #[must_use]
    pub fn is_content(&self) -> bool {
        match self {
            Self::Delta { text, .. } => !text.is_empty(),
            Self::PartStarted { kind, .. } => {
                matches!(kind, PartKind::ToolCall { .. } | PartKind::Opaque(_))
            }
            Self::Signature { .. } | Self::Sealed { .. } => true,
            Self::Started { .. }
            | Self::PartEnded { .. }
            | Self::Counted(_)
            | Self::Finished { .. } => false,
        }
    }
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Text.
    Text,
    /// A thought.
    Reasoning {
        /// The provider's id of it.
        id: Option<String>,
    },
    /// A refusal.
    Refusal,
    /// A tool call; its arguments follow as pieces.
    ToolCall {
        /// The provider's id.
        id: String,
        /// The tool.
        name: String,
    },
    /// What only one dialect knows, whole.
    Opaque(Opaque),
}

impl PartKind {
    /// The beginning of a call.
    #[must_use]
    pub fn of_call(call: &ToolCall) -> Self {
        Self::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or came to a stop text.
    Stop,
    /// It wants tools to run.
    ToolCalls,
    /// It came to the most tokens allowed.
    Length,
    /// The provider's filter, or the model's refusal.
    ContentFilter,
    /// The provider pauses a long turn (Anthropic's `pause_turn`): send the answer back to go on.
    Pause,
}
