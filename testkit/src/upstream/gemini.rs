//! Gemini's generateContent, as the provider's documentation has it.

use super::ask::{Asked, At, Checked, Complaint, decoded, is_name};
use super::reply::{End, Reply, Usage};
use super::wire::{Frame, sse};
use serde_json::{Value, json};

/// What comes with thoughts, and has to come back with them; any other is refused.
const SEAL: &str = "c2VhbCBvZiBnZW1pbmk=";
/// What stands in the place of a seal that was lost; the provider documents it.
const WAIVER: &str = "skip_thought_signature_validator";

const FIELDS: &[&str] = &[
    "contents",
    "tools",
    "toolConfig",
    "safetySettings",
    "systemInstruction",
    "generationConfig",
    "cachedContent",
    "model",
    "labels",
    "serviceTier",
    "store",
];
const SETTINGS: &[&str] = &[
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseModalities",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "enableEnhancedCivicAnswers",
    "speechConfig",
    "thinkingConfig",
    "imageConfig",
    "mediaResolution",
    "responseFormat",
];
const PARTS: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
];

/// Checks a request.
pub(super) fn read(body: &Value) -> Checked<Asked> {
    let body = At::of(body, "")?;
    body.only(FIELDS)?;
    let mut asked = Asked {
        wants_usage: true,
        tools: tools(&body)?,
        ..Asked::default()
    };
    if body.get("generationConfig").is_some() {
        let settings = body.object("generationConfig")?;
        settings.only(SETTINGS)?;
        settings.number("temperature", 0.0, 2.0)?;
        settings.number("maxOutputTokens", 1.0, 1e9)?;
        let schema = settings
            .get("responseSchema")
            .or(settings.get("responseJsonSchema"));
        if schema.is_some() && settings.text("responseMimeType")? != "application/json" {
            return Err(settings.complain("responseMimeType", "a schema needs application/json"));
        }
        asked.schema = schema.cloned();
    }
    if body.get("systemInstruction").is_some() {
        for part in body.object("systemInstruction")?.full_list("parts")? {
            part.text("text")?;
        }
    }
    let mut calls = 0;
    for content in body.full_list("contents")? {
        content.only(&["role", "parts"])?;
        let role = content
            .get("role")
            .map_or(Ok("user"), |_| content.one_of("role", &["user", "model"]))?;
        let turn = turn(&content)?;
        if turn.answers != calls {
            let what = "the number of function response parts must equal the number of function call \
                        parts of the function call turn";
            return Err(content.complain("parts", what));
        }
        calls = turn.calls;
        if role == "model" {
            continue;
        }
        asked.image = turn.image.or(asked.image.take());
        if turn.answers > 0 {
            asked.results.extend(turn.results);
        } else {
            (asked.text, asked.results) = (turn.text, Vec::new());
        }
    }
    match calls {
        0 => Ok(asked),
        _ => Err(body.complain("contents", "function calls without function responses")),
    }
}

#[derive(Default)]
struct Turn {
    text: String,
    image: Option<(String, usize)>,
    calls: usize,
    answers: usize,
    results: Vec<String>,
}

fn turn(content: &At<'_>) -> Checked<Turn> {
    let mut turn = Turn::default();
    for part in content.full_list("parts")? {
        part.only(
            &[
                PARTS,
                &[
                    "thought",
                    "thoughtSignature",
                    "videoMetadata",
                    "mediaResolution",
                ],
            ]
            .concat(),
        )?;
        let kinds: Vec<&&str> = PARTS
            .iter()
            .filter(|kind| part.get(kind).is_some())
            .collect();
        let [kind] = kinds.as_slice() else {
            return Err(part.complain(
                "data",
                "required oneof field 'data' must have one initialized field",
            ));
        };
        if part
            .get("thoughtSignature")
            .is_some_and(|seal| *seal != json!(SEAL) && *seal != json!(WAIVER))
        {
            return Err(part.complain("thoughtSignature", "Thought signature is not valid"));
        }
        match **kind {
            "text" => turn.text.push_str(part.text("text")?),
            "inlineData" => {
                let data = part.object("inlineData")?;
                let length = decoded(data.text("data")?);
                let length = length.ok_or_else(|| data.complain("data", "not base64"))?;
                turn.image = Some((data.text("mimeType")?.to_owned(), length));
            }
            "fileData" => {
                let data = part.object("fileData")?;
                turn.image = Some((data.text("fileUri")?.to_owned(), 0));
            }
            "functionCall" => {
                let call = part.object("functionCall")?;
                call.text("name")?;
                if call.get("args").is_some() {
                    call.object("args")?;
                }
                turn.calls += 1;
            }
            _ => {
                let answer = part.object("functionResponse")?;
                answer.text("name")?;
                let response = answer.object("response")?;
                let said = response.get("output").or(response.get("result"));
                let said = said.and_then(Value::as_str).map(str::to_owned);
                let whole = || Value::Object(response.fields.clone()).to_string();
                turn.results.push(said.unwrap_or_else(whole));
                turn.answers += 1;
            }
        }
    }
    Ok(turn)
}

fn tools(body: &At<'_>) -> Checked<Vec<(String, Value)>> {
    let mut tools = Vec::new();
    for group in body.list("tools")? {
        for tool in group.list("functionDeclarations")? {
            tool.only(&[
                "name",
                "description",
                "parameters",
                "parametersJsonSchema",
                "parameters_json_schema",
                "response",
                "responseJsonSchema",
                "behavior",
            ])?;
            let name = tool.text("name")?;
            if !is_name(name, 64) {
                return Err(tool.complain("name", "Invalid function name"));
            }
            // Either spelling is read by servers of this kind, and official clients send both.
            let names = [
                "parameters",
                "parametersJsonSchema",
                "parameters_json_schema",
            ];
            let schema = names.iter().find_map(|name| tool.get(name));
            tools.push((
                name.to_owned(),
                schema.cloned().unwrap_or_else(|| json!({})),
            ));
        }
    }
    Ok(tools)
}

fn usage(usage: Usage) -> Value {
    let prompt = usage.input + usage.read;
    let mut told = json!({
        "promptTokenCount": prompt, "candidatesTokenCount": usage.output - usage.thoughts,
        "totalTokenCount": prompt + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    });
    if usage.read > 0 {
        told["cachedContentTokenCount"] = json!(usage.read);
    }
    if usage.thoughts > 0 {
        told["thoughtsTokenCount"] = json!(usage.thoughts);
    }
    told
}

const fn reason(end: End) -> &'static str {
    match end {
        End::Stop | End::Calls => "STOP",
        End::Filtered => "SAFETY",
        End::Length => "MAX_TOKENS",
        End::Refusal => "PROHIBITED_CONTENT",
        End::Aborted => "OTHER",
        End::Silent => "FINISH_REASON_UNSPECIFIED",
    }
}

fn parts(reply: &Reply, text: Vec<String>) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(thought) = reply.thought {
        parts.push(json!({"text": thought, "thought": true}));
    }
    parts.extend(text.into_iter().map(|text| json!({ "text": text })));
    if let Some(data) = reply.picture {
        parts.push(json!({"inlineData": {"mimeType": "image/png", "data": data}}));
    }
    for (index, call) in reply.calls.iter().enumerate() {
        let mut part = json!({"functionCall": {"name": call.name, "args": call.arguments}});
        if index == 0 {
            part["thoughtSignature"] = json!(SEAL);
        }
        parts.push(part);
    }
    if reply.thought.is_some()
        && let Some(last) = parts.last_mut()
    {
        last["thoughtSignature"] = json!(SEAL);
    }
    parts
}

fn chunk(asked: &Asked, reply: &Reply, parts: &[Value], end: Option<&str>, told: Value) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if parts.is_empty() {
        candidate = json!({"content": {"role": "model"}, "index": 0});
    }
    if let Some(end) = end {
        candidate["finishReason"] = json!(end);
    }
    json!({
        "candidates": [candidate], "usageMetadata": told, "modelVersion": asked.model,
        "responseId": format!("r{}", reply.number),
    })
}

/// A prompt that was held back.
fn blocked(asked: &Asked, reply: &Reply) -> Value {
    json!({
        "promptFeedback": {"blockReason": "SAFETY", "safetyRatings": [
            {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": true},
        ]},
        "usageMetadata": {"promptTokenCount": reply.usage.input, "totalTokenCount": reply.usage.input},
        "modelVersion": asked.model, "responseId": format!("r{}", reply.number),
    })
}

/// The whole answer.
pub(super) fn whole(asked: &Asked, reply: &Reply) -> Value {
    if reply.end == End::Refusal {
        return blocked(asked, reply);
    }
    let text = if reply.text.is_empty() {
        Vec::new()
    } else {
        vec![reply.text.concat()]
    };
    chunk(
        asked,
        reply,
        &parts(reply, text),
        Some(reason(reply.end)),
        usage(reply.usage),
    )
}

/// The same as a stream.
pub(super) fn frames(asked: &Asked, reply: &Reply) -> Vec<Frame> {
    if reply.end == End::Refusal {
        return vec![sse(None, &blocked(asked, reply))];
    }
    let so_far =
        json!({"promptTokenCount": reply.usage.input, "totalTokenCount": reply.usage.input});
    let parts = parts(reply, reply.text.clone());
    let piece = |part: &Value| {
        let told = so_far.clone();
        sse(
            None,
            &chunk(asked, reply, std::slice::from_ref(part), None, told),
        )
        .content()
    };
    let mut frames: Vec<Frame> = parts.iter().map(piece).collect();
    let last = chunk(
        asked,
        reply,
        &[],
        Some(reason(reply.end)),
        usage(reply.usage),
    );
    frames.push(sse(None, &last));
    frames
}

/// A refused request, as a body.
pub(super) fn complaint(complaint: &Complaint) -> Value {
    error(complaint.status, "INVALID_ARGUMENT", &complaint.message)
}

pub(super) fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}
