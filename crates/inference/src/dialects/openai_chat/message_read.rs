//! Messages of callers' requests.

use super::super::openai::{
    Object, Path, array, cache_mark, file_source, object, optional_text, signature_of, string,
    text_of,
};
use super::thoughts;
use crate::{Dialect, FileSource, InvalidRequest, Message, Opaque, Part, Role, ToolCall};
use serde_json::Value;

/// Reads the conversation. Results of tools that follow each other become one message.
///
/// # Errors
/// A message is not what it should be, or there is none.
pub(super) fn messages(value: Value, at: &Path<'_>) -> Result<Vec<Message>, InvalidRequest> {
    let items = array(value, at)?;
    if items.is_empty() {
        return Err(at.wrong("must hold at least one message"));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    let mut after_result = false;
    for (index, item) in items.into_iter().enumerate() {
        let at = at.index(index);
        let mut fields = object(item, &at)?;
        let role = text_of(&mut fields, "role", &at)?;
        if role == "tool" {
            let result = tool_result(fields, &at)?;
            match messages.last_mut() {
                Some(message) if after_result => message.parts.push(result),
                _ => messages.push(Message {
                    role: Role::User,
                    parts: vec![result],
                    name: None,
                }),
            }
            after_result = true;
            continue;
        }
        after_result = false;
        messages.push(message(&role, fields, &at)?);
    }
    Ok(messages)
}

fn message(role: &str, mut fields: Object, at: &Path<'_>) -> Result<Message, InvalidRequest> {
    let name = fields.get_mut("name").map(Value::take).unwrap_or_default();
    let name = optional_text(name, &at.key("name"))?;
    let role = match role {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => {
            let parts = assistant(fields, at)?;
            let role = Role::Assistant;
            return Ok(Message { role, parts, name });
        }
        "function" => {
            let at = at.key("role");
            return Err(at.wrong("is `function`, which is no longer understood: use `tool`"));
        }
        _ => {
            return Err(at
                .key("role")
                .wrong("must be `system`, `developer`, `user`, `assistant` or `tool`"));
        }
    };
    let parts = match fields.get_mut("content").map(Value::take) {
        None | Some(Value::Null) => return Err(at.missing("content")),
        Some(value) => content(value, &at.key("content"))?,
    };
    Ok(Message { role, parts, name })
}

fn tool_result(mut fields: Object, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let call_id = text_of(&mut fields, "tool_call_id", at)?;
    let content = match fields.get_mut("content").map(Value::take) {
        None | Some(Value::Null) => return Err(at.missing("content")),
        Some(value) => content(value, &at.key("content"))?,
    };
    Ok(Part::ToolResult {
        call_id,
        content,
        is_error: false,
    })
}

/// Thoughts, then what is said, then calls: the order in which the model made them.
fn assistant(mut fields: Object, at: &Path<'_>) -> Result<Vec<Part>, InvalidRequest> {
    let mut parts = thoughts::of_message(&mut fields, at)?;
    let (mut refusal, mut calls, mut aside) = (None, None, Object::new());
    for (key, value) in fields {
        let at = at.key(&key);
        match key.as_str() {
            _ if value.is_null() => {}
            "content" => parts.extend(content(value, &at)?),
            "refusal" => refusal = Some(string(value, &at)?),
            "tool_calls" => calls = Some(tool_calls(value, &at)?),
            "function_call" => {
                return Err(at.wrong("is no longer understood: send `tool_calls`"));
            }
            "audio" => parts.push(opaque(serde_json::json!({"type": "audio", "audio": value}))),
            "role" => {}
            // What clients send back with a message: nothing, mostly.
            _ if value.as_array().is_some_and(Vec::is_empty) => {}
            _ => drop(aside.insert(key, value)),
        }
    }
    let refusal = refusal.filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::Refusal { text }));
    parts.extend(calls.unwrap_or_default());
    if !aside.is_empty() {
        parts.push(opaque(aside.into()));
    }
    Ok(parts)
}

fn tool_calls(value: Value, at: &Path<'_>) -> Result<Vec<Part>, InvalidRequest> {
    array(value, at)?
        .into_iter()
        .enumerate()
        .map(|(index, value)| tool_call(value, &at.index(index)))
        .collect()
}

fn tool_call(value: Value, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut fields = object(value, at)?;
    let kind = fields.get("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| kind != "function") {
        return Ok(opaque(fields.into()));
    }
    let id = text_of(&mut fields, "id", at)?;
    let signature = fields.get("extra_content").and_then(signature_of);
    let at = at.key("function");
    let Some(function) = fields.get_mut("function").map(Value::take) else {
        return Err(at.wrong("is missing"));
    };
    let mut function = object(function, &at)?;
    Ok(Part::ToolCall(ToolCall {
        id,
        name: text_of(&mut function, "name", &at)?,
        arguments: text_of(&mut function, "arguments", &at)?,
        signature,
    }))
}

/// What is said: text alone, or parts. Text that is empty is no part.
fn content(value: Value, at: &Path<'_>) -> Result<Vec<Part>, InvalidRequest> {
    match value {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| part(item, &at.index(index)))
            .collect(),
        _ => Err(at.wrong("must be a string or an array of parts")),
    }
}

fn part(value: Value, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut fields = object(value, at)?;
    let kind = match fields.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(_) => return Err(at.key("type").wrong("must be a string")),
        None => return Err(at.missing("type")),
    };
    match kind {
        "text" => Ok(Part::Text {
            cache: cache_mark(&mut fields),
            text: text_of(&mut fields, "text", at)?,
        }),
        "refusal" => Ok(Part::Refusal {
            text: text_of(&mut fields, "refusal", at)?,
        }),
        "image_url" => image(&mut fields, at),
        "input_audio" => {
            let (mut inner, at) = (
                inner(&mut fields, "input_audio", at)?,
                at.key("input_audio"),
            );
            Ok(Part::Audio {
                data: text_of(&mut inner, "data", &at)?,
                format: text_of(&mut inner, "format", &at)?,
            })
        }
        "file" => file(inner(&mut fields, "file", at)?, &at.key("file")),
        _ => Ok(opaque(fields.into())),
    }
}

fn inner(fields: &mut Object, key: &str, at: &Path<'_>) -> Result<Object, InvalidRequest> {
    match fields.get_mut(key).map(Value::take) {
        Some(value) => object(value, &at.key(key)),
        None => Err(at.missing(key)),
    }
}

fn image(fields: &mut Object, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let at = at.key("image_url");
    // Some clients send the address itself.
    if let Some(Value::String(url)) = fields.get_mut("image_url") {
        return Ok(Part::Image {
            source: file_source(std::mem::take(url), &at)?,
            detail: None,
        });
    }
    let Some(value) = fields.get_mut("image_url").map(Value::take) else {
        return Err(at.wrong("is missing"));
    };
    let mut inner = object(value, &at)?;
    let url = text_of(&mut inner, "url", &at)?;
    let detail = inner.get_mut("detail").map(Value::take).unwrap_or_default();
    Ok(Part::Image {
        source: file_source(url, &at.key("url"))?,
        detail: optional_text(detail, &at.key("detail"))?,
    })
}

fn file(mut fields: Object, at: &Path<'_>) -> Result<Part, InvalidRequest> {
    let mut take = |key: &str| {
        let value = fields.get_mut(key).map(Value::take).unwrap_or_default();
        optional_text(value, &at.key(key))
    };
    let name = take("filename")?;
    let source = match (take("file_id")?, take("file_data")?) {
        (Some(id), _) => FileSource::Id(id),
        (None, Some(data)) if data.contains(':') => file_source(data, &at.key("file_data"))?,
        // Base64 alone: documents of this dialect are PDFs unless they say otherwise.
        (None, Some(data)) => FileSource::Base64 {
            media_type: "application/pdf".to_owned(),
            data,
        },
        (None, None) => return Err(at.wrong("must have `file_data` or `file_id`")),
    };
    Ok(Part::File { source, name })
}

pub(super) fn opaque(value: Value) -> Part {
    Part::Opaque(Opaque {
        dialect: Dialect::OpenAiChat,
        value,
    })
}
