//! OpenAI's Chat Completions, as OpenAI and the many servers that follow it speak it.
//!
//! Beyond OpenAI's own fields:
//!
//! - Thoughts are read from `reasoning_content` and `reasoning`, and written as `reasoning_content`.
//!   `reasoning_details` of OpenRouter go before both, and go back to a server that follows OpenAI.
//! - `reasoning_blocks`, beside a message's content, is ours: `[{"text", "signature", "sealed", "id"}]`.
//!   It is written where a thought has a proof, a sealed form or an id, or is one of several, so that a client that sends the
//!   message back loses nothing of it. In deltas each block has an `index`; its text comes whole, with the
//!   proof, after the pieces in `reasoning_content`. When blocks are read, `reasoning_content` beside them
//!   says nothing more.
//! - A tool call's proof stands in `extra_content.google.thought_signature`, as Google's own compatible
//!   endpoint does it.
//! - `cache_control` on texts and tools marks the provider's prompt cache, as several gateways have it.
//! - An [`Opaque`](crate::Opaque) piece with a `type` stands in a message's content, or among its tool
//!   calls if it is a call (`custom`). One without a `type` holds fields that stand beside the content,
//!   such as `annotations`.

mod answer_read;
mod answer_write;
mod deltas;
mod details;
mod message_read;
mod message_wire;
mod message_write;
mod request_read;
mod request_write;
mod stream_calls;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod thoughts;
mod usage;

pub(crate) use super::openai::write_failure;
pub(crate) use answer_read::read_answer;
pub(crate) use answer_write::write_answer;
pub(crate) use request_read::read_request;
#[cfg(test)]
pub(crate) use request_write::{CacheMarks, Thoughts};
pub(crate) use request_write::{Flavour, write_request};
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::stream_writer;
