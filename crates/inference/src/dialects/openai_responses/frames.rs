//! The events of a provider's stream, one by one.

use super::super::openai::{Text, malformed};
use super::answer_read::Head;
use crate::DecodeError;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The fields of all events that are known here.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(default)]
    pub(super) output_index: u64,
    #[serde(default)]
    pub(super) content_index: u64,
    #[serde(default)]
    pub(super) summary_index: Option<u64>,
    #[serde(borrow, default)]
    pub(super) delta: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) response: Option<Head<'a>>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

/// What stands there in place of an answer.
pub(super) fn fault(data: &str) -> DecodeError {
    DecodeError::Fault(serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
}

/// Whether this is an event, but none of those that make an answer.
pub(super) fn is_unknown(data: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
    }
    let ours = [
        "response.output_text.",
        "response.refusal.",
        "response.function_call_arguments.",
        "response.reasoning_",
        "response.output_item.",
        "response.c",
        "response.in",
        "response.failed",
        "error",
    ];
    serde_json::from_str::<Kind<'_>>(data).is_ok_and(|kind| {
        let kind = kind.kind.as_str();
        let is_tool = kind.starts_with("response.code_interpreter");
        is_tool || !ours.iter().any(|ours| kind.starts_with(ours))
    })
}

/// The item that begins or is complete.
///
/// # Errors
/// There is none.
pub(super) fn item_of(data: &str) -> Result<Value, DecodeError> {
    #[derive(Deserialize)]
    struct WithItem {
        #[serde(default)]
        item: Option<Map<String, Value>>,
    }
    let with_item: WithItem = serde_json::from_str(data).map_err(|error| malformed(&error))?;
    Ok(with_item.item.unwrap_or_default().into())
}
