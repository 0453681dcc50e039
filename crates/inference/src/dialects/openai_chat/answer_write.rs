//! Whole answers to callers.

use super::super::openai::json;
use super::message_wire::{WireCall, is_call};
use super::thoughts::Block;
use super::usage::Usage;
use crate::{Answer, AnswerContext, Dialect, FinishReason, Part};
use serde::Serialize;
use serde_json::{Map, Value};

/// Writes a whole answer.
pub(crate) fn write_answer(answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
    let id = answer_id(&answer.id, context.request_id);
    let whole = Whole {
        id: &id,
        object: "chat.completion",
        created: context.created,
        model: model(&answer.model, context),
        choices: [Choice {
            index: 0,
            message: message(answer),
            logprobs: None,
            finish_reason: finish_word(answer.reason),
            stop_reason: answer.stop.as_deref(),
        }],
        usage: answer.tokens.map(Into::into),
    };
    let mut body = Vec::with_capacity(512);
    json(&whole, &mut body);
    body
}

/// The provider's id, or one of ours.
pub(super) fn answer_id(id: &str, request_id: &str) -> String {
    if id.is_empty() {
        format!("chatcmpl-{request_id}")
    } else {
        id.to_owned()
    }
}

/// The model that answered; the one that was asked where the provider is silent.
fn model<'a>(model: &'a str, context: &AnswerContext<'a>) -> &'a str {
    if model.is_empty() {
        &context.request.model
    } else {
        model
    }
}

/// Why it ended. Clients know no pause: they would take `stop` for the end, so they are told of a cut.
pub(super) const fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length | FinishReason::Pause => "length",
        FinishReason::ContentFilter => "content_filter",
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u64,
    message: WireMessage<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_blocks: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<&'a Value>,
    #[serde(flatten)]
    aside: Option<&'a Map<String, Value>>,
}

fn message(answer: &Answer) -> WireMessage<'_> {
    let mut wire = WireMessage {
        role: "assistant",
        ..WireMessage::default()
    };
    for part in &answer.parts {
        match part {
            Part::Text { text, .. } => wire.content.get_or_insert_default().push_str(text),
            Part::Refusal { text } => wire.refusal.get_or_insert_default().push_str(text),
            Part::Reasoning { text, .. } => {
                wire.reasoning_content
                    .get_or_insert_default()
                    .push_str(text);
                wire.reasoning_blocks.extend(Block::of(part));
            }
            Part::ToolCall(call) => wire.tool_calls.push(WireCall::of(call, true)),
            Part::Opaque(opaque) if opaque.dialect == Dialect::OpenAiChat => {
                match opaque.value.as_object() {
                    _ if is_call(opaque) => wire.tool_calls.push(WireCall::Opaque(&opaque.value)),
                    Some(fields) if fields.contains_key("type") => wire.audio = fields.get("audio"),
                    fields => wire.aside = fields,
                }
            }
            // What only another dialect knows has no place here.
            _ => {}
        }
    }
    if !Block::are_needed(&wire.reasoning_blocks) {
        wire.reasoning_blocks.clear();
    }
    wire.reasoning_content = wire.reasoning_content.filter(|text| !text.is_empty());
    if wire.content.is_none() && wire.tool_calls.is_empty() && wire.refusal.is_none() {
        // Clients that expect text find some.
        wire.content = Some(String::new());
    }
    wire
}
