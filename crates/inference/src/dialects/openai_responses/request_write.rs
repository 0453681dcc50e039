//! Requests to providers.

use super::super::foreign::fields_for;
use super::super::openai::{
    FormatFields, USER_LENGTH_MAX, effort_asked, format_fields, json, not_sayable,
};
use super::super::user::user_within;
use super::input_write::input;
use super::items::WireItem;
use super::request_read::{LOGPROBS, SEALED};
use crate::{Dialect, EncodedRequest, Extra, OutputFormat, Request, Tool, ToolChoice, Unsupported};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Writes a request; `model` is the provider's name of the model. The provider is asked to keep nothing,
/// unless the caller asks for that.
///
/// # Errors
/// Something cannot be said that would change the answer.
pub(crate) fn write_request(request: &Request, model: &str) -> Result<EncodedRequest, Unsupported> {
    let (own, mut dropped) = fields_for(request.extra.as_ref(), Dialect::OpenAiResponses, true)?;
    let own = own.as_deref();
    sayable(request, &mut dropped)?;
    let (instructions, input) = input(&request.messages, &mut dropped)?;
    let body = Body {
        model,
        instructions,
        input,
        tools: tools(&request.tools, fields_of(own, "tools"))?,
        tool_choice: request.tool_choice.as_ref().map(choice),
        parallel_tool_calls: request.parallel_tool_calls,
        text: text(request.format.as_ref(), own),
        reasoning: reasoning(request, own),
        max_output_tokens: request.output_tokens_max,
        temperature: request.sampling.temperature,
        top_p: request.sampling.top_p,
        top_logprobs: request.logprobs.filter(|likely| *likely > 0),
        include: include(request, own),
        store: own
            .and_then(|extra| extra.fields.get("store"))
            .is_some_and(|store| *store == true),
        stream: request.stream,
        user: request
            .user
            .as_deref()
            .map(|user| user_within(user, USER_LENGTH_MAX)),
        extra: own.map(|extra| Unsent(&extra.fields)),
    };
    let mut bytes = Vec::with_capacity(1024);
    json(&body, &mut bytes);
    Ok(EncodedRequest {
        body: bytes,
        dropped,
    })
}

/// Refuses what this dialect has no words for and would change the answer.
fn sayable(request: &Request, dropped: &mut Vec<String>) -> Result<(), Unsupported> {
    let sampling = &request.sampling;
    let penalty = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let unsaid = [
        ("top_k", sampling.top_k.is_some()),
        ("frequency_penalty", penalty(sampling.frequency_penalty)),
        ("presence_penalty", penalty(sampling.presence_penalty)),
        ("stop", !sampling.stop.is_empty()),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("n", request.choices.is_some_and(|choices| choices > 1)),
    ];
    if let Some((param, _)) = unsaid.into_iter().find(|(_, is_set)| *is_set) {
        let message = "the model's provider is spoken to in a dialect without it";
        return Err(not_sayable(param, message));
    }
    // Providers promise nothing for a seed.
    if sampling.seed.is_some() {
        dropped.push("seed".to_owned());
    }
    let reasoning = request.reasoning.as_ref();
    let budget = reasoning.and_then(|reasoning| reasoning.budget_tokens);
    if budget.is_some_and(|tokens| tokens > 0) {
        dropped.push("reasoning.budget_tokens".to_owned());
    }
    Ok(())
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    input: Vec<WireItem<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<WireText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<WireReasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'a str>,
    store: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    #[serde(flatten)]
    extra: Option<Unsent<'a>>,
}

/// Fields that only this dialect knows, but for those that stand in the body already.
struct Unsent<'a>(&'a Map<String, Value>);

impl Serialize for Unsent<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let merged =
            |key: &str| matches!(key, "text" | "reasoning" | "include" | "store" | "tools");
        serializer.collect_map(self.0.iter().filter(|(key, _)| !merged(key)))
    }
}

fn fields_of<'a>(own: Option<&'a Extra>, key: &str) -> Option<&'a Map<String, Value>> {
    own?.fields.get(key)?.as_object()
}

/// `text`: the format, and what else stands there.
#[derive(Debug, Serialize)]
pub(super) struct WireText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<WireFormat<'a>>,
    #[serde(flatten)]
    others: Option<&'a Map<String, Value>>,
}

#[derive(Debug, Serialize)]
struct WireFormat<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    of_schema: Option<FormatFields<'a>>,
}

/// The form of the answer; absent where nothing is said about it.
pub(super) fn text<'a>(
    format: Option<&'a OutputFormat>,
    own: Option<&'a Extra>,
) -> Option<WireText<'a>> {
    let others = fields_of(own, "text");
    let format = format.map(|format| {
        let (r#type, of_schema) = format_fields(format);
        WireFormat { r#type, of_schema }
    });
    (format.is_some() || others.is_some()).then_some(WireText { format, others })
}

/// `reasoning`: effort, summary, and what else stands there.
#[derive(Debug, Serialize)]
struct WireReasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(flatten)]
    others: Option<&'a Map<String, Value>>,
}

fn reasoning<'a>(request: &'a Request, own: Option<&'a Extra>) -> Option<WireReasoning<'a>> {
    let others = fields_of(own, "reasoning");
    let asked = request.reasoning.as_ref();
    (asked.is_some() || others.is_some()).then(|| WireReasoning {
        effort: asked.and_then(effort_asked),
        summary: asked.and_then(|asked| asked.summary.as_deref()),
        others,
    })
}

/// Sealed thoughts are asked for where the model thinks: nothing is kept, so they have to come back.
fn include<'a>(request: &'a Request, own: Option<&'a Extra>) -> Vec<&'a str> {
    let others = own.and_then(|extra| extra.fields.get("include"));
    let others = others.and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<&str> = others.filter_map(Value::as_str).collect();
    names.extend(request.reasoning.as_ref().map(|_| SEALED));
    names.extend(request.logprobs.map(|_| LOGPROBS));
    names
}

/// A tool, as requests and answers write it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WireTool<'a> {
    /// A function.
    Function {
        r#type: &'static str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        parameters: Option<&'a Value>,
        strict: bool,
        /// What only this dialect knows of it.
        #[serde(flatten)]
        left: Option<&'a Map<String, Value>>,
    },
    /// Another tool of this dialect.
    Opaque(&'a Value),
}

/// A tool on this wire; absent for one of another dialect.
pub(super) fn wire_tool(tool: &Tool) -> Option<WireTool<'_>> {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            ..
        } => Some(WireTool::Function {
            r#type: "function",
            name,
            description: description.as_deref(),
            parameters: parameters.as_ref(),
            // Here what is not said means true, and optional arguments would become required.
            strict: strict.unwrap_or(false),
            left: None,
        }),
        Tool::Opaque(opaque) if opaque.dialect == Dialect::OpenAiResponses => {
            Some(WireTool::Opaque(&opaque.value))
        }
        Tool::Opaque(_) => None,
    }
}

/// The tools, with what is left of each function, by its name.
fn tools<'a>(
    tools: &'a [Tool],
    rest: Option<&'a Map<String, Value>>,
) -> Result<Vec<WireTool<'a>>, Unsupported> {
    let wire = |(index, tool)| {
        let mut wire = wire_tool(tool).ok_or_else(|| {
            let message = "the model's provider does not have this tool";
            not_sayable(format!("tools[{index}]"), message)
        })?;
        if let WireTool::Function { name, left, .. } = &mut wire {
            *left = rest.and_then(|rest| rest.get(*name)?.as_object());
        }
        Ok(wire)
    };
    tools.iter().enumerate().map(wire).collect()
}

/// The choice among tools.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum WireChoice<'a> {
    /// A word.
    Word(&'static str),
    /// One function.
    Function { r#type: &'static str, name: &'a str },
}

/// The choice on this wire.
pub(super) fn choice(choice: &ToolChoice) -> WireChoice<'_> {
    match choice {
        ToolChoice::Auto => WireChoice::Word("auto"),
        ToolChoice::None => WireChoice::Word("none"),
        ToolChoice::Required => WireChoice::Word("required"),
        ToolChoice::Tool(name) => WireChoice::Function {
            r#type: "function",
            name,
        },
    }
}
