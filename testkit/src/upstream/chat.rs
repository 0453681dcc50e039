//! OpenAI's Chat Completions, and Azure's, as the provider's documentation has them.

use super::ask::{Asked, At, Checked, Complaint, data_url, is_name};
use super::reply::{Call, End, Reply, Usage, halves};
use super::wire::{Frame, sse};
use serde_json::{Value, json};

const FIELDS: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
const OF_MESSAGE: &[&str] = &[
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "audio",
    "annotations",
    "function_call",
    // What the official client adds to an answer, and sends back with it.
    "parsed",
];
const ROLES: &[&str] = &[
    "developer",
    "system",
    "user",
    "assistant",
    "tool",
    "function",
];

/// Checks a request; a lenient server reads over what it does not know.
pub(super) fn read(body: &Value, is_lenient: bool) -> Checked<Asked> {
    let body = At::of(body, "")?;
    if !is_lenient {
        body.only(FIELDS)?;
    }
    body.number("temperature", 0.0, 2.0)?;
    body.number("top_p", 0.0, 1.0)?;
    body.number("max_tokens", 1.0, 1e9)?;
    body.number("max_completion_tokens", 1.0, 1e9)?;
    let is_stream = body.flag("stream")?;
    let mut asked = Asked {
        is_stream,
        tools: tools(&body)?,
        schema: schema(&body)?,
        ..Asked::default()
    };
    if body.get("stream_options").is_some() {
        if !is_stream {
            return Err(body.complain("stream_options", "only allowed when stream is true"));
        }
        asked.wants_usage = body.object("stream_options")?.flag("include_usage")?;
    }
    if body.get("tool_choice").is_some() && asked.tools.is_empty() {
        return Err(body.complain("tool_choice", "only allowed when tools are given"));
    }
    let mut open: Vec<&str> = Vec::new();
    for message in body.full_list("messages")? {
        if !is_lenient {
            message.only(OF_MESSAGE)?;
        }
        let role = message.one_of("role", ROLES)?;
        if role == "tool" {
            let id = message.text("tool_call_id")?;
            let Some(place) = open.iter().position(|known| *known == id) else {
                return Err(message.complain("tool_call_id", "answers no call before it"));
            };
            open.remove(place);
            let (text, _) = content(&message)?;
            asked.results.push(text);
            continue;
        }
        if let Some(id) = open.first() {
            let what = format!("the call {id} before it has no answer");
            return Err(message.complain("role", &what));
        }
        match role {
            "assistant" => open = calls(&message)?,
            "user" => {
                let (text, image) = content(&message)?;
                (asked.text, asked.image) = (text, image.or(asked.image.take()));
                asked.results.clear();
            }
            _ => content(&message).map(|_| ())?,
        }
    }
    match open.first() {
        None => Ok(asked),
        Some(id) => Err(body.complain("messages", &format!("the call {id} has no answer"))),
    }
}

/// A message's text and image.
fn content(message: &At<'_>) -> Checked<(String, Option<(String, usize)>)> {
    let value = message.need("content")?;
    if let Some(text) = value.as_str() {
        return Ok((text.to_owned(), None));
    }
    let (mut text, mut image) = (String::new(), None);
    for part in message.full_list("content")? {
        match part.text("type")? {
            "text" => text.push_str(part.text("text")?),
            "refusal" => text.push_str(part.text("refusal")?),
            "image_url" => {
                let url = part.object("image_url")?.text("url")?;
                image = data_url(url).or_else(|| Some((url.to_owned(), 0)));
            }
            "input_audio" => {
                let audio = part.object("input_audio")?;
                audio.text("data")?;
                audio.one_of("format", &["wav", "mp3"])?;
            }
            "file" => part.object("file").map(|_| ())?,
            _ => return Err(part.complain("type", "no such part")),
        }
    }
    Ok((text, image))
}

/// The ids of an assistant's calls, which have to be answered next.
fn calls<'a>(message: &At<'a>) -> Checked<Vec<&'a str>> {
    let calls = message.list("tool_calls")?;
    if calls.is_empty() {
        if message.get("refusal").is_none() {
            content(message)?;
        }
        return Ok(Vec::new());
    }
    let call = |call: &At<'a>| {
        call.one_of("type", &["function"])?;
        let function = call.object("function")?;
        let name = function.text("name")?;
        if !is_name(name, 64) {
            return Err(function.complain("name", "not a name"));
        }
        function.text("arguments")?;
        call.text("id")
    };
    calls.iter().map(call).collect()
}

fn tools(body: &At<'_>) -> Checked<Vec<(String, Value)>> {
    let tool = |tool: &At<'_>| {
        tool.one_of("type", &["function"])?;
        let function = tool.object("function")?;
        function.only(&["name", "description", "parameters", "strict"])?;
        let name = function.text("name")?;
        if !is_name(name, 64) {
            return Err(function.complain("name", "not a name"));
        }
        let parameters = function.get("parameters").cloned();
        Ok((name.to_owned(), parameters.unwrap_or_else(|| json!({}))))
    };
    match body.get("tools") {
        None => Ok(Vec::new()),
        Some(_) => body.full_list("tools")?.iter().map(tool).collect(),
    }
}

fn schema(body: &At<'_>) -> Checked<Option<Value>> {
    if body.get("response_format").is_none() {
        return Ok(None);
    }
    let format = body.object("response_format")?;
    match format.one_of("type", &["text", "json_object", "json_schema"])? {
        "json_schema" => {
            let named = format.object("json_schema")?;
            if !is_name(named.text("name")?, 64) {
                return Err(named.complain("name", "not a name"));
            }
            Ok(Some(Value::Object(named.object("schema")?.fields.clone())))
        }
        _ => Ok(None),
    }
}

fn usage(usage: Usage) -> Value {
    let prompt = usage.input + usage.read + usage.written;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.read, "cache_write_tokens": usage.written, "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.thoughts, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

const fn finish(end: End) -> Option<&'static str> {
    Some(match end {
        End::Stop | End::Refusal => "stop",
        End::Calls => "tool_calls",
        End::Length => "length",
        End::Filtered => "content_filter",
        // As vLLM says it.
        End::Aborted => "abort",
        End::Silent => return None,
    })
}

/// As OpenRouter hands on what models draw.
fn images(picture: &str) -> Value {
    let url = format!("data:image/png;base64,{picture}");
    json!([{"index": 0, "type": "image_url", "image_url": {"url": url}}])
}

fn call(number: u64, index: usize, call: &Call) -> Value {
    json!({
        "id": format!("call_{number}_{index}"), "type": "function",
        "function": {"name": call.name, "arguments": call.arguments.to_string()},
    })
}

/// The whole answer.
pub(super) fn whole(asked: &Asked, reply: &Reply) -> Value {
    let text = reply.text.concat();
    let is_refusal = reply.end == End::Refusal;
    let mut message = json!({
        "role": "assistant",
        "content": (!is_refusal && !text.is_empty()).then_some(&text),
        "refusal": is_refusal.then_some(&text),
        "annotations": [],
    });
    if !reply.calls.is_empty() {
        let calls = reply.calls.iter().enumerate();
        message["tool_calls"] = calls
            .map(|(index, one)| call(reply.number, index, one))
            .collect();
    }
    // As servers do that show thoughts on this wire; OpenAI itself keeps them.
    if let Some(thought) = reply.thought.filter(|_| asked.is_open) {
        message["reasoning_content"] = json!(thought);
    }
    if let Some(picture) = reply.picture {
        message["images"] = images(picture);
    }
    json!({
        "id": format!("chatcmpl-{}", reply.number), "object": "chat.completion", "created": 1_700_000_000,
        "model": asked.model, "service_tier": "default", "system_fingerprint": "fp_0",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(reply.end)}],
        "usage": usage(reply.usage),
    })
}

/// The same as a stream.
pub(super) fn frames(asked: &Asked, reply: &Reply) -> Vec<Frame> {
    let chunk = |choices: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", reply.number), "object": "chat.completion.chunk",
            "created": 1_700_000_000, "model": asked.model, "service_tier": "default",
            "system_fingerprint": "fp_0", "choices": choices,
        });
        if asked.wants_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let delta = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        sse(None, &chunk(json!([choice])))
    };
    let has_content = !reply.text.is_empty() && reply.end != End::Refusal;
    let empty = has_content.then_some("");
    let first = json!({"role": "assistant", "content": empty, "refusal": null});
    let mut frames = vec![delta(first, None)];
    if let Some(thought) = reply.thought.filter(|_| asked.is_open) {
        let pieces = halves(thought).map(|half| json!({ "reasoning_content": half }));
        frames.extend(pieces.map(|piece| delta(piece, None).content()));
    }
    let field = if reply.end == End::Refusal {
        "refusal"
    } else {
        "content"
    };
    for piece in &reply.text {
        frames.push(delta(json!({ (field): piece }), None).content());
    }
    if let Some(picture) = reply.picture {
        frames.push(delta(json!({"images": images(picture)}), None).content());
    }
    for (index, one) in reply.calls.iter().enumerate() {
        let mut begun = call(reply.number, index, one);
        begun["index"] = json!(index);
        begun["function"]["arguments"] = json!("");
        frames.push(delta(json!({"tool_calls": [begun]}), None).content());
        for half in halves(&one.arguments.to_string()) {
            let more = json!({"index": index, "function": {"arguments": half}});
            frames.push(delta(json!({"tool_calls": [more]}), None).content());
        }
    }
    frames.push(delta(json!({}), finish(reply.end)));
    if asked.wants_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage(reply.usage);
        frames.push(sse(None, &last));
    }
    frames.push(Frame::plain("data: [DONE]\n\n".to_owned()));
    frames
}

/// A refused request, as a body.
pub(super) fn complaint(complaint: &Complaint) -> Value {
    let code = (complaint.status == 401).then_some("invalid_api_key");
    json!({"error": {
        "message": complaint.message, "type": "invalid_request_error",
        "param": complaint.param, "code": code,
    }})
}
