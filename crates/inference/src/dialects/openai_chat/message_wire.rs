//! Messages and calls on the wire.

use super::super::openai::ExtraContent;
use super::request_write::{CacheMarks, Flavour};
use super::thoughts::Block;
use crate::{Opaque, ToolCall};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// A message on the wire.
#[derive(Debug, Default, Serialize)]
pub(super) struct WireMessage<'a> {
    pub(super) role: &'static str,
    /// Null where there is none: servers exist that miss the field.
    pub(super) content: Option<WireContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_blocks: Vec<Block<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<&'a Value>,
    #[serde(flatten)]
    pub(super) aside: Option<&'a serde_json::Map<String, Value>>,
}

/// The content of a message.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WireContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<WirePart<'a>>),
}

/// A part that is known here.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum TypedPart<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
    },
    Refusal {
        refusal: &'a str,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    InputAudio {
        input_audio: InputAudio<'a>,
    },
    File {
        file: WireFile<'a>,
    },
}

/// A part.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WirePart<'a> {
    Typed(TypedPart<'a>),
    Opaque(&'a Value),
}

/// Where a picture is.
#[derive(Debug, Serialize)]
pub(super) struct ImageUrl<'a> {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
}

/// Sound.
#[derive(Debug, Serialize)]
pub(super) struct InputAudio<'a> {
    pub(super) data: &'a str,
    pub(super) format: &'a str,
}

/// A document.
#[derive(Debug, Serialize)]
pub(super) struct WireFile<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<&'a str>,
}

/// `{"type": "ephemeral", "ttl": "1h"}`.
#[derive(Debug, Serialize)]
pub(super) struct CacheControl<'a> {
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) ttl: &'a str,
}

impl Flavour {
    /// A mark for the prompt cache, where the server knows them.
    pub(super) fn cache_control<'a>(&self, mark: Option<&'a str>) -> Option<CacheControl<'a>> {
        let mark = mark.filter(|_| self.cache_marks == CacheMarks::CacheControl);
        mark.map(|ttl| CacheControl {
            r#type: "ephemeral",
            ttl,
        })
    }
}

/// A call, as answers and requests write it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WireCall<'a> {
    /// Of a function.
    Function {
        id: &'a str,
        r#type: &'static str,
        function: CalledFunction<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra_content: Option<ExtraContent<'a>>,
    },
    /// Of what only this dialect knows.
    Opaque(&'a Value),
}

/// The function and its arguments.
#[derive(Debug, Serialize)]
pub(super) struct CalledFunction<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}

impl<'a> WireCall<'a> {
    /// A call of a function, with its proof if that is wanted.
    pub(super) fn of(call: &'a ToolCall, signatures: bool) -> Self {
        let signature = call.signature.as_deref().filter(|_| signatures);
        Self::Function {
            id: &call.id,
            r#type: "function",
            function: CalledFunction {
                name: &call.name,
                // Clients parse it, and models that call without arguments write nothing at all.
                arguments: if call.arguments.is_empty() {
                    "{}"
                } else {
                    &call.arguments
                },
            },
            extra_content: signature.map(ExtraContent::of),
        }
    }
}

/// Whether a piece that only this dialect knows is a call.
pub(super) fn is_call(opaque: &Opaque) -> bool {
    opaque.value.get("id").is_some()
        && opaque
            .value
            .get("type")
            .is_some_and(|kind| kind == "custom")
}
