//! Anthropic's Messages, as the provider's documentation has it.

use super::ask::{Asked, At, Checked, Complaint, decoded, is_name};
use super::reply::{End, Reply, Usage, halves};
use super::wire::{Frame, sse};
use serde_json::{Value, json};

/// What comes with thoughts, and has to come back with them; any other is refused.
const SEAL: &str = "c2VhbCBvZiBhbnRocm9waWM=";

const FIELDS: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "thinking",
    "tool_choice",
    "tools",
    "temperature",
    "top_k",
    "top_p",
];

/// Checks a request.
pub(super) fn read(body: &Value) -> Checked<Asked> {
    let body = At::of(body, "")?;
    body.only(FIELDS)?;
    body.number("temperature", 0.0, 1.0)?;
    body.need("max_tokens")?;
    let most = body.number("max_tokens", 1.0, 1e9)?.unwrap_or_default();
    let mut asked = Asked {
        is_stream: body.flag("stream")?,
        wants_usage: true,
        tools: tools(&body)?,
        schema: schema(&body),
        ..Asked::default()
    };
    if let Some(thinking) = body.get("thinking") {
        let thinking = At::of(thinking, "thinking")?;
        if thinking.one_of("type", &["enabled", "disabled", "adaptive"])? == "enabled" {
            thinking.need("budget_tokens")?;
            thinking.number("budget_tokens", 1024.0, most - 1.0)?;
        }
    }
    if body.get("system").is_some_and(Value::is_array) {
        for block in body.list("system")? {
            block.one_of("type", &["text"])?;
            filled(&block)?;
        }
    }
    if body.get("tool_choice").is_some() {
        let choice = body.object("tool_choice")?;
        choice.one_of("type", &["auto", "any", "tool", "none"])?;
    }
    let messages = body.full_list("messages")?;
    if messages.first().and_then(|first| first.get("role")) != Some(&json!("user")) {
        return Err(body.complain("messages", "the first message must use the user role"));
    }
    let mut open: Vec<&str> = Vec::new();
    for message in &messages {
        let role = message.one_of("role", &["user", "assistant"])?;
        if message.need("content")?.is_string() {
            let text = message.text("content")?;
            if text.is_empty() {
                return Err(message.complain("content", "must not be empty"));
            }
            unanswered(message, &open)?;
            if role == "user" {
                text.clone_into(&mut asked.text);
                asked.results.clear();
            }
            continue;
        }
        let blocks = message.full_list("content")?;
        match role {
            "user" => open = user(message, &blocks, open, &mut asked)?,
            _ => {
                unanswered(message, &open)?;
                open = assistant(&blocks)?;
            }
        }
    }
    match open.first() {
        None => Ok(asked),
        Some(id) => Err(body.complain(
            "messages",
            &format!("`tool_use` {id} without `tool_result`"),
        )),
    }
}

fn unanswered(message: &At<'_>, open: &[&str]) -> Checked<()> {
    match open.first() {
        None => Ok(()),
        Some(id) => {
            let what = format!(
                "`tool_use` {id} was found without a `tool_result` block immediately after"
            );
            Err(message.complain("content", &what))
        }
    }
}

fn filled<'a>(block: &At<'a>) -> Checked<&'a str> {
    let text = block.text("text")?;
    match text.is_empty() {
        true => Err(block.complain("text", "text content blocks must be non-empty")),
        false => Ok(text),
    }
}

fn user<'a>(
    message: &At<'a>,
    blocks: &[At<'a>],
    mut open: Vec<&'a str>,
    asked: &mut Asked,
) -> Checked<Vec<&'a str>> {
    let mut said = String::new();
    for block in blocks {
        match block.text("type")? {
            "text" => said.push_str(filled(block)?),
            "image" => {
                let source = block.object("source")?;
                asked.image = match source.one_of("type", &["base64", "url", "file"])? {
                    "base64" => {
                        let length = decoded(source.text("data")?);
                        let length = length.ok_or_else(|| source.complain("data", "not base64"))?;
                        Some((source.text("media_type")?.to_owned(), length))
                    }
                    "url" => Some((source.text("url")?.to_owned(), 0)),
                    _ => None,
                };
            }
            "document" => block.object("source").map(|_| ())?,
            "tool_result" => {
                let id = block.text("tool_use_id")?;
                let Some(place) = open.iter().position(|known| *known == id) else {
                    return Err(block
                        .complain("tool_use_id", "no `tool_use` block in the previous message"));
                };
                open.remove(place);
                asked.results.push(result(block)?);
            }
            _ => return Err(block.complain("type", "no such block")),
        }
    }
    unanswered(message, &open)?;
    if !said.is_empty() {
        asked.text = said;
    }
    if !blocks
        .iter()
        .any(|block| block.get("tool_use_id").is_some())
    {
        asked.results.clear();
    }
    Ok(open)
}

fn result(block: &At<'_>) -> Checked<String> {
    match block.get("content") {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => {
            let mut text = String::new();
            for part in block.list("content")? {
                if part.one_of("type", &["text", "image", "document", "search_result"])? == "text" {
                    text.push_str(filled(&part)?);
                }
            }
            Ok(text)
        }
    }
}

fn assistant<'a>(blocks: &[At<'a>]) -> Checked<Vec<&'a str>> {
    let mut open = Vec::new();
    for block in blocks {
        match block.text("type")? {
            "text" => filled(block).map(|_| ())?,
            "thinking" => {
                block.text("thinking")?;
                if block.text("signature")? != SEAL {
                    return Err(
                        block.complain("signature", "Invalid `signature` in `thinking` block")
                    );
                }
            }
            "redacted_thinking" => {
                if block.text("data")? != SEAL {
                    return Err(
                        block.complain("data", "Invalid `data` in `redacted_thinking` block")
                    );
                }
            }
            "tool_use" => {
                let id = block.text("id")?;
                if !is_name(id, 256) || !is_name(block.text("name")?, 128) {
                    return Err(block.complain("id", "should match '^[a-zA-Z0-9_-]+$'"));
                }
                block.object("input")?;
                open.push(id);
            }
            _ => return Err(block.complain("type", "no such block")),
        }
    }
    Ok(open)
}

fn tools(body: &At<'_>) -> Checked<Vec<(String, Value)>> {
    let tool = |tool: &At<'_>| {
        let name = tool.text("name")?;
        if !is_name(name, 128) {
            return Err(tool.complain("name", "not a name"));
        }
        let schema = tool.object("input_schema")?;
        schema.one_of("type", &["object"])?;
        Ok((name.to_owned(), Value::Object(schema.fields.clone())))
    };
    body.list("tools")?.iter().map(tool).collect()
}

fn schema(body: &At<'_>) -> Option<Value> {
    let format = body.get("output_config")?.get("format")?;
    (format["type"] == "json_schema").then(|| format["schema"].clone())
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input, "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.read,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output, "service_tier": "standard",
    })
}

const fn reason(end: End) -> &'static str {
    match end {
        End::Stop | End::Aborted | End::Silent => "end_turn",
        End::Calls => "tool_use",
        End::Length => "max_tokens",
        End::Filtered | End::Refusal => "refusal",
    }
}

fn blocks(reply: &Reply) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(thought) = reply.thought {
        blocks.push(json!({"type": "thinking", "thinking": thought, "signature": SEAL}));
        blocks.push(json!({"type": "redacted_thinking", "data": SEAL}));
    }
    if !reply.text.is_empty() {
        blocks.push(json!({"type": "text", "text": reply.text.concat()}));
    }
    for (index, call) in reply.calls.iter().enumerate() {
        let id = format!("toolu_{}_{index}", reply.number);
        blocks.push(
            json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}),
        );
    }
    blocks
}

/// The whole answer.
pub(super) fn whole(asked: &Asked, reply: &Reply) -> Value {
    json!({
        "id": format!("msg_{}", reply.number), "type": "message", "role": "assistant",
        "model": asked.model, "content": blocks(reply), "stop_reason": reason(reply.end),
        "stop_sequence": null, "usage": usage(reply.usage),
    })
}

/// The same as a stream.
pub(super) fn frames(asked: &Asked, reply: &Reply) -> Vec<Frame> {
    let say = |kind: &str, mut event: Value| {
        event["type"] = json!(kind);
        sse(Some(kind), &event)
    };
    let mut begun = whole(asked, reply);
    (begun["content"], begun["stop_reason"]) = (json!([]), Value::Null);
    begun["usage"]["output_tokens"] = json!(1);
    let mut frames = vec![say("message_start", json!({ "message": begun }))];
    for (index, block) in blocks(reply).iter().enumerate() {
        let (empty, deltas) = deltas(block, &reply.text);
        let start = json!({"index": index, "content_block": empty});
        frames.push(say("content_block_start", start));
        if index == 0 {
            frames.push(say("ping", json!({})));
        }
        for delta in deltas {
            let is_content = delta["type"] != "signature_delta";
            let frame = say(
                "content_block_delta",
                json!({"index": index, "delta": delta}),
            );
            frames.push(if is_content { frame.content() } else { frame });
        }
        frames.push(say("content_block_stop", json!({"index": index})));
    }
    let delta = json!({"stop_reason": reason(reply.end), "stop_sequence": null});
    let total = json!({"output_tokens": reply.usage.output});
    frames.push(say(
        "message_delta",
        json!({"delta": delta, "usage": total}),
    ));
    frames.push(say("message_stop", json!({})));
    frames
}

/// A block as it begins, and what is added to it.
fn deltas(block: &Value, text: &[String]) -> (Value, Vec<Value>) {
    let mut empty = block.clone();
    let deltas = match block["type"].as_str().unwrap_or_default() {
        "text" => {
            empty["text"] = json!("");
            let delta = |piece: &String| json!({"type": "text_delta", "text": piece});
            text.iter().map(delta).collect()
        }
        "thinking" => {
            (empty["thinking"], empty["signature"]) = (json!(""), json!(""));
            let thought = block["thinking"].as_str().unwrap_or_default();
            let delta = |half| json!({"type": "thinking_delta", "thinking": half});
            let sealed = json!({"type": "signature_delta", "signature": SEAL});
            halves(thought)
                .into_iter()
                .map(delta)
                .chain([sealed])
                .collect()
        }
        "tool_use" => {
            empty["input"] = json!({});
            let delta = |half: &str| json!({"type": "input_json_delta", "partial_json": half});
            let input = block["input"].to_string();
            let pieces = halves(&input);
            [delta(""), delta(pieces[0]), delta(pieces[1])].into()
        }
        _ => Vec::new(),
    };
    (empty, deltas)
}

/// A refused request, as a body.
pub(super) fn complaint(complaint: &Complaint) -> Value {
    let kind = match complaint.status {
        401 => "authentication_error",
        404 => "not_found_error",
        _ => "invalid_request_error",
    };
    error(kind, &complaint.message)
}

pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({
        "type": "error", "error": {"type": kind, "message": message}, "request_id": "req_upstream",
    })
}
