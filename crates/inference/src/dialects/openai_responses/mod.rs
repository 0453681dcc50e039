//! OpenAI's Responses.
//!
//! Nothing is kept between requests here: `store` is answered with false, and said to a provider
//! only where the caller says true; thoughts are asked for in their sealed form, so that the caller
//! can send them back.
//!
//! Items of the model that follow each other are one message here, and so are results of tools. Items
//! that only this dialect knows are [`Opaque`](crate::Opaque) pieces; those with a `type` that begins with
//! `input_` or `output_` stand inside of a message's content. An [`Opaque`](crate::Opaque) piece without a
//! `type` holds the `annotations` of the text before it, or the `phase` of the message that begins with it.
//! What is left of each function, such as `defer_loading`, is the field `tools` of `Extra`, by its name.
//!
//! Beyond OpenAI's own fields:
//!
//! - A thought's proof (of Anthropic's models) stands in `encrypted_content`, marked by a prefix, because
//!   clients that know these fields and no others send that one back. See [`sealed`].
//! - A tool call's proof stands in `extra_content.google.thought_signature`, as in Chat Completions.
//! - The id of a thought that has none begins with `rs_unnamed_`; it is taken away when it comes back.

mod answer_read;
mod answer_write;
mod echo;
mod frames;
mod input_read;
mod input_write;
mod items;
mod request_read;
mod request_write;
mod sealed;
mod stream_events;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod usage;

#[cfg(test)]
pub(crate) use super::openai::write_failure;
pub(crate) use answer_read::read_answer;
pub(crate) use answer_write::write_answer;
pub(crate) use request_read::read_request;
pub(crate) use request_write::write_request;
pub(crate) use stream_read::StreamReader;
pub(crate) use stream_write::stream_writer;
