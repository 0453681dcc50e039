//! OpenAI's Responses, as the provider's documentation has it.

use super::ask::{Asked, At, Checked, data_url, is_name};
use super::reply::{End, Reply, Usage, halves};
use super::wire::{Frame, sse};
use serde_json::{Value, json};

/// What comes with thoughts, and has to come back with them; any other is refused.
const SEAL: &str = "c2VhbCBvZiBvcGVuYWk=";

const FIELDS: &[&str] = &[
    "background",
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Checks a request.
pub(super) fn read(body: &Value) -> Checked<Asked> {
    let body = At::of(body, "")?;
    body.only(FIELDS)?;
    body.number("temperature", 0.0, 2.0)?;
    body.number("max_output_tokens", 16.0, 1e9)?;
    let mut asked = Asked {
        is_stream: body.flag("stream")?,
        tools: tools(&body)?,
        schema: schema(&body)?,
        wants_usage: true,
        ..Asked::default()
    };
    if let Some(text) = body.need("input")?.as_str() {
        text.clone_into(&mut asked.text);
        return Ok(asked);
    }
    let mut open: Vec<&str> = Vec::new();
    let mut is_thought = false;
    for item in body.full_list("input")? {
        let kind = item
            .get("type")
            .map_or(Ok("message"), |_| item.text("type"))?;
        match kind {
            "message" => message(&item, &mut asked)?,
            "function_call" => {
                item.text("name")?;
                item.text("arguments")?;
                open.push(item.text("call_id")?);
            }
            "function_call_output" => {
                let id = item.text("call_id")?;
                let Some(place) = open.iter().position(|known| *known == id) else {
                    return Err(item.complain("call_id", "no tool call found for this output"));
                };
                open.remove(place);
                let output = item.need("output")?;
                let text = output
                    .as_str()
                    .map_or_else(|| output.to_string(), str::to_owned);
                asked.results.push(text);
            }
            "reasoning" => {
                item.list("summary")?;
                item.need("summary")?;
                if item
                    .text("encrypted_content")
                    .is_ok_and(|sealed| sealed != SEAL)
                {
                    return Err(item.complain("encrypted_content", "could not be verified"));
                }
            }
            "item_reference" => item.text("id").map(|_| ())?,
            _ => return Err(item.complain("type", "no such item")),
        }
        is_thought = kind == "reasoning";
    }
    if is_thought {
        return Err(body.complain("input", "reasoning without its required following item"));
    }
    match open.first() {
        None => Ok(asked),
        Some(id) => Err(body.complain(
            "input",
            &format!("No tool output found for function call {id}."),
        )),
    }
}

fn message(item: &At<'_>, asked: &mut Asked) -> Checked<()> {
    let role = item.one_of("role", &["user", "assistant", "system", "developer"])?;
    let mut said = String::new();
    if let Some(text) = item.need("content")?.as_str() {
        text.clone_into(&mut said);
    } else {
        for part in item.full_list("content")? {
            let kinds: &[&str] = match role {
                "assistant" => &["output_text", "refusal"],
                _ => &["input_text", "input_image", "input_file", "input_audio"],
            };
            match part.one_of("type", kinds)? {
                "refusal" => said.push_str(part.text("refusal")?),
                "input_image" => {
                    let url = part.text("image_url")?;
                    asked.image = data_url(url).or_else(|| Some((url.to_owned(), 0)));
                }
                "input_text" | "output_text" => said.push_str(part.text("text")?),
                _ => {}
            }
        }
    }
    if role == "user" {
        asked.text = said;
        asked.results.clear();
    }
    Ok(())
}

fn tools(body: &At<'_>) -> Checked<Vec<(String, Value)>> {
    let tool = |tool: &At<'_>| {
        let kinds = ["function", "namespace", "web_search"];
        if tool.one_of("type", &kinds)? != "function" {
            return Ok(None);
        }
        tool.only(&["type", "name", "description", "parameters", "strict"])?;
        let name = tool.text("name")?;
        if !is_name(name, 64) {
            return Err(tool.complain("name", "not a name"));
        }
        let parameters = tool.get("parameters").cloned();
        let schema = parameters.unwrap_or_else(|| json!({}));
        Ok(Some((name.to_owned(), schema)))
    };
    let tools = body.list("tools")?;
    tools.iter().filter_map(|at| tool(at).transpose()).collect()
}

fn schema(body: &At<'_>) -> Checked<Option<Value>> {
    let Some(text) = body.get("text") else {
        return Ok(None);
    };
    let text = At::of(text, "text")?;
    if text.get("format").is_none() {
        return Ok(None);
    }
    let format = text.object("format")?;
    match format.one_of("type", &["text", "json_object", "json_schema"])? {
        "json_schema" => {
            format.text("name")?;
            Ok(Some(Value::Object(format.object("schema")?.fields.clone())))
        }
        _ => Ok(None),
    }
}

fn usage(usage: Usage) -> Value {
    let input = usage.input + usage.read + usage.written;
    json!({
        "input_tokens": input, "output_tokens": usage.output, "total_tokens": input + usage.output,
        "input_tokens_details": {"cached_tokens": usage.read, "cache_write_tokens": usage.written},
        "output_tokens_details": {"reasoning_tokens": usage.thoughts},
    })
}

fn items(reply: &Reply) -> Vec<Value> {
    let number = reply.number;
    let mut items = Vec::new();
    if let Some(thought) = reply.thought {
        items.push(json!({
            "id": format!("rs_{number}"), "type": "reasoning",
            "summary": [{"type": "summary_text", "text": thought}], "encrypted_content": SEAL,
        }));
    }
    if !reply.text.is_empty() {
        let text = reply.text.concat();
        let part = match reply.end {
            End::Refusal => json!({"type": "refusal", "refusal": text}),
            _ => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
        };
        let status = if status(reply.end) == "incomplete" {
            "incomplete"
        } else {
            "completed"
        };
        items.push(json!({
            "id": format!("msg_{number}"), "type": "message", "status": status,
            "role": "assistant", "content": [part],
        }));
    }
    for (index, call) in reply.calls.iter().enumerate() {
        items.push(json!({
            "id": format!("fc_{number}_{index}"), "type": "function_call", "status": "completed",
            "call_id": format!("call_{number}_{index}"), "name": call.name,
            "arguments": call.arguments.to_string(),
        }));
    }
    items
}

fn response(asked: &Asked, reply: &Reply, status: &str, output: Vec<Value>) -> Value {
    let is_over = status != "in_progress";
    let incomplete = (status == "incomplete").then(|| match reply.end {
        End::Length => json!({"reason": "max_output_tokens"}),
        _ => json!({"reason": "content_filter"}),
    });
    json!({
        "id": format!("resp_{}", reply.number), "object": "response", "created_at": 1_700_000_000,
        "status": status, "background": false, "error": null, "incomplete_details": incomplete,
        "instructions": null, "max_output_tokens": null, "model": asked.model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "store": true,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "truncation": "disabled", "usage": is_over.then(|| usage(reply.usage)),
        "user": null, "metadata": {},
    })
}

const fn status(end: End) -> &'static str {
    match end {
        End::Filtered | End::Length => "incomplete",
        _ => "completed",
    }
}

/// The whole answer.
pub(super) fn whole(asked: &Asked, reply: &Reply) -> Value {
    response(asked, reply, status(reply.end), items(reply))
}

/// The same as a stream.
pub(super) fn frames(asked: &Asked, reply: &Reply) -> Vec<Frame> {
    let mut stream = Stream::default();
    for kind in ["response.created", "response.in_progress"] {
        let begun = response(asked, reply, "in_progress", Vec::new());
        stream.say(kind, json!({ "response": begun }));
    }
    for (index, item) in items(reply).into_iter().enumerate() {
        stream.item(index, item, &reply.text);
    }
    let status = status(reply.end);
    let whole = whole(asked, reply);
    stream.say(&format!("response.{status}"), json!({ "response": whole }));
    stream.frames
}

#[derive(Default)]
struct Stream {
    frames: Vec<Frame>,
}

impl Stream {
    fn say(&mut self, kind: &str, mut event: Value) {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.frames.len());
        let frame = sse(Some(kind), &event);
        let is_content = kind.ends_with(".delta");
        self.frames
            .push(if is_content { frame.content() } else { frame });
    }

    fn item(&mut self, index: usize, item: Value, text: &[String]) {
        let id = item["id"].clone();
        let mut begun = item.clone();
        begun["status"] = json!("in_progress");
        let kind = item["type"].as_str().unwrap_or_default();
        match kind {
            "message" => begun["content"] = json!([]),
            "reasoning" => begun["summary"] = json!([]),
            _ => begun["arguments"] = json!(""),
        }
        self.say(
            "response.output_item.added",
            json!({"output_index": index, "item": begun}),
        );
        let at = |mut event: Value| {
            event["item_id"] = id.clone();
            event["output_index"] = json!(index);
            event
        };
        match kind {
            "message" => self.part(&item["content"][0], text, at),
            "reasoning" => {
                let thought = item["summary"][0]["text"].as_str().unwrap_or_default();
                let part = |text: &str| json!({"summary_index": 0, "part": {"type": "summary_text", "text": text}});
                self.say("response.reasoning_summary_part.added", at(part("")));
                for half in halves(thought) {
                    let event = at(json!({"summary_index": 0, "delta": half}));
                    self.say("response.reasoning_summary_text.delta", event);
                }
                let done = at(json!({"summary_index": 0, "text": thought}));
                self.say("response.reasoning_summary_text.done", done);
                self.say("response.reasoning_summary_part.done", at(part(thought)));
            }
            _ => {
                let arguments = item["arguments"].as_str().unwrap_or_default();
                for half in halves(arguments) {
                    let event = at(json!({ "delta": half }));
                    self.say("response.function_call_arguments.delta", event);
                }
                let done = at(json!({"arguments": arguments, "name": item["name"]}));
                self.say("response.function_call_arguments.done", done);
            }
        }
        self.say(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
        );
    }

    fn part(&mut self, part: &Value, text: &[String], at: impl Fn(Value) -> Value) {
        let is_refusal = part["type"] == "refusal";
        let (field, word) = if is_refusal {
            ("refusal", "refusal")
        } else {
            ("text", "output_text")
        };
        let mut begun = part.clone();
        begun[field] = json!("");
        self.say(
            "response.content_part.added",
            at(json!({"content_index": 0, "part": begun})),
        );
        for piece in text {
            let mut event = at(json!({"content_index": 0, "delta": piece}));
            if !is_refusal {
                event["logprobs"] = json!([]);
            }
            self.say(&format!("response.{word}.delta"), event);
        }
        let mut done = at(json!({"content_index": 0, (field): text.concat()}));
        if !is_refusal {
            done["logprobs"] = json!([]);
        }
        self.say(&format!("response.{word}.done"), done);
        self.say(
            "response.content_part.done",
            at(json!({"content_index": 0, "part": part})),
        );
    }
}
