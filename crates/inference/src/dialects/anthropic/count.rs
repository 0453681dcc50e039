//! `POST /v1/messages/count_tokens`.

use super::request_read::read_any_request;
use crate::{InvalidRequest, Request};

/// Reads a request whose tokens are to be counted: one for an answer, without its limit.
///
/// # Errors
/// [`InvalidRequest`], naming the field.
pub(crate) fn read_count_request(body: &[u8]) -> Result<Request, InvalidRequest> {
    read_any_request(body)
}

/// Writes the count.
#[must_use]
pub(crate) fn write_count(input_tokens: u64) -> Vec<u8> {
    format!("{{\"input_tokens\":{input_tokens}}}").into_bytes()
}
