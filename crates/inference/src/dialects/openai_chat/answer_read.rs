//! Whole answers of providers.

use super::super::openai::{CallIds, Content, Text, fault_in, malformed, signature_of};
use super::details;
use super::message_read::opaque;
use super::thoughts::{self, Block};
use super::usage::Usage;
use crate::{Answer, DecodeError, FinishReason, Part, Request, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Reads a whole answer to a request. Where that asks for no number of choices, more than one is an error;
/// otherwise the first is read.
///
/// # Errors
/// It is a failure, not JSON, of another shape, or has a broken tool call.
pub(crate) fn read_answer(body: &[u8], request: &Request) -> Result<Answer, DecodeError> {
    let whole: Whole<'_> = serde_json::from_slice(body).map_err(|error| {
        // A failure may have any shape beside its `error`.
        fault_in(body).unwrap_or_else(|| malformed(&error))
    })?;
    if whole.error.is_some_and(|error| !error.is_null()) {
        return Err(fault_in(body).unwrap_or(DecodeError::Fault(Value::Null)));
    }
    let count = whole.choices.len();
    if count > 1 && request.choices.is_none() {
        return Err(DecodeError::Malformed(format!(
            "{count} choices came where one was asked for"
        )));
    }
    let first = whole.choices.into_iter().min_by_key(|choice| choice.index);
    let Some(choice) = first else {
        let message = "the answer has no choice".to_owned();
        return Err(DecodeError::Malformed(message));
    };
    let parts = parts(choice.message, CallIds::after(request.answers_before()))?;
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let word = said(choice.finish_reason.as_ref()).ok_or_else(no_reason)?;
    Ok(Answer {
        id: owned(whole.id),
        model: owned(whole.model),
        parts,
        reason: finish_reason(word, has_calls)?,
        stop: stop_text(choice.stop_reason),
        tokens: whole.usage.map(Into::into),
    })
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(default)]
    error: Option<Value>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    message: WireMessage<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Default, Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(borrow, default)]
    reasoning_blocks: Option<Vec<Block<'a>>>,
    #[serde(default)]
    reasoning_details: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Vec<WireCall>>,
    #[serde(default)]
    annotations: Option<Value>,
    #[serde(default)]
    images: Option<Value>,
    #[serde(default)]
    audio: Option<Value>,
}

#[derive(Deserialize)]
struct WireCall {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<WireFunction>,
    #[serde(default)]
    custom: Option<Value>,
    #[serde(default)]
    extra_content: Option<Value>,
}

#[derive(Default, Deserialize)]
struct WireFunction {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Arguments>,
}

/// Some servers send arguments as the object itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Object(Value),
}

fn parts(message: WireMessage<'_>, mut ids: CallIds) -> Result<Vec<Part>, DecodeError> {
    let content = message.content.unwrap_or_default();
    let thought = message.reasoning_content.or(message.reasoning);
    let thought = thought.unwrap_or_default() + &content.thought;
    let details = details::entries(message.reasoning_details);
    let mut parts = Vec::new();
    match message.reasoning_blocks {
        Some(blocks) => parts.extend(blocks.into_iter().map(Block::into_part)),
        None => {
            let thought = (!thought.is_empty()).then(|| thoughts::plain(thought));
            parts.extend(details::thoughts(details, thought));
        }
    }
    if !content.text.is_empty() {
        parts.push(Part::text(content.text));
    }
    if let Some(audio) = message.audio.filter(|audio| !audio.is_null()) {
        parts.push(opaque(json!({"type": "audio", "audio": audio})));
    }
    let refusal = message.refusal.filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::Refusal { text }));
    for call in message.tool_calls.unwrap_or_default() {
        parts.push(tool_call(call, &mut ids)?);
    }
    parts.extend(aside(message.annotations, message.images, content.images).map(opaque));
    Ok(parts)
}

/// What stands beside the text: annotations and, of some servers, pictures.
pub(super) fn aside(
    annotations: Option<Value>,
    images: Option<Value>,
    pieces: Vec<Value>,
) -> Option<Value> {
    let images = images
        .filter(|list| !is_empty(list))
        .or(Some(Value::Array(pieces)));
    let lists = [("annotations", annotations), ("images", images)];
    let fields = lists.into_iter().filter_map(|(name, list)| {
        let list = list.filter(|list| !is_empty(list))?;
        Some((name.to_owned(), list))
    });
    let fields: Map<String, Value> = fields.collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn tool_call(call: WireCall, ids: &mut CallIds) -> Result<Part, DecodeError> {
    let id = ids.take(call.id)?;
    if let Some(custom) = call.custom {
        return Ok(opaque(
            json!({"id": id, "type": "custom", "custom": custom}),
        ));
    }
    let function = call.function.unwrap_or_default();
    let name = function.name.filter(|name| !name.is_empty());
    let arguments = match function.arguments {
        None | Some(Arguments::Object(Value::Null)) => String::new(),
        Some(Arguments::Text(text)) => text,
        Some(Arguments::Object(value)) => value.to_string(),
    };
    let signature = call.extra_content.as_ref().and_then(signature_of);
    Ok(Part::ToolCall(ToolCall {
        id,
        name: name.ok_or(DecodeError::IncompleteToolCall)?,
        arguments: if arguments.is_empty() {
            "{}".to_owned()
        } else {
            arguments
        },
        signature,
    }))
}

/// A word that says something: servers exist that fill the place of a reason with an empty text.
pub(super) fn said<'a>(word: Option<&'a Text<'_>>) -> Option<&'a str> {
    word.map(Text::as_str).filter(|word| !word.is_empty())
}

/// An end without a reason may be one that broke off.
pub(super) fn no_reason() -> DecodeError {
    DecodeError::Malformed("the answer ended without saying why".to_owned())
}

/// Why it ended. Servers exist that say `stop` beside tool calls, that have words of their own for a good
/// end (`eos`, `eos_token`, `stop_sequence`), and that put the cause behind a colon.
///
/// # Errors
/// It broke off.
pub(super) fn finish_reason(word: &str, has_calls: bool) -> Result<FinishReason, DecodeError> {
    match word.split(':').next().unwrap_or_default() {
        "length" | "max_tokens" | "model_length" => Ok(FinishReason::Length),
        "content_filter" => Ok(FinishReason::ContentFilter),
        "insufficient_system_resource" => Err(broken_off(word, "server_overloaded")),
        "abort" | "aborted" | "cancelled" | "canceled" | "error" => {
            Err(broken_off(word, "server_error"))
        }
        // Gemini's, behind its own server for this dialect.
        "function_call_filter" => Err(DecodeError::BrokenOff(format!(
            "the model ended with {word}"
        ))),
        _ if has_calls => Ok(FinishReason::ToolCalls),
        _ => Ok(FinishReason::Stop),
    }
}

fn broken_off(word: &str, kind: &str) -> DecodeError {
    let message = format!("the answer ended with `{word}`");
    let error = json!({"message": message, "type": kind, "code": word});
    DecodeError::Fault(json!({ "error": error }))
}

/// The stop text, of servers that tell it. Some tell a token's number, which says nothing to anybody.
pub(super) fn stop_text(value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn owned(text: Option<Text<'_>>) -> String {
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}
