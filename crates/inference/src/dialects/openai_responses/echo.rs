//! What an answer repeats of its request: the official clients' types have these fields, some of them
//! always.

use super::super::openai::json;
use super::input_write::instructions_of;
use super::request_write::{WireChoice, WireText, WireTool, choice, text, wire_tool};
use crate::{Dialect, OutputFormat, Request};
use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Serialize)]
struct Echo<'a> {
    background: bool,
    instructions: Option<&'a str>,
    max_output_tokens: Option<u64>,
    max_tool_calls: Option<&'a Value>,
    metadata: Metadata<'a>,
    parallel_tool_calls: bool,
    previous_response_id: Option<&'a Value>,
    prompt_cache_key: Option<&'a Value>,
    reasoning: Reasoning<'a>,
    safety_identifier: Option<&'a Value>,
    service_tier: Option<&'a Value>,
    store: bool,
    temperature: Option<f64>,
    text: Option<WireText<'a>>,
    tool_choice: Choice<'a>,
    tools: Vec<WireTool<'a>>,
    top_logprobs: u64,
    top_p: Option<f64>,
    truncation: Truncation<'a>,
    user: Option<&'a str>,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    effort: Option<&'static str>,
    summary: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Known(WireChoice<'a>),
    Opaque(&'a Value),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Metadata<'a> {
    Given(&'a Value),
    Empty(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Truncation<'a> {
    Given(&'a Value),
    Disabled(&'static str),
}

/// The fields, as JSON without the braces around.
pub(super) fn echo(request: &Request) -> Vec<u8> {
    let extra = request.extra.as_ref();
    let own = extra.filter(|extra| extra.dialect == Dialect::OpenAiResponses);
    let given = |key: &str| own.and_then(|extra| extra.fields.get(key));
    let reasoning = request.reasoning.as_ref();
    let format = request.format.as_ref().or(Some(&OutputFormat::Text));
    let echo = Echo {
        background: false,
        instructions: request.messages.first().and_then(instructions_of),
        max_output_tokens: request.output_tokens_max,
        max_tool_calls: given("max_tool_calls"),
        metadata: given("metadata").map_or_else(|| Metadata::Empty(Map::new()), Metadata::Given),
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        previous_response_id: given("previous_response_id"),
        prompt_cache_key: given("prompt_cache_key"),
        reasoning: Reasoning {
            effort: reasoning.and_then(super::super::openai::effort_asked),
            summary: reasoning.and_then(|reasoning| reasoning.summary.as_deref()),
        },
        safety_identifier: given("safety_identifier"),
        service_tier: given("service_tier"),
        store: false,
        temperature: request.sampling.temperature,
        text: text(format, own),
        tool_choice: match (&request.tool_choice, given("tool_choice")) {
            (Some(asked), _) => Choice::Known(choice(asked)),
            (None, Some(asked)) => Choice::Opaque(asked),
            (None, None) => Choice::Known(WireChoice::Word("auto")),
        },
        tools: request.tools.iter().filter_map(wire_tool).collect(),
        top_logprobs: request.logprobs.unwrap_or_default(),
        top_p: request.sampling.top_p,
        truncation: given("truncation").map_or(Truncation::Disabled("disabled"), Truncation::Given),
        user: request.user.as_deref(),
    };
    let mut bytes = Vec::with_capacity(512);
    json(&echo, &mut bytes);
    bytes.pop();
    bytes.drain(..1);
    bytes
}
