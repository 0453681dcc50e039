//! Google's `generateContent`, spoken to providers.
//!
//! Decisions where the wire is narrower than the neutral form:
//!
//! - All system and developer messages become `systemInstruction`: there is no such role in a conversation.
//!   A request of nothing but instructions sends them as the user's.
//! - Messages of one role are merged, results of tools first. Results name the function of the call that
//!   they answer; a result of no call is refused.
//! - Arguments of a call that are no JSON object travel as `{"invalid_arguments": "…"}`.
//! - Proofs of other providers are left out. Models that insist on a proof with each first call of a turn
//!   get the text with which Google's documentation waives it.
//! - The answer has no place for several choices or for likely tokens, so both are refused, and so is the
//!   wish for one tool call at a time.
//! - Gemini names calls only sometimes; a call without an id gets one of the answer's id and its place.

mod answer;
mod chunk;
mod part_write;
mod request_write;
mod stream_read;

#[cfg(test)]
mod tests;

pub(crate) use answer::read_answer;
#[cfg(test)]
pub(crate) use request_write::Thinking;
pub(crate) use request_write::{Options, write_request};
pub(crate) use stream_read::StreamReader;
