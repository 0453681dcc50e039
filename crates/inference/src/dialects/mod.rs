//! The wires that models are spoken to in. Each dialect reads and writes requests, whole answers, streams
//! and failures; nothing here sends or receives.
//!
//! Between two dialects a request passes through [`Request`]. What the other wire cannot say is refused
//! with the name of the field where it would change the answer, and named as dropped where it would not.

mod abroad;
mod anthropic;
mod arguments;
mod call_proof;
mod caller_place;
mod dispatch;
mod failed_result;
mod foreign;
mod gemini;
mod last_turn;
mod mend;
mod openai;
mod openai_chat;
mod openai_embeddings;
mod openai_responses;
mod proof;
mod reading;
mod strict_schema;
mod understood;
mod user;

pub use dispatch::{
    WriteOptions, read_count_request, read_embedding_request, read_embeddings, write_count,
    write_embedding_request, write_embeddings,
};

pub use abroad::answer_abroad;
pub use caller_place::caller_field;
pub use foreign::kept_conversation;
pub use mend::whole_escapes;

use crate::{Event, Request, Sse};
use serde_json::Value;

/// A wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's Chat Completions, spoken by most servers.
    OpenAiChat,
    /// OpenAI's Responses.
    OpenAiResponses,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
}

/// Why a caller's request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// The field, as a path such as `messages[0].content`; absent where the whole is no JSON object.
    pub param: Option<String>,
    /// What is wrong, for people.
    pub message: String,
}

/// What a wire cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{param}: {message}")]
pub struct Unsupported {
    /// What it is, as the caller's field is commonly called (`logit_bias`, `n`, `messages[2].content[0]`).
    pub param: String,
    /// Why it cannot be said.
    pub message: String,
}

/// A request on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedRequest {
    /// The body.
    pub body: Vec<u8>,
    /// Fields that were left out because they change nothing of the answer (`store`, `user`, …).
    pub dropped: Vec<String>,
}

/// Why what a provider sent is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The provider reports a failure where an answer was announced: the JSON as it stands.
    #[error("the provider reports a failure")]
    Fault(Value),
    /// It is not JSON, or of another shape.
    #[error("{0}")]
    Malformed(String),
    /// The model ended it without an answer, for a reason of the provider's.
    #[error("{0}")]
    BrokenOff(String),
    /// The stream ended before the dialect's own end.
    #[error("the stream ended before its end")]
    Cut,
    /// Two tool calls share an id.
    #[error("two tool calls share the id `{0}`")]
    DuplicateToolId(String),
    /// A tool call lacks a part.
    #[error("a tool call has no name")]
    IncompleteToolCall,
}

/// Reads a stream: server-sent events in, events out.
pub trait StreamDecoder: Send {
    /// Reads one server-sent event.
    ///
    /// # Errors
    /// [`DecodeError`]; the stream is over then.
    fn decode(&mut self, sse: &Sse<'_>, events: &mut Vec<Event>) -> Result<(), DecodeError>;

    /// Whether the dialect's own end was seen, so that the provider needs to say nothing more.
    fn is_complete(&self) -> bool;

    /// Says that the connection ended.
    ///
    /// # Errors
    /// [`DecodeError::Cut`] where the dialect's end is missing.
    fn end(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError>;
}

/// Writes a stream: events in, server-sent events out, ready to be sent.
pub trait StreamEncoder: Send {
    /// Writes one event; many write nothing by themselves.
    fn encode(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Ends the stream with a failure that no client takes for an end in good order.
    fn fail(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>);
}

/// A failure to be told in a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The HTTP status that it has, or would have had.
    pub status: u16,
    /// Our code, such as `inference.rate_limited`.
    pub code: &'a str,
    /// One sentence for people.
    pub message: &'a str,
    /// The field of the request that is to blame.
    pub param: Option<&'a str>,
    /// The request's id.
    pub request_id: &'a str,
}

/// What an encoder of answers knows beside the answer.
#[derive(Debug, Clone, Copy)]
pub struct AnswerContext<'a> {
    /// The request that is answered.
    pub request: &'a Request,
    /// The time, in seconds since the Unix epoch.
    pub created: u64,
    /// Our id of the request, for answers that came without one.
    pub request_id: &'a str,
}

/// The media type and bytes of a `data:` address.
fn url_base64(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}
