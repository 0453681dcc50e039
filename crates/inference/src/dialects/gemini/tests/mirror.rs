//! The other direction of the wire, for round trips: nobody speaks this dialect to us.

use crate::dialects::proof;
use crate::{
    Answer, Dialect, FileSource, FinishReason, Message, Opaque, OutputFormat, Part, Reasoning,
    Request, Role, Sampling, Tool, ToolCall, ToolChoice,
};
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn maybe(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn source(part: &Value) -> Option<FileSource> {
    if let Some(inline) = part.get("inlineData") {
        return Some(FileSource::Base64 {
            media_type: text(&inline["mimeType"]),
            data: text(&inline["data"]),
        });
    }
    let uri = part.get("fileData")?;
    Some(FileSource::Url(text(&uri["fileUri"])))
}

fn media(part: &Value) -> Option<Part> {
    let source = source(part)?;
    let (FileSource::Base64 { media_type, .. } | FileSource::Url(media_type)) = &source else {
        return None;
    };
    let audio = media_type.strip_prefix("audio/").map(str::to_owned);
    let is_image = media_type.starts_with("image/") || media_type.ends_with(".png");
    Some(match (audio, source) {
        (Some(format), FileSource::Base64 { data, .. }) => Part::Audio { data, format },
        (_, source) if is_image => Part::Image {
            source,
            detail: None,
        },
        (_, source) => Part::File { source, name: None },
    })
}

fn read_part(part: &Value) -> Part {
    let signature = maybe(&part["thoughtSignature"]).map(|own| proof::of_gemini(&own));
    if let Some(part) = media(part) {
        return part;
    }
    if let Some(call) = part.get("functionCall") {
        return Part::ToolCall(ToolCall {
            id: text(&call["id"]),
            name: text(&call["name"]),
            arguments: call["args"].to_string(),
            signature,
        });
    }
    if let Some(result) = part.get("functionResponse") {
        let error = maybe(&result["response"]["error"]);
        let is_error = error.is_some();
        let said = error.unwrap_or_else(|| text(&result["response"]["output"]));
        let said = (!said.is_empty()).then(|| Part::text(said));
        let media = list(&result["parts"]).iter().filter_map(media);
        return Part::ToolResult {
            call_id: text(&result["id"]),
            content: said.into_iter().chain(media).collect(),
            is_error,
        };
    }
    let said = text(&part["text"]);
    if part["thought"] == json!(true) || signature.is_some() {
        return Part::Reasoning {
            text: said,
            signature,
            sealed: None,
            id: None,
        };
    }
    Part::text(said)
}

fn read_tools(body: &Value) -> Vec<Tool> {
    let mut tools = Vec::new();
    for tool in list(&body["tools"]) {
        if tool.get("functionDeclarations").is_none() {
            tools.push(Tool::Opaque(Opaque {
                dialect: Dialect::Gemini,
                value: tool.clone(),
            }));
        }
        for function in list(&tool["functionDeclarations"]) {
            tools.push(Tool::Function {
                name: text(&function["name"]),
                description: maybe(&function["description"]),
                parameters: function.get("parametersJsonSchema").cloned(),
                strict: None,
                cache: None,
            });
        }
    }
    tools
}

fn read_format(config: &Value) -> Option<OutputFormat> {
    match config.get("responseJsonSchema") {
        Some(schema) => Some(OutputFormat::JsonSchema {
            name: "output".to_owned(),
            description: None,
            schema: schema.clone(),
            strict: None,
        }),
        None => config
            .get("responseMimeType")
            .map(|_| OutputFormat::JsonObject),
    }
}

/// A request, as the provider would read it.
pub(super) fn read_request(body: &[u8], model: &str) -> Request {
    let body: Value = serde_json::from_slice(body).unwrap();
    let config = &body["generationConfig"];
    let said = |role, content: &Value| Message {
        role,
        parts: list(&content["parts"]).iter().map(read_part).collect(),
        name: None,
    };
    let system = body.get("systemInstruction");
    let system = system.map(|system| said(Role::System, system));
    let contents = list(&body["contents"]).iter().map(|content| {
        let is_user = content["role"] == json!("user");
        said(if is_user { Role::User } else { Role::Assistant }, content)
    });
    let calling = &body["toolConfig"]["functionCallingConfig"];
    let thinking = &config["thinkingConfig"];
    Request {
        model: model.to_owned(),
        messages: system.into_iter().chain(contents).collect(),
        tools: read_tools(&body),
        tool_choice: match (calling["mode"].as_str(), &calling["allowedFunctionNames"]) {
            (Some("AUTO"), _) => Some(ToolChoice::Auto),
            (Some("NONE"), _) => Some(ToolChoice::None),
            (Some(_), Value::Array(names)) => Some(ToolChoice::Tool(text(&names[0]))),
            (Some(_), _) => Some(ToolChoice::Required),
            (None, _) => None,
        },
        format: read_format(config),
        output_tokens_max: config["maxOutputTokens"].as_u64(),
        sampling: Sampling {
            temperature: config["temperature"].as_f64(),
            top_p: config["topP"].as_f64(),
            top_k: config["topK"].as_u64(),
            seed: config["seed"].as_i64(),
            frequency_penalty: config["frequencyPenalty"].as_f64(),
            presence_penalty: config["presencePenalty"].as_f64(),
            stop: list(&config["stopSequences"]).iter().map(text).collect(),
            ..Sampling::default()
        },
        reasoning: thinking.is_object().then(|| Reasoning {
            effort: None,
            budget_tokens: thinking["thinkingBudget"].as_u64(),
            summary: thinking.get("includeThoughts").map(|_| "auto".to_owned()),
        }),
        ..Request::default()
    }
}

fn write_part(part: &Part) -> Value {
    let own = |signature: &Option<String>| {
        signature
            .as_deref()
            .and_then(proof::to_gemini)
            .map(str::to_owned)
    };
    let (mut value, signature) = match part {
        Part::Text { text, .. } => (json!({ "text": text }), None),
        Part::Reasoning {
            text, signature, ..
        } => (json!({"text": text, "thought": true}), own(signature)),
        Part::ToolCall(call) => {
            let args: Value = serde_json::from_str(&call.arguments).unwrap();
            let call_value = json!({"id": call.id, "name": call.name, "args": args});
            (json!({ "functionCall": call_value }), own(&call.signature))
        }
        Part::Opaque(opaque) => (opaque.value.clone(), None),
        other => panic!("a model does not say {other:?}"),
    };
    if let Some(signature) = signature {
        value["thoughtSignature"] = json!(signature);
    }
    value
}

/// An answer, as the provider would write it.
pub(super) fn write_answer(answer: &Answer) -> Vec<u8> {
    let parts: Vec<Value> = answer.parts.iter().map(write_part).collect();
    chunk(answer, &parts, true).to_string().into_bytes()
}

/// The same in pieces: a part each, and an end.
pub(super) fn write_stream(answer: &Answer) -> Vec<String> {
    let mut chunks = Vec::new();
    for part in &answer.parts {
        chunks.push(chunk(answer, &[write_part(part)], false).to_string());
    }
    chunks.push(chunk(answer, &[], true).to_string());
    chunks
}

fn chunk(answer: &Answer, parts: &[Value], is_end: bool) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if is_end {
        candidate["finishReason"] = json!(match answer.reason {
            FinishReason::Length => "MAX_TOKENS",
            FinishReason::ContentFilter => "SAFETY",
            _ => "STOP",
        });
    }
    let mut chunk = json!({"candidates": [candidate], "modelVersion": answer.model,
        "responseId": answer.id});
    if let Some(tokens) = answer.tokens {
        let audio = |count: u64| json!([{"modality": "AUDIO", "tokenCount": count}]);
        chunk["usageMetadata"] = json!({
            "promptTokenCount": tokens.input,
            "cachedContentTokenCount": tokens.cache_read,
            "candidatesTokenCount": tokens.output - tokens.reasoning,
            "thoughtsTokenCount": tokens.reasoning,
            "promptTokensDetails": audio(tokens.input_audio),
            "candidatesTokensDetails": audio(tokens.output_audio),
        });
    }
    chunk
}
