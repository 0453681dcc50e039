//! Requests to providers.

use super::super::foreign::fields_for;
use super::super::openai::{
    FormatFields, USER_LENGTH_MAX, effort_asked, format_fields, json, not_sayable,
};
use super::super::user::user_within;
use super::message_wire::{CacheControl, WireMessage};
use super::message_write::Messages;
use crate::{Dialect, EncodedRequest, Extra, OutputFormat, Request, Tool, ToolChoice, Unsupported};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What a server understands: OpenAI refuses fields that it does not know, others know only old names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flavour {
    /// The most tokens are called `max_tokens`, not `max_completion_tokens`.
    pub(crate) legacy_max_tokens: bool,
    /// There is a role `developer`; otherwise such messages become the system's.
    pub(crate) developer_role: bool,
    /// How thoughts of earlier turns are sent back.
    pub(crate) thoughts: Thoughts,
    /// Proofs of tool calls are sent back (`extra_content`).
    pub(crate) call_signatures: bool,
    /// `top_k` is known.
    pub(crate) top_k: bool,
    /// Results of tools may hold images; otherwise the user shows them behind the results.
    pub(crate) result_images: bool,
    /// How places for the prompt cache are marked.
    pub(crate) cache_marks: CacheMarks,
    /// Fields that OpenAI's two dialects have alike are known.
    pub(crate) shared_fields: bool,
}

/// How thoughts of earlier turns are sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoughts {
    /// Not at all.
    LeftOut,
    /// As text in `reasoning_content`.
    Text,
    /// As text, and in `reasoning_blocks` where they have proofs.
    Blocks,
}

/// How places for the prompt cache are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheMarks {
    /// Not at all: the provider finds them by itself.
    LeftOut,
    /// `cache_control`.
    CacheControl,
}

impl Flavour {
    /// OpenAI itself, and Azure.
    pub(crate) const fn openai() -> Self {
        Self {
            legacy_max_tokens: false,
            developer_role: true,
            thoughts: Thoughts::LeftOut,
            call_signatures: false,
            top_k: false,
            result_images: false,
            cache_marks: CacheMarks::LeftOut,
            shared_fields: true,
        }
    }

    /// A server that follows OpenAI, such as vLLM, llama.cpp or DeepSeek.
    pub(crate) const fn compatible() -> Self {
        Self {
            legacy_max_tokens: true,
            developer_role: false,
            thoughts: Thoughts::Text,
            call_signatures: true,
            top_k: true,
            result_images: true,
            cache_marks: CacheMarks::LeftOut,
            shared_fields: false,
        }
    }
}

/// Writes a request; `model` is the provider's name of the model. A stream is always asked to count.
///
/// # Errors
/// Something cannot be said that would change the answer.
pub(crate) fn write_request(
    request: &Request,
    model: &str,
    flavour: &Flavour,
) -> Result<EncodedRequest, Unsupported> {
    let extra = request.extra.as_ref();
    let (own, mut dropped) = fields_for(extra, Dialect::OpenAiChat, flavour.shared_fields)?;
    let own = own.as_deref();
    let messages = Messages::new(flavour, &mut dropped).write(&request.messages)?;
    let body = Body {
        model,
        messages,
        tools: tools(&request.tools, flavour)?,
        tool_choice: request.tool_choice.as_ref().map(choice),
        parallel_tool_calls: request.parallel_tool_calls,
        response_format: request.format.as_ref().map(response_format),
        max_tokens: request
            .output_tokens_max
            .filter(|_| flavour.legacy_max_tokens),
        max_completion_tokens: request
            .output_tokens_max
            .filter(|_| !flavour.legacy_max_tokens),
        sampling: sampling(request, flavour)?,
        reasoning_effort: reasoning_effort(request, &mut dropped),
        n: request.choices,
        logprobs: request.logprobs.map(|_| true),
        top_logprobs: request.logprobs.filter(|likely| *likely > 0),
        stream: request.stream,
        stream_options: stream_options(request, own),
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

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(flatten)]
    sampling: WireSampling<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    #[serde(flatten)]
    extra: Option<Unsent<'a>>,
}

/// Fields that only this dialect knows, but for those that stand in the body already.
struct Unsent<'a>(&'a Map<String, Value>);

impl Serialize for Unsent<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|(key, _)| *key != "stream_options"))
    }
}

#[derive(Serialize)]
struct WireSampling<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: &'a BTreeMap<String, f64>,
}

fn sampling<'a>(request: &'a Request, flavour: &Flavour) -> Result<WireSampling<'a>, Unsupported> {
    let sampling = &request.sampling;
    if sampling.top_k.is_some() && !flavour.top_k {
        return Err(not_sayable(
            "top_k",
            "the model's provider draws from all tokens",
        ));
    }
    Ok(WireSampling {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        seed: sampling.seed,
        stop: &sampling.stop,
        logit_bias: &sampling.logit_bias,
    })
}

fn reasoning_effort(request: &Request, dropped: &mut Vec<String>) -> Option<&'static str> {
    let reasoning = request.reasoning.as_ref()?;
    if reasoning.budget_tokens.is_some_and(|tokens| tokens > 0) {
        dropped.push("reasoning.budget_tokens".to_owned());
    }
    if reasoning.summary.is_some() {
        dropped.push("reasoning.summary".to_owned());
    }
    effort_asked(reasoning)
}

fn stream_options(request: &Request, own: Option<&Extra>) -> Option<Map<String, Value>> {
    if !request.stream {
        return None;
    }
    let others = own.and_then(|extra| extra.fields.get("stream_options"));
    let mut options = others.and_then(Value::as_object).cloned();
    let options_made = options.get_or_insert_default();
    options_made.insert("include_usage".to_owned(), Value::Bool(true));
    options
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireTool<'a> {
    Function {
        r#type: &'static str,
        function: WireFunction<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
    },
    Opaque(&'a Value),
}

#[derive(Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

fn tools<'a>(tools: &'a [Tool], flavour: &Flavour) -> Result<Vec<WireTool<'a>>, Unsupported> {
    let wire = |(index, tool): (usize, &'a Tool)| match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            cache,
        } => Ok(WireTool::Function {
            r#type: "function",
            function: WireFunction {
                name,
                description: description.as_deref(),
                parameters: parameters.as_ref(),
                strict: *strict,
            },
            cache_control: flavour.cache_control(cache.as_deref()),
        }),
        Tool::Opaque(opaque) if opaque.dialect == Dialect::OpenAiChat => {
            Ok(WireTool::Opaque(&opaque.value))
        }
        Tool::Opaque(opaque) => {
            let kind = opaque.value.get("type").and_then(Value::as_str);
            Err(not_sayable(
                format!("tools[{index}]"),
                format!(
                    "the model's provider does not have the tool `{}`",
                    kind.unwrap_or("without a type")
                ),
            ))
        }
    };
    tools.iter().enumerate().map(wire).collect()
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireChoice<'a> {
    Word(&'static str),
    Function {
        r#type: &'static str,
        function: Named<'a>,
    },
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

fn choice(choice: &ToolChoice) -> WireChoice<'_> {
    match choice {
        ToolChoice::Auto => WireChoice::Word("auto"),
        ToolChoice::None => WireChoice::Word("none"),
        ToolChoice::Required => WireChoice::Word("required"),
        ToolChoice::Tool(name) => WireChoice::Function {
            r#type: "function",
            function: Named { name },
        },
    }
}

#[derive(Serialize)]
struct WireFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<FormatFields<'a>>,
}

fn response_format(format: &OutputFormat) -> WireFormat<'_> {
    let (r#type, json_schema) = format_fields(format);
    WireFormat {
        r#type,
        json_schema,
    }
}
