//! Items of callers' requests.

use super::super::openai::{
    Object, Path, array, cache_mark, file_source, object, optional_text, signature_of, text_of,
};
use super::items::{has_origin, is_of_caller, opaque, thought_text};
use super::sealed;
use crate::{FileSource, InvalidRequest, Message, Part, Role, ToolCall};
use serde_json::{Value, json};

/// What an item belongs to, and with what it is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Joined with the model's items before it.
    Model,
    /// Joined with the results before it.
    Results,
    /// By itself.
    Message,
}

/// Reads the input.
///
/// # Errors
/// An item is not what it should be.
pub(super) fn input(value: Value, at: &Path<'_>) -> Result<Vec<Message>, InvalidRequest> {
    let items = match value {
        Value::String(text) => {
            return Ok(vec![Message {
                role: Role::User,
                parts: plain(text),
                name: None,
            }]);
        }
        Value::Array(items) => items,
        _ => return Err(at.wrong("must be a string or an array of items")),
    };
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    let mut before = Turn::Message;
    for (index, value) in items.into_iter().enumerate() {
        let at = at.index(index);
        let (turn, role, parts) = item(object(value, &at)?, &at)?;
        match messages.last_mut() {
            Some(message) if turn == before && turn != Turn::Message => {
                message.parts.extend(parts);
            }
            _ => messages.push(Message {
                role,
                parts,
                name: None,
            }),
        }
        before = turn;
    }
    Ok(messages)
}

fn plain(text: String) -> Vec<Part> {
    if text.is_empty() {
        Vec::new()
    } else {
        vec![Part::text(text)]
    }
}

fn item(mut fields: Object, at: &Path<'_>) -> Result<(Turn, Role, Vec<Part>), InvalidRequest> {
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        None | Some(Value::Null) if fields.contains_key("role") => "message",
        None | Some(Value::Null) => return Err(at.missing("type")),
        Some(_) => return Err(at.key("type").wrong("must be a string")),
    };
    match kind {
        "message" => message(fields, at),
        "function_call" if has_origin(&fields) => {
            Ok((Turn::Model, Role::Assistant, vec![opaque(fields.into())]))
        }
        "function_call" => {
            let signature = fields.get("extra_content").and_then(signature_of);
            let call = ToolCall {
                id: text_of(&mut fields, "call_id", at)?,
                name: text_of(&mut fields, "name", at)?,
                arguments: text_of(&mut fields, "arguments", at)?,
                signature,
            };
            Ok((Turn::Model, Role::Assistant, vec![Part::ToolCall(call)]))
        }
        "function_call_output" => {
            let output = fields.get_mut("output").map(Value::take);
            let Some(output) = output.filter(|output| !output.is_null()) else {
                return Err(at.missing("output"));
            };
            let result = Part::ToolResult {
                call_id: text_of(&mut fields, "call_id", at)?,
                content: content(output, &at.key("output"))?,
                is_error: false,
            };
            Ok((Turn::Results, Role::User, vec![result]))
        }
        "reasoning" => Ok((Turn::Model, Role::Assistant, vec![reasoning(fields, at)?])),
        kind if is_of_caller(kind) => Ok((Turn::Results, Role::User, vec![opaque(fields.into())])),
        _ => Ok((Turn::Model, Role::Assistant, vec![opaque(fields.into())])),
    }
}

fn message(mut fields: Object, at: &Path<'_>) -> Result<(Turn, Role, Vec<Part>), InvalidRequest> {
    let (turn, role) = match text_of(&mut fields, "role", at)?.as_str() {
        "system" => (Turn::Message, Role::System),
        "developer" => (Turn::Message, Role::Developer),
        "user" => (Turn::Message, Role::User),
        "assistant" => (Turn::Model, Role::Assistant),
        _ => {
            let at = at.key("role");
            return Err(at.wrong("must be `system`, `developer`, `user` or `assistant`"));
        }
    };
    let value = fields.get_mut("content").map(Value::take);
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Err(at.missing("content"));
    };
    let phase = fields.get_mut("phase").map(Value::take);
    let phase = phase.filter(|phase| !phase.is_null());
    let mut parts: Vec<Part> = phase
        .map(|phase| opaque(json!({ "phase": phase })))
        .into_iter()
        .collect();
    parts.extend(content(value, &at.key("content"))?);
    Ok((turn, role, parts))
}

fn reasoning(mut fields: Object, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut take = |key: &str| {
        let value = fields.get_mut(key).map(Value::take).unwrap_or_default();
        optional_text(value, &at.key(key))
    };
    let id = sealed::provider_id(take("id")?);
    let (signature, sealed) = sealed::split(take("encrypted_content")?);
    for key in ["summary", "content"] {
        if let Some(value) = fields
            .get(key)
            .filter(|value| !value.is_null() && !value.is_array())
        {
            return array(value.clone(), &at.key(key)).map(|_| Part::text(""));
        }
    }
    Ok(Part::Reasoning {
        text: thought_text(&fields),
        signature,
        sealed,
        id,
    })
}

/// What is said or answered: text alone, or parts. Text that is empty is no part.
fn content(value: Value, at: &Path<'_>) -> Result<Vec<Part>, InvalidRequest> {
    match value {
        Value::String(text) => Ok(plain(text)),
        Value::Array(items) => {
            let mut parts = Vec::with_capacity(items.len());
            for (index, item) in items.into_iter().enumerate() {
                let found = found_in(&item);
                parts.push(part(item, &at.index(index))?);
                parts.extend(found);
            }
            Ok(parts)
        }
        _ => Err(at.wrong("must be a string or an array of parts")),
    }
}

/// Where a text was found, as a part behind it.
fn found_in(text: &Value) -> Option<Part> {
    let is_text = text.get("type")? == "output_text";
    let list = text.get("annotations")?.as_array()?;
    (is_text && !list.is_empty()).then(|| opaque(json!({ "annotations": list })))
}

fn part(value: Value, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut fields = object(value, at)?;
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(_) => return Err(at.key("type").wrong("must be a string")),
        None => return Err(at.missing("type")),
    };
    match kind {
        "input_text" | "output_text" | "text" => Ok(Part::Text {
            cache: cache_mark(&mut fields),
            text: text_of(&mut fields, "text", at)?,
        }),
        "refusal" => Ok(Part::Refusal {
            text: text_of(&mut fields, "refusal", at)?,
        }),
        "input_image" => image(fields, at),
        "input_file" => file(fields, at),
        "input_audio" => {
            let inner = fields.get_mut("input_audio").map(Value::take);
            let at = at.key("input_audio");
            let mut inner = object(inner.unwrap_or_default(), &at)?;
            Ok(Part::Audio {
                data: text_of(&mut inner, "data", &at)?,
                format: text_of(&mut inner, "format", &at)?,
            })
        }
        _ => Ok(opaque(fields.into())),
    }
}

fn image(mut fields: Object, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut take = |key: &str| {
        let value = fields.get_mut(key).map(Value::take).unwrap_or_default();
        optional_text(value, &at.key(key))
    };
    let source = match (take("file_id")?, take("image_url")?) {
        (Some(id), _) => FileSource::Id(id),
        (None, Some(url)) => file_source(url, &at.key("image_url"))?,
        (None, None) => return Err(at.wrong("must have `image_url` or `file_id`")),
    };
    Ok(Part::Image {
        source,
        detail: take("detail")?,
    })
}

fn file(mut fields: Object, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut take = |key: &str| {
        let value = fields.get_mut(key).map(Value::take).unwrap_or_default();
        optional_text(value, &at.key(key))
    };
    let (id, url, data) = (take("file_id")?, take("file_url")?, take("file_data")?);
    let name = take("filename")?;
    let source = match (id, url, data) {
        (Some(id), _, _) => FileSource::Id(id),
        (None, Some(url), _) => file_source(url, &at.key("file_url"))?,
        (None, None, Some(data)) if data.contains(':') => file_source(data, &at.key("file_data"))?,
        (None, None, Some(data)) => FileSource::Base64 {
            media_type: "application/pdf".to_owned(),
            data,
        },
        (None, None, None) => {
            return Err(at.wrong("must have `file_data`, `file_url` or `file_id`"));
        }
    };
    Ok(Part::File { source, name })
}
