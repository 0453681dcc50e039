//! Requests, read.

use super::block_read::{CacheControl, Content, read_content};
use super::thinking;
use crate::dialects::reading::{read_at, read_value};
use crate::dialects::strict_schema::is_strict;
use crate::{
    Dialect, Extra, InvalidRequest, Message, Opaque, OutputFormat, Request, Role, Sampling, Tool,
    ToolChoice,
};
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The name of a schema, which this wire does not tell.
const SCHEMA_NAME: &str = "output";

/// Reads the body of `POST /v1/messages`.
///
/// # Errors
/// [`InvalidRequest`], naming the field.
pub(crate) fn read_request(body: &[u8]) -> Result<Request, InvalidRequest> {
    let request = read_any_request(body)?;
    if request.output_tokens_max.is_none() {
        return Err(InvalidRequest::at("max_tokens", "the field is required"));
    }
    Ok(request)
}

/// Reads a request that may lack `max_tokens`.
pub(super) fn read_any_request(body: &[u8]) -> Result<Request, InvalidRequest> {
    let mut wire: Wire<'_> = read_at(body, "")?;
    let lacks = |name: &str| InvalidRequest::at(name, "the field is required");
    let messages = wire.messages.take().ok_or_else(|| lacks("messages"))?;
    let mut extra = std::mem::take(&mut wire.rest);
    let tools = read_tools(wire.tools.take().unwrap_or_default(), &mut extra)?;
    let (tool_choice, parallel_tool_calls) = match wire.tool_choice.take() {
        Some(choice) => choice.neutral()?,
        None => (None, None),
    };
    let (format, effort) = read_output(&mut wire, &mut extra)?;
    let reasoning = thinking::read(wire.thinking.take(), effort, &mut extra)?;
    let user = read_user(wire.metadata.take(), &mut extra)?;
    let system = read_system(wire.system)?;
    Ok(Request {
        is_first_apart: system.is_some(),
        model: wire.model.ok_or_else(|| lacks("model"))?,
        messages: read_messages(system, messages)?,
        tools,
        tool_choice,
        parallel_tool_calls,
        format,
        output_tokens_max: wire.max_tokens,
        sampling: Sampling {
            temperature: wire.temperature,
            top_p: wire.top_p,
            top_k: wire.top_k,
            stop: wire.stop_sequences.unwrap_or_default(),
            ..Sampling::default()
        },
        reasoning,
        stream: wire.stream.unwrap_or(false),
        user,
        extra: (!extra.is_empty()).then_some(Extra {
            dialect: Dialect::Anthropic,
            fields: extra,
        }),
        ..Request::default()
    })
}

fn read_system(system: Option<Content<'_>>) -> Result<Option<Message>, InvalidRequest> {
    let Some(system) = system else {
        return Ok(None);
    };
    let parts = read_content(system, "system")?;
    Ok((!parts.is_empty()).then_some(Message {
        role: Role::System,
        parts,
        name: None,
    }))
}

fn read_messages(
    system: Option<Message>,
    messages: Vec<WireMessage<'_>>,
) -> Result<Vec<Message>, InvalidRequest> {
    let mut read = Vec::with_capacity(messages.len() + 1);
    read.extend(system);
    for (at, message) in messages.into_iter().enumerate() {
        let parts = read_content(message.content, &format!("messages[{at}].content"))?;
        read.push(Message {
            role: message.role.into(),
            parts,
            name: None,
        });
    }
    Ok(read)
}

fn read_user(
    metadata: Option<Map<String, Value>>,
    extra: &mut Map<String, Value>,
) -> Result<Option<String>, InvalidRequest> {
    let Some(mut metadata) = metadata else {
        return Ok(None);
    };
    let user = match metadata.shift_remove("user_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(user)) => Some(user),
        Some(_) => return Err(InvalidRequest::at("metadata.user_id", "expected a string")),
    };
    if !metadata.is_empty() {
        let _ = extra.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Ok(user)
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    schema: Option<Value>,
}

/// The form of the answer, and the effort.
fn read_output(
    wire: &mut Wire<'_>,
    extra: &mut Map<String, Value>,
) -> Result<(Option<OutputFormat>, Option<String>), InvalidRequest> {
    let mut config = wire.output_config.take().unwrap_or_default();
    let effort = match config.shift_remove("effort") {
        None | Some(Value::Null) => None,
        Some(Value::String(effort)) => Some(effort),
        Some(_) => {
            return Err(InvalidRequest::at(
                "output_config.effort",
                "expected a string",
            ));
        }
    };
    let place = "output_config.format";
    let (format, place) = match config.shift_remove("format") {
        Some(format) if !format.is_null() => (Some(format), place),
        _ => (wire.output_format.take(), "output_format"),
    };
    if !config.is_empty() {
        let _ = extra.insert("output_config".to_owned(), Value::Object(config));
    }
    let Some(format) = format else {
        return Ok((None, effort));
    };
    let format: Format = read_value(format, place)?;
    if format.kind != "json_schema" {
        return Err(InvalidRequest::at(
            format!("{place}.type"),
            "expected `json_schema`",
        ));
    }
    let lacks = || InvalidRequest::at(format!("{place}.schema"), "the field is required");
    let schema = format.schema.ok_or_else(lacks)?;
    let format = OutputFormat::JsonSchema {
        name: SCHEMA_NAME.to_owned(),
        description: None,
        // This wire follows every schema exactly; others refuse to follow some.
        strict: Some(is_strict(&schema)),
        schema,
    };
    Ok((Some(format), effort))
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    input_schema: Value,
    strict: Option<bool>,
    cache_control: Option<CacheControl>,
    #[serde(rename = "type")]
    _kind: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn read_tools(
    tools: Vec<Value>,
    extra: &mut Map<String, Value>,
) -> Result<Vec<Tool>, InvalidRequest> {
    let mut left = Map::new();
    let mut read = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        let place = format!("tools[{at}]");
        let is_function = match tool.get("type") {
            None | Some(Value::Null) => true,
            Some(Value::String(kind)) => kind == "custom",
            Some(_) => {
                return Err(InvalidRequest::at(
                    format!("{place}.type"),
                    "expected a string",
                ));
            }
        };
        if !is_function {
            let dialect = Dialect::Anthropic;
            read.push(Tool::Opaque(Opaque {
                dialect,
                value: tool,
            }));
            continue;
        }
        let tool: Function = read_value(tool, &place)?;
        if !tool.input_schema.is_object() {
            let place = format!("{place}.input_schema");
            return Err(InvalidRequest::at(place, "expected an object"));
        }
        if !tool.rest.is_empty() {
            let _ = left.insert(tool.name.clone(), Value::Object(tool.rest));
        }
        read.push(Tool::Function {
            name: tool.name,
            description: tool.description,
            parameters: Some(tool.input_schema),
            strict: tool.strict,
            cache: tool.cache_control.map(CacheControl::time),
        });
    }
    if !left.is_empty() {
        let _ = extra.insert("tools".to_owned(), Value::Object(left));
    }
    Ok(read)
}

#[derive(Deserialize)]
struct Choice {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

impl Choice {
    fn neutral(self) -> Result<(Option<ToolChoice>, Option<bool>), InvalidRequest> {
        let choice =
            match self.kind.as_str() {
                "auto" => ToolChoice::Auto,
                "any" => ToolChoice::Required,
                "none" => ToolChoice::None,
                "tool" => ToolChoice::Tool(self.name.ok_or_else(|| {
                    InvalidRequest::at("tool_choice.name", "the field is required")
                })?),
                _ => {
                    let message = "expected `auto`, `any`, `tool` or `none`";
                    return Err(InvalidRequest::at("tool_choice.type", message));
                }
            };
        let parallel = self
            .disable_parallel_tool_use
            .map(|is_disabled| !is_disabled);
        Ok((Some(choice), parallel))
    }
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    role: WireRole,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRole {
    System,
    User,
    Assistant,
}

impl From<WireRole> for Role {
    fn from(role: WireRole) -> Self {
        match role {
            WireRole::System => Self::System,
            WireRole::User => Self::User,
            WireRole::Assistant => Self::Assistant,
        }
    }
}

/// The body, field by field; `rest` holds what is not known by name.
#[derive(Default)]
struct Wire<'a> {
    model: Option<String>,
    messages: Option<Vec<WireMessage<'a>>>,
    system: Option<Content<'a>>,
    max_tokens: Option<u64>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Choice>,
    thinking: Option<Value>,
    output_config: Option<Map<String, Value>>,
    output_format: Option<Value>,
    stop_sequences: Option<Vec<String>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    stream: Option<bool>,
    metadata: Option<Map<String, Value>>,
    rest: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Wire<'de> {
    fn deserialize<D: de::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(WireVisitor)
    }
}

struct WireVisitor;

impl<'de> Visitor<'de> for WireVisitor {
    type Value = Wire<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut wire = Wire::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "model" => wire.model = map.next_value()?,
                "messages" => wire.messages = map.next_value()?,
                "system" => wire.system = map.next_value()?,
                "max_tokens" => wire.max_tokens = map.next_value()?,
                "tools" => wire.tools = map.next_value()?,
                "tool_choice" => wire.tool_choice = map.next_value()?,
                "thinking" => wire.thinking = map.next_value()?,
                "output_config" => wire.output_config = map.next_value()?,
                "output_format" => wire.output_format = map.next_value()?,
                "stop_sequences" => wire.stop_sequences = map.next_value()?,
                "temperature" => wire.temperature = map.next_value()?,
                "top_p" => wire.top_p = map.next_value()?,
                "top_k" => wire.top_k = map.next_value()?,
                "stream" => wire.stream = map.next_value()?,
                "metadata" => wire.metadata = map.next_value()?,
                _ => {
                    let _ = wire.rest.insert(name, map.next_value()?);
                }
            }
        }
        Ok(wire)
    }
}
