//! Items, as they are written to providers and callers, and what is read of them in the same way.

use super::super::openai::ExtraContent;
use super::sealed;
use crate::{Dialect, Opaque, Part, ToolCall};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// An item on the wire.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    /// What somebody says.
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
        role: &'static str,
        content: Content<'a>,
    },
    /// A call.
    FunctionCall {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<ExtraContent<'a>>,
    },
    /// What a tool answered.
    FunctionCallOutput {
        call_id: &'a str,
        output: Content<'a>,
    },
    /// A thought.
    Reasoning {
        id: &'a str,
        summary: Vec<Summary<'a>>,
        encrypted_content: Option<Cow<'a, str>>,
    },
}

/// An item, or one that only this dialect knows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WireItem<'a> {
    /// One of ours.
    Known(Item<'a>),
    /// A message of the model, with what it is to the whole answer.
    Phased {
        #[serde(flatten)]
        item: Item<'a>,
        phase: &'a Value,
    },
    /// Another.
    Opaque(&'a Value),
}

/// The content of a message or of a tool's answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    /// Text alone.
    Text(Cow<'a, str>),
    /// Parts.
    Parts(Vec<WirePart<'a>>),
}

/// A part of the content.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WirePart<'a> {
    /// One of ours.
    Known(TypedPart<'a>),
    /// Another.
    Opaque(&'a Value),
}

/// A part of the content that is known here.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum TypedPart<'a> {
    /// What the caller says.
    InputText { text: Cow<'a, str> },
    /// A picture.
    InputImage {
        #[serde(skip_serializing_if = "Option::is_none")]
        image_url: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    },
    /// A document.
    InputFile {
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<&'a str>,
    },
    /// Sound.
    InputAudio { input_audio: InputAudio<'a> },
    /// What the model says.
    OutputText {
        annotations: &'a [Value],
        logprobs: [(); 0],
        text: &'a str,
    },
    /// Its refusal.
    Refusal { refusal: &'a str },
}

/// Sound.
#[derive(Debug, Serialize)]
pub(super) struct InputAudio<'a> {
    pub(super) data: &'a str,
    pub(super) format: &'a str,
}

/// A piece of a thought's summary.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    r#type: &'static str,
    text: &'a str,
}

impl<'a> Summary<'a> {
    /// A whole summary.
    pub(super) const fn of(text: &'a str) -> Self {
        Self {
            r#type: "summary_text",
            text,
        }
    }
}

/// The arguments of a call: clients and providers parse them, and models that call without any write nothing at
/// all.
pub(super) fn arguments(call: &ToolCall) -> &str {
    match call.arguments.as_str() {
        "" => "{}",
        arguments => arguments,
    }
}

/// A thought's item.
pub(super) fn reasoning<'a>(
    id: &'a str,
    text: &'a str,
    signature: Option<&'a str>,
    sealed: Option<&'a str>,
) -> Item<'a> {
    let has_text = !text.is_empty();
    Item::Reasoning {
        id,
        summary: has_text.then(|| Summary::of(text)).into_iter().collect(),
        encrypted_content: sealed::join(signature, sealed),
    }
}

/// The text of a thought: its summary or, of servers that show everything, the thought itself.
pub(super) fn thought_text(fields: &Map<String, Value>) -> String {
    let texts = |key: &str| {
        let pieces = fields.get(key).and_then(Value::as_array);
        let texts = pieces.into_iter().flatten();
        texts.filter_map(|piece| piece.get("text").and_then(Value::as_str))
    };
    let summary: Vec<&str> = texts("summary").collect();
    if summary.iter().any(|text| !text.is_empty()) {
        return summary.join(BETWEEN_SUMMARIES);
    }
    texts("content").collect()
}

/// What stands between two pieces of a summary.
pub(super) const BETWEEN_SUMMARIES: &str = "\n\n";

/// Whether an item of this type comes from the caller.
pub(super) fn is_of_caller(kind: &str) -> bool {
    kind.ends_with("_output")
        || matches!(
            kind,
            "item_reference" | "mcp_approval_response" | "additional_tools" | "compaction_trigger"
        )
}

/// Whether a call is of a tool in a name space or of a program: it means nothing without its origin. What the
/// model calls directly is an ordinary call.
pub(super) fn has_origin(call: &Map<String, Value>) -> bool {
    let caller = call.get("caller").filter(|caller| !caller.is_null());
    let is_direct = |caller: &Value| caller.get("type").is_some_and(|kind| kind == "direct");
    let has_namespace = call.get("namespace").is_some_and(|value| !value.is_null());
    has_namespace || caller.is_some_and(|caller| !is_direct(caller))
}

/// Whether a piece that only this dialect knows stands inside of a message.
pub(super) fn is_content(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| kind.starts_with("input_") || kind.starts_with("output_"))
}

/// The annotations that a piece without a type holds.
pub(super) fn annotations(value: &Value) -> Option<&Vec<Value>> {
    match value.get("type") {
        Some(_) => None,
        None => value.get("annotations").and_then(Value::as_array),
    }
}

/// What the message that begins here is to the whole answer.
pub(super) fn phase(value: &Value) -> Option<&Value> {
    match value.get("type") {
        Some(_) => None,
        None => value.get("phase"),
    }
}

/// A piece that only this dialect knows.
pub(super) const fn opaque(value: Value) -> Part {
    Part::Opaque(Opaque {
        dialect: Dialect::OpenAiResponses,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_model_calls_directly_has_no_origin() {
        for (origin, expected) in [
            (json!({}), false),
            (json!({"caller": null, "namespace": null}), false),
            (json!({"caller": {"type": "direct"}}), false),
            (
                json!({"caller": {"type": "program", "caller_id": "p"}}),
                true,
            ),
            (
                json!({"caller": {"type": "direct"}, "namespace": "n"}),
                true,
            ),
        ] {
            assert_eq!(
                has_origin(origin.as_object().unwrap()),
                expected,
                "{origin}"
            );
        }
    }
}
