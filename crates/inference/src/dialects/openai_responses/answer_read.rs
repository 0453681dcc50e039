//! Whole answers of providers.

use super::super::openai::{CallIds, Text, fault_in, malformed, signature_of};
use super::items::{has_origin, opaque, thought_text};
use super::sealed;
use super::usage::Usage;
use crate::{Answer, DecodeError, FinishReason, Part, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Reads a whole answer.
///
/// # Errors
/// It is a failure, not complete, not JSON, of another shape, or has a broken tool call.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, DecodeError> {
    let other_shape =
        |error: serde_json::Error| fault_in(body).unwrap_or_else(|| malformed(&error));
    let head: Head<'_> = serde_json::from_slice(body).map_err(other_shape)?;
    if let Some(fault) = head.fault(body) {
        return Err(fault);
    }
    let whole: Whole = serde_json::from_slice(body).map_err(other_shape)?;
    let mut parts = Vec::new();
    let mut ids = CallIds::default();
    for item in whole.output {
        item_parts(item, &mut ids, &mut parts)?;
    }
    Ok(Answer {
        reason: head.reason(ids.any())?,
        id: owned(head.id),
        model: owned(head.model),
        parts,
        stop: None,
        tokens: head.usage.map(Into::into),
    })
}

#[derive(Deserialize)]
struct Whole {
    output: Vec<Value>,
}

/// What an answer says about itself.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    incomplete_details: Option<Incomplete<'a>>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
}

impl Head<'_> {
    /// The failure that stands in place of an answer.
    fn fault(&self, body: &[u8]) -> Option<DecodeError> {
        let has_error = self.error.as_ref().is_some_and(|error| !error.is_null());
        let status = self.status.as_ref().map(Text::as_str);
        if !has_error && !matches!(status, Some("failed" | "cancelled")) {
            return None;
        }
        let value = serde_json::from_slice(body).unwrap_or(Value::Null);
        Some(DecodeError::Fault(value))
    }

    /// Why it ended.
    ///
    /// # Errors
    /// It has not.
    pub(super) fn reason(&self, has_calls: bool) -> Result<FinishReason, DecodeError> {
        let why = self.incomplete_details.as_ref();
        let why = why.and_then(|details| details.reason.as_ref());
        match self.status.as_ref().map(Text::as_str) {
            Some("incomplete") => match why.map(Text::as_str) {
                Some("content_filter") => Ok(FinishReason::ContentFilter),
                _ => Ok(FinishReason::Length),
            },
            Some(status @ ("in_progress" | "queued")) => Err(DecodeError::Malformed(format!(
                "the answer is not complete: its status is `{status}`"
            ))),
            _ if has_calls => Ok(FinishReason::ToolCalls),
            _ => Ok(FinishReason::Stop),
        }
    }
}

/// Adds an item's parts.
///
/// # Errors
/// A broken tool call.
pub(super) fn item_parts(
    item: Value,
    ids: &mut CallIds,
    parts: &mut Vec<Part>,
) -> Result<(), DecodeError> {
    let Value::Object(mut fields) = item else {
        let message = "an item of the answer is no object".to_owned();
        return Err(DecodeError::Malformed(message));
    };
    match fields.get("type").and_then(Value::as_str) {
        Some("message") => {
            let content = fields.get_mut("content").map(Value::take);
            if let Some(Value::Array(content)) = content {
                content.into_iter().for_each(|part| said(part, parts));
            }
        }
        Some("reasoning") => parts.push(thought(&mut fields)),
        Some("function_call") if !has_origin(&fields) => {
            parts.push(Part::ToolCall(tool_call(&mut fields, ids)?));
        }
        _ => parts.push(opaque(fields.into())),
    }
    Ok(())
}

fn said(mut part: Value, parts: &mut Vec<Part>) {
    let text = |part: &mut Value, key: &str| match part.get_mut(key).map(Value::take) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    match part.get("type").and_then(Value::as_str) {
        Some("output_text" | "text") => {
            let text = text(&mut part, "text");
            if !text.is_empty() {
                parts.push(Part::text(text));
            }
            if let Some(Value::Array(list)) = part.get_mut("annotations").map(Value::take)
                && !list.is_empty()
            {
                parts.push(opaque(json!({"annotations": list})));
            }
        }
        Some("refusal") => {
            let text = text(&mut part, "refusal");
            parts.push(Part::Refusal { text });
        }
        _ => parts.push(opaque(part)),
    }
}

fn taken(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.get_mut(key).map(Value::take) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn thought(fields: &mut Map<String, Value>) -> Part {
    let (signature, sealed) = sealed::split(taken(fields, "encrypted_content"));
    Part::Reasoning {
        text: thought_text(fields),
        signature,
        sealed,
        id: sealed::provider_id(taken(fields, "id")),
    }
}

/// Reads a call.
///
/// # Errors
/// It has no name, or another call's id.
pub(super) fn tool_call(
    fields: &mut Map<String, Value>,
    ids: &mut CallIds,
) -> Result<ToolCall, DecodeError> {
    Ok(ToolCall {
        id: ids.take(taken(fields, "call_id"))?,
        name: taken(fields, "name").ok_or(DecodeError::IncompleteToolCall)?,
        arguments: taken(fields, "arguments").unwrap_or_else(|| "{}".to_owned()),
        signature: fields.get("extra_content").and_then(signature_of),
    })
}

fn owned(text: Option<Text<'_>>) -> String {
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}
