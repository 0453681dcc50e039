//! The wires, and what they share.

use super::ask::{Asked, Checked, Complaint};
use super::reply::Reply;
use super::{anthropic, chat, gemini, responses};
use serde_json::Value;

/// Whose wire a request came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Chat,
    Azure,
    Responses,
    Anthropic,
    Gemini,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) text: String,
    /// Whether it carries a piece of the answer.
    pub(super) is_content: bool,
}

impl Frame {
    pub(super) const fn plain(text: String) -> Self {
        Self {
            text,
            is_content: false,
        }
    }

    pub(super) fn content(self) -> Self {
        Self {
            is_content: true,
            ..self
        }
    }
}

pub(super) fn sse(event: Option<&str>, data: &Value) -> Frame {
    let event = event.map(|event| format!("event: {event}\n"));
    Frame::plain(format!("{}data: {data}\n\n", event.unwrap_or_default()))
}

impl Wire {
    /// Checks a request; `is_open` is a server that is not the provider itself.
    pub(super) fn read(self, body: &Value, is_open: bool) -> Checked<Asked> {
        match self {
            Self::Chat | Self::Azure => chat::read(body, is_open),
            Self::Responses => responses::read(body),
            Self::Anthropic => anthropic::read(body),
            Self::Gemini => gemini::read(body),
        }
    }

    pub(super) fn whole(self, asked: &Asked, reply: &Reply) -> Value {
        match self {
            Self::Chat | Self::Azure => chat::whole(asked, reply),
            Self::Responses => responses::whole(asked, reply),
            Self::Anthropic => anthropic::whole(asked, reply),
            Self::Gemini => gemini::whole(asked, reply),
        }
    }

    pub(super) fn frames(self, asked: &Asked, reply: &Reply) -> Vec<Frame> {
        match self {
            Self::Chat | Self::Azure => chat::frames(asked, reply),
            Self::Responses => responses::frames(asked, reply),
            Self::Anthropic => anthropic::frames(asked, reply),
            Self::Gemini => gemini::frames(asked, reply),
        }
    }

    pub(super) fn complaint(self, complaint: &Complaint) -> Value {
        match self {
            Self::Chat | Self::Azure | Self::Responses => chat::complaint(complaint),
            Self::Anthropic => anthropic::complaint(complaint),
            Self::Gemini => gemini::complaint(complaint),
        }
    }
}
