//! Requests, written.

use super::block_write::{Block, Blocks, Content};
use super::closed_schema::close_objects;
use super::thinking::{self, Thinking};
use super::tools_write::{WireTool, tool_choice, tools};
use crate::dialects::foreign::foreign_fields;
use crate::dialects::last_turn::refuse_silence;
use crate::dialects::user::user_within;
use crate::{Dialect, EncodedRequest, Message, OutputFormat, Request, Role, Unsupported};
use serde::Serialize;
use serde_json::{Value, json};

/// The most characters of a user's id that the provider takes.
const USER_LENGTH_MAX: usize = 256;

/// What a request cannot tell and its form depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// The tokens of an answer whose request sets no limit: the wire requires one.
    pub(crate) output_tokens_default: u64,
    /// How the model is told to think.
    pub(crate) thinking: Thinking,
    /// Whether the model knows messages of the system within a conversation.
    pub(crate) system_in_place: bool,
}

impl Options {
    /// The options for a model by its name; what is not known counts as new.
    #[must_use]
    pub(crate) fn of_model(model: &str) -> Self {
        const BUDGET: &[&str] = &[
            "claude-3",
            "opus-4-0",
            "opus-4-1",
            "opus-4-2025",
            "opus-4@",
            "sonnet-4-0",
            "sonnet-4-2025",
            "sonnet-4@",
            "opus-4-5",
            "sonnet-4-5",
            "haiku-4-5",
        ];
        let is_any = |names: &[&str]| names.iter().any(|name| model.contains(name));
        let output_tokens_default = if is_any(&["claude-3-5", "claude-3-7"]) {
            8192
        } else if is_any(&["claude-3"]) {
            4096
        } else {
            32_000
        };
        let thinking = if is_any(BUDGET) {
            Thinking::Budget
        } else {
            Thinking::Adaptive
        };
        Self {
            output_tokens_default,
            thinking,
            system_in_place: false,
        }
    }
}

/// Writes the body of `POST /v1/messages`.
///
/// # Errors
/// [`Unsupported`], naming what this wire cannot say.
pub(crate) fn write_request(
    request: &Request,
    model: &str,
    options: &Options,
) -> Result<EncodedRequest, Unsupported> {
    refuse(request)?;
    let mut dropped = Vec::new();
    let output_tokens = request
        .output_tokens_max
        .unwrap_or(options.output_tokens_default);
    let thinking = thinking::write(request, options, output_tokens, &mut dropped);
    let max_tokens = match (request.output_tokens_max, &request.reasoning) {
        // The limit is ours, so it makes room for the thoughts that were asked for.
        (None, Some(reasoning)) => {
            output_tokens.saturating_add(reasoning.budget_tokens.unwrap_or(0))
        }
        _ => output_tokens,
    };
    let (system, messages) = conversation(request, options, &mut dropped)?;
    let sampling = &request.sampling;
    let body = Body {
        model,
        max_tokens,
        system: Content::of(system),
        messages,
        tools: tools(request)?,
        tool_choice: tool_choice(request),
        thinking: thinking.thinking,
        output_config: output_config(request, thinking.effort, &mut dropped),
        stop_sequences: &sampling.stop,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        stream: request.stream,
        metadata: metadata(request),
    };
    let body = serde_json::to_vec(&body).map_err(|error| unsupported("messages", &error))?;
    let body = with_extra(body, request, &mut dropped)?;
    Ok(EncodedRequest { body, dropped })
}

pub(super) fn unsupported(param: &str, message: &dyn std::fmt::Display) -> Unsupported {
    Unsupported {
        param: param.to_owned(),
        message: message.to_string(),
    }
}

/// Refuses what would change the answer if it were left out. Values that change nothing pass.
fn refuse(request: &Request) -> Result<(), Unsupported> {
    let sampling = &request.sampling;
    let is_set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let refused = [
        ("frequency_penalty", is_set(sampling.frequency_penalty)),
        ("presence_penalty", is_set(sampling.presence_penalty)),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("n", request.choices.is_some_and(|choices| choices != 1)),
        ("logprobs", request.logprobs.is_some()),
    ];
    if let Some((param, _)) = refused.into_iter().find(|(_, is_refused)| *is_refused) {
        return Err(unsupported(
            param,
            &"Anthropic's Messages have no such field",
        ));
    }
    if sampling
        .temperature
        .is_some_and(|heat| !(0.0..=1.0).contains(&heat))
    {
        return Err(unsupported("temperature", &"Anthropic takes 0 to 1"));
    }
    if request.format == Some(OutputFormat::JsonObject) {
        let message = "Anthropic knows JSON only with a schema";
        return Err(unsupported("response_format", &message));
    }
    Ok(())
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<Content<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Content<'a>,
}

/// A turn whose messages are still being collected.
struct Open<'a> {
    role: Role,
    blocks: Vec<Block<'a>>,
}

/// The instructions, and the turns of the conversation.
fn conversation<'a>(
    request: &'a Request,
    options: &Options,
    dropped: &mut Vec<String>,
) -> Result<(Vec<Block<'a>>, Vec<Turn<'a>>), Unsupported> {
    let mut system = Vec::new();
    let mut turns: Vec<Open<'a>> = Vec::with_capacity(request.messages.len());
    for (at, message) in request.messages.iter().enumerate() {
        let blocks = message_blocks(at, message, dropped)?;
        let role = match message.role {
            Role::System | Role::Developer if turns.is_empty() || !options.system_in_place => {
                if !turns.is_empty() && !blocks.is_empty() {
                    dropped.push(format!("messages[{at}]"));
                }
                system.extend(blocks);
                continue;
            }
            Role::System | Role::Developer => Role::System,
            role @ (Role::User | Role::Assistant) => role,
        };
        match turns.last_mut() {
            Some(last) if last.role == role => last.blocks.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => turns.push(Open { role, blocks }),
        }
    }
    let last = turns.iter().rfind(|turn| turn.role != Role::System);
    refuse_silence(&request.messages, last.map(|turn| turn.role))?;
    if turns.is_empty() && !system.is_empty() {
        turns.push(Open {
            role: Role::User,
            blocks: std::mem::take(&mut system),
        });
    }
    if let Some(last) = turns.last_mut() {
        trim_prefill(last);
    }
    let turns = turns.into_iter().filter_map(closed).collect();
    Ok((system, turns))
}

fn message_blocks<'a>(
    at: usize,
    message: &'a Message,
    dropped: &mut Vec<String>,
) -> Result<Vec<Block<'a>>, Unsupported> {
    if message.name.is_some() {
        dropped.push(format!("messages[{at}].name"));
    }
    let mut blocks = Blocks {
        written: Vec::with_capacity(message.parts.len()),
        dropped,
    };
    for (index, part) in message.parts.iter().enumerate() {
        blocks.add(part, &|| format!("messages[{at}].content[{index}]"))?;
    }
    Ok(blocks.written)
}

/// The provider refuses white space at the end of what the model is to go on with.
fn trim_prefill(last: &mut Open<'_>) {
    if last.role == Role::Assistant
        && let Some(Block::Text { text, .. }) = last.blocks.last_mut()
    {
        *text = text.trim_end();
    }
}

fn closed(mut turn: Open<'_>) -> Option<Turn<'_>> {
    let role = match turn.role {
        Role::System | Role::Developer => "system",
        Role::User => {
            // Stable: what is no result keeps its order behind them.
            turn.blocks
                .sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
            "user"
        }
        Role::Assistant => "assistant",
    };
    let content = Content::of(turn.blocks)?;
    Some(Turn { role, content })
}

fn output_config(
    request: &Request,
    effort: Option<&'static str>,
    dropped: &mut Vec<String>,
) -> Option<Value> {
    let left = own_field(request, "output_config").and_then(Value::as_object);
    let mut config = left.cloned().unwrap_or_default();
    if let Some(effort) = effort {
        let _ = config.insert("effort".to_owned(), json!(effort));
    }
    if let Some(OutputFormat::JsonSchema { schema, .. }) = &request.format {
        let mut schema = schema.clone();
        // The provider refuses objects that do not say it; its own callers may want to hear that.
        if request.caller != Some(Dialect::Anthropic) && close_objects(&mut schema) {
            dropped.push("response_format.additionalProperties".to_owned());
        }
        let format = json!({"type": "json_schema", "schema": schema});
        let _ = config.insert("format".to_owned(), format);
    }
    (!config.is_empty()).then_some(Value::Object(config))
}

fn metadata(request: &Request) -> Option<Value> {
    let left = own_field(request, "metadata").and_then(Value::as_object);
    let mut metadata = left.cloned().unwrap_or_default();
    if let Some(user) = &request.user {
        let _ = metadata.insert(
            "user_id".to_owned(),
            json!(user_within(user, USER_LENGTH_MAX)),
        );
    }
    (!metadata.is_empty()).then_some(Value::Object(metadata))
}

/// What is left of a field that is otherwise understood.
pub(super) fn own_field<'a>(request: &'a Request, name: &str) -> Option<&'a Value> {
    let extra = request.extra.as_ref()?;
    (extra.dialect == Dialect::Anthropic)
        .then(|| extra.fields.get(name))
        .flatten()
}

/// Adds the caller's own fields to the object, or names them as left out.
fn with_extra(
    mut body: Vec<u8>,
    request: &Request,
    dropped: &mut Vec<String>,
) -> Result<Vec<u8>, Unsupported> {
    const MERGED: &[&str] = &["thinking", "output_config", "metadata", "tools"];
    let Some(extra) = &request.extra else {
        return Ok(body);
    };
    if extra.dialect != Dialect::Anthropic {
        dropped.extend(foreign_fields(Some(extra), Dialect::Anthropic)?);
        return Ok(body);
    }
    let closing = body.pop();
    for (name, value) in &extra.fields {
        if MERGED.contains(&name.as_str()) {
            continue;
        }
        body.push(b',');
        serde_json::to_writer(&mut body, name).map_err(|error| unsupported(name, &error))?;
        body.push(b':');
        serde_json::to_writer(&mut body, value).map_err(|error| unsupported(name, &error))?;
    }
    body.extend(closing);
    Ok(body)
}
