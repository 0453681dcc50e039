//! Tools, and whether one has to be called, written.

use super::block_write::Cache;
use super::request_write::{own_field, unsupported};
use crate::{Dialect, Request, Tool, ToolChoice, Unsupported};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireTool<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Cow<'a, Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Cache<'a>>,
        #[serde(flatten)]
        left: Option<&'a Map<String, Value>>,
    },
    Opaque(&'a Value),
}

pub(super) fn tools(request: &Request) -> Result<Vec<WireTool<'_>>, Unsupported> {
    let left = own_field(request, "tools");
    let tools = request.tools.iter().enumerate();
    tools
        .map(|(at, tool)| match tool {
            Tool::Function {
                name,
                description,
                parameters,
                strict,
                cache,
            } => Ok(WireTool::Function {
                name,
                description: description.as_deref(),
                input_schema: schema(parameters.as_ref()),
                strict: *strict,
                cache_control: cache.as_deref().map(Cache::of),
                left: left.and_then(|left| left.get(name)?.as_object()),
            }),
            Tool::Opaque(opaque) if opaque.dialect == Dialect::Anthropic => {
                Ok(WireTool::Opaque(&opaque.value))
            }
            Tool::Opaque(_) => Err(unsupported(
                &format!("tools[{at}]"),
                &"only the caller's own dialect knows this tool",
            )),
        })
        .collect()
}

/// The schema of a function's arguments: the wire wants an object whose type is said.
fn schema(parameters: Option<&Value>) -> Cow<'_, Value> {
    match parameters {
        Some(Value::Object(schema)) if schema.contains_key("type") => {
            parameters.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
        }
        Some(Value::Object(schema)) => {
            let mut schema = schema.clone();
            let _ = schema.insert("type".to_owned(), json!("object"));
            Cow::Owned(Value::Object(schema))
        }
        _ => Cow::Owned(json!({"type": "object", "properties": {}})),
    }
}

pub(super) fn tool_choice(request: &Request) -> Option<Value> {
    let is_alone = request.parallel_tool_calls.map(|is_parallel| !is_parallel);
    let mut choice = match &request.tool_choice {
        None if is_alone == Some(true) && !request.tools.is_empty() => json!({"type": "auto"}),
        None => return None,
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Tool(name)) => json!({"type": "tool", "name": name}),
    };
    if let (Some(is_alone), Some(fields)) = (is_alone, choice.as_object_mut()) {
        let _ = fields.insert("disable_parallel_tool_use".to_owned(), json!(is_alone));
    }
    Some(choice)
}
