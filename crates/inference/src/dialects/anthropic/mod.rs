//! Anthropic's Messages, spoken to clients and to providers.
//!
//! What has no neutral form is kept: blocks and tools as [`crate::Opaque`], fields as [`crate::Extra`].
//! Three fields of `Extra` hold what is left of a field that is otherwise understood, and are merged back:
//! `thinking` (null: there is an effort and no `thinking`), `output_config`, `metadata`, and `tools`
//! (what is left of each tool, by its name).
//!
//! Decisions where the wire is narrower than the neutral form:
//!
//! - System and developer messages before the conversation become `system`. Later ones stay where they are
//!   if [`Options::system_in_place`] says that the model knows the role, and join `system` otherwise:
//!   instructions keep their authority rather than their place. A request of nothing but instructions
//!   sends them as the user's.
//! - Messages of one role are merged, results of tools first; blank texts are left out, and white space at
//!   the end of a last message of the assistant is, because the provider refuses both.
//!   A last message of the user that is blank is refused: without it the model would go on with its own words.
//! - Arguments of a tool call that are no JSON object travel as `{"invalid_arguments": "…"}`: refusing them
//!   would end a conversation for a mistake that the model can correct.
//! - Thoughts without Anthropic's signature are left out. Towards clients, what other providers want back
//!   with a thought (its id, its sealed form) rides in the signature.
//! - Objects of a schema for the answer that do not say whether they take other properties take none, because
//!   the provider refuses all others.
//! - An effort becomes adaptive thinking, or a budget: see [`Thinking`].
//! - The proof of a tool call, which some providers want back, rides in the call's id towards clients.

mod answer;
mod block_read;
mod block_write;
mod closed_schema;
mod count;
mod failure;
mod ids;
mod request_read;
mod request_write;
mod stream_block;
mod stream_read;
mod stream_write;
mod thinking;
mod tools_write;
mod usage;

#[cfg(test)]
mod tests;

pub(crate) use answer::{read_answer, write_answer};
pub(crate) use block_read::understood;
pub(crate) use count::{read_count_request, write_count};
pub(crate) use failure::write_failure;
pub(crate) use request_read::read_request;
pub(crate) use request_write::{Options, write_request};
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::stream_writer;
#[cfg(test)]
pub(crate) use thinking::Thinking;
