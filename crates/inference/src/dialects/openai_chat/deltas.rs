//! Pieces of an answer, as they are written to callers.

use super::super::openai::ExtraContent;
use super::thoughts::Block;
use serde::Serialize;
use serde_json::{Map, Value};

/// A piece of an answer: one of its fields, as a rule.
#[derive(Debug, Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_blocks: Option<[&'a Block<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[DeltaCall<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<&'a Value>,
    #[serde(flatten)]
    pub(super) aside: Option<&'a Map<String, Value>>,
}

/// A piece of a call.
#[derive(Debug, Serialize)]
pub(super) struct DeltaCall<'a> {
    pub(super) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<DeltaFunction<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<ExtraContent<'a>>,
    #[serde(flatten)]
    pub(super) whole: Option<&'a Map<String, Value>>,
}

/// A piece of a call's arguments; the first has the name.
#[derive(Debug, Serialize)]
pub(super) struct DeltaFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

impl<'a> Delta<'a> {
    /// A piece of the arguments of the call at `index`.
    pub(super) fn call(index: usize, function: DeltaFunction<'a>) -> Self {
        Self::calls(DeltaCall {
            index,
            id: None,
            r#type: None,
            function: Some(function),
            extra_content: None,
            whole: None,
        })
    }

    /// A piece of a call.
    pub(super) fn calls(call: DeltaCall<'a>) -> Self {
        Self {
            tool_calls: Some([call]),
            ..Self::default()
        }
    }

    /// A piece of a thought's block.
    pub(super) fn block(block: &'a Block<'a>) -> Self {
        Self {
            reasoning_blocks: Some([block]),
            ..Self::default()
        }
    }
}
