//! Whole answers.

use super::block_read::read_answered;
use super::block_write::Block;
use super::ids::{seal, seal_data, with_proof};
use super::usage::{Usage, Written};
use crate::dialects::arguments::Input;
use crate::{
    Answer, AnswerContext, DecodeError, Dialect, FinishReason, InvalidRequest, Part, ToolCall,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(borrow)]
    content: Vec<&'a RawValue>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    usage: Option<Usage>,
}

/// Reads the body of an answer.
///
/// # Errors
/// [`DecodeError`]; a failure in an answer's place is its `Fault`.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, DecodeError> {
    let wire: Wire<'_> = match serde_json::from_slice(body) {
        Ok(wire) => wire,
        Err(error) => return Err(fault_or(body, &error)),
    };
    let mut parts = Vec::with_capacity(wire.content.len());
    for (at, block) in wire.content.iter().enumerate() {
        read_answered(block, &|| format!("content[{at}]"), &mut parts).map_err(unreadable)?;
    }
    let mut ids = HashSet::new();
    for part in &parts {
        if let Part::ToolCall(call) = part
            && !ids.insert(call.id.as_str())
        {
            return Err(DecodeError::DuplicateToolId(call.id.clone()));
        }
    }
    let reason = wire.stop_reason.as_deref().map(reason_of);
    Ok(Answer {
        id: wire.id,
        model: wire.model,
        parts,
        reason: reason.ok_or_else(without_reason)?,
        stop: wire.stop_sequence,
        tokens: wire.usage.and_then(|usage| usage.tokens()),
    })
}

fn fault_or(body: &[u8], error: &serde_json::Error) -> DecodeError {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) if value.get("error").is_some() => DecodeError::Fault(value),
        _ => DecodeError::Malformed(format!("the answer cannot be read: {error}")),
    }
}

fn unreadable(error: InvalidRequest) -> DecodeError {
    match error.param {
        Some(param) if param.ends_with("].id") || param.ends_with("].name") => {
            DecodeError::IncompleteToolCall
        }
        param => DecodeError::Malformed(format!(
            "{}: {}",
            param.as_deref().unwrap_or("content"),
            error.message
        )),
    }
}

pub(super) fn without_reason() -> DecodeError {
    DecodeError::Malformed("the answer does not say why it ended".to_owned())
}

/// A reason that is not known yet is an end in good order.
pub(super) fn reason_of(name: &str) -> FinishReason {
    match name {
        "tool_use" => FinishReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        "pause_turn" => FinishReason::Pause,
        _ => FinishReason::Stop,
    }
}

pub(super) const fn reason_name(
    reason: FinishReason,
    has_stop: bool,
    is_refusal: bool,
) -> &'static str {
    match reason {
        FinishReason::Stop if is_refusal => "refusal",
        FinishReason::Stop if has_stop => "stop_sequence",
        FinishReason::Stop => "end_turn",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::Length => "max_tokens",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Pause => "pause_turn",
    }
}

#[derive(Serialize)]
struct WrittenAnswer<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: Written,
}

/// Writes the body of an answer. What this wire cannot say (parts of other dialects) is left out.
#[must_use]
pub(crate) fn write_answer(answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
    let is_refusal = answer
        .parts
        .iter()
        .any(|part| matches!(part, Part::Refusal { .. }));
    let written = WrittenAnswer {
        id: id_of(&answer.id, context.request_id),
        kind: "message",
        role: "assistant",
        model: model_of(&answer.model, &context.request.model),
        content: answer.parts.iter().filter_map(block).collect(),
        stop_reason: reason_name(answer.reason, answer.stop.is_some(), is_refusal),
        stop_sequence: answer.stop.as_deref(),
        usage: Written::of(answer.tokens.unwrap_or_default()),
    };
    serde_json::to_vec(&written).unwrap_or_default()
}

pub(super) fn id_of<'a>(id: &'a str, request_id: &str) -> Cow<'a, str> {
    if id.is_empty() {
        Cow::Owned(format!("msg_{request_id}"))
    } else {
        Cow::Borrowed(id)
    }
}

pub(super) const fn model_of<'a>(model: &'a str, asked: &'a str) -> &'a str {
    if model.is_empty() { asked } else { model }
}

fn block(part: &Part) -> Option<Block<'_>> {
    Some(match part {
        Part::Text { text, .. } | Part::Refusal { text } if !text.is_empty() => Block::Text {
            text,
            cache_control: None,
        },
        Part::Reasoning {
            text,
            signature,
            sealed,
            id,
        } => return thought(text, signature.as_deref(), sealed.as_deref(), id.as_deref()),
        Part::ToolCall(call) => tool_use(call),
        Part::Opaque(opaque) if opaque.dialect == Dialect::Anthropic => {
            Block::Opaque(&opaque.value)
        }
        _ => return None,
    })
}

fn thought<'a>(
    text: &'a str,
    signature: Option<&'a str>,
    sealed: Option<&'a str>,
    id: Option<&str>,
) -> Option<Block<'a>> {
    Some(match (signature, sealed) {
        (None, Some(sealed)) if text.is_empty() => Block::RedactedThinking {
            data: seal_data(id, sealed),
        },
        (None, None) if text.is_empty() => return None,
        (Some(signature), _) => Block::Thinking {
            thinking: text,
            signature: Cow::Borrowed(signature),
        },
        (None, sealed) => Block::Thinking {
            thinking: text,
            signature: seal(id, sealed).map_or(Cow::Borrowed(""), Cow::Owned),
        },
    })
}

fn tool_use(call: &ToolCall) -> Block<'_> {
    Block::ToolUse {
        id: with_proof(&call.id, call.signature.as_deref()),
        name: &call.name,
        input: Input::of(&call.arguments),
        cache_control: None,
    }
}
