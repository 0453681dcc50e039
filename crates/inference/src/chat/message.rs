//! Messages and their parts.

use crate::Dialect;
use serde_json::Value;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of whoever runs the agent.
    System,
    /// Instructions of the developer, for dialects that tell the two apart.
    Developer,
    /// The user; results of tools are parts of such messages.
    User,
    /// The model.
    Assistant,
}

/// One message. Results of tools stand as [`Part::ToolResult`] in messages of the user.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The speaker's name, for dialects that have one.
    pub name: Option<String>,
}

impl Message {
    /// A message of text alone.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            parts: vec![Part::text(text)],
            name: None,
        }
    }
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// What is said.
        text: String,
        /// Whether the provider is asked to keep everything up to here in its prompt cache: how long,
        /// in the provider's own words (`5m`, `1h`), empty for its default.
        cache: Option<String>,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: FileSource,
        /// How closely to look: `low`, `high` or `auto`.
        detail: Option<String>,
    },
    /// A document, such as a PDF.
    File {
        /// Where it is.
        source: FileSource,
        /// Its name.
        name: Option<String>,
    },
    /// Sound.
    Audio {
        /// Base64 of the bytes.
        data: String,
        /// `wav`, `mp3`.
        format: String,
    },
    /// What the model thought before it answered.
    Reasoning {
        /// The thought, or a summary of it; empty where only the sealed form was given.
        text: String,
        /// The provider's proof that the thought is its own. It has to come back unchanged.
        signature: Option<String>,
        /// The sealed thought, which only the provider can read: Anthropic's `redacted_thinking`,
        /// `encrypted_content` of the Responses API.
        sealed: Option<String>,
        /// The provider's id of the thought, where it has one.
        id: Option<String>,
    },
    /// The model's wish to run a tool.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult {
        /// The [`ToolCall::id`] that it answers.
        call_id: String,
        /// The answer: text, images, files.
        content: Vec<Part>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// The model's refusal.
    Refusal {
        /// What it said.
        text: String,
    },
    /// A mark behind a part that is no text: the provider is asked to keep everything up to here in its
    /// prompt cache, for as long as [`Part::Text`]'s `cache` would say. Dialects without such marks leave
    /// it out.
    CacheMark {
        /// How long, in the provider's own words; empty for its default.
        time: String,
    },
    /// What only one dialect knows.
    Opaque(Opaque),
}

impl Part {
    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            cache: None,
        }
    }
}

/// A model's wish to run a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id, unique within one answer.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, not yet trusted to parse.
    pub arguments: String,
    /// A proof that has to come back with the call (Gemini's `thoughtSignature`).
    pub signature: Option<String>,
}

/// Where the bytes of an image or document are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// Here.
    Base64 {
        /// `image/png`.
        media_type: String,
        /// Base64 of the bytes.
        data: String,
    },
    /// At an address that the provider reads.
    Url(String),
    /// With the provider, under this id.
    Id(String),
}

/// A piece in the words of one dialect, which no other understands.
#[derive(Debug, Clone, PartialEq)]
pub struct Opaque {
    /// The dialect.
    pub dialect: Dialect,
    /// What stands there.
    pub value: Value,
}
