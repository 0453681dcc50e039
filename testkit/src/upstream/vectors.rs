//! Embeddings: OpenAI's, Azure's and Gemini's wires. A text's vector follows from its bytes.

use super::ask::{At, Checked};
use base64::Engine;
use serde_json::{Value, json};

const LENGTH: usize = 8;

/// A vector of this text.
fn vector(text: &str, length: usize) -> Vec<f32> {
    let sum = text.bytes().fold(7_u16, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u16::from(byte))
    });
    let place = |place: usize| {
        let place = u16::try_from(place % 97).unwrap_or_default();
        f32::from(sum.wrapping_add(place * 101) % 1000) / 1000.0
    };
    (0..length).map(place).collect()
}

/// How long a vector is asked for.
fn length(object: &At<'_>, name: &str) -> Checked<usize> {
    let asked = object.get(name).and_then(Value::as_u64);
    if object.number(name, 1.0, 3072.0)?.is_none() {
        return Ok(LENGTH);
    }
    Ok(asked
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(LENGTH))
}

/// Checks a request on OpenAI's wire, and answers it.
pub(super) fn openai(body: &Value, model: &str) -> Checked<Value> {
    let body = At::of(body, "")?;
    body.only(&["dimensions", "encoding_format", "input", "model", "user"])?;
    let length = length(&body, "dimensions")?;
    let is_packed = match body.get("encoding_format") {
        None => false,
        Some(_) => body.one_of("encoding_format", &["float", "base64"])? == "base64",
    };
    let input = body.need("input")?;
    let is_numbers = |value: &Value| {
        value
            .as_array()
            .is_some_and(|list| list.iter().all(Value::is_u64))
    };
    let inputs: Vec<String> = match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) if list.is_empty() => {
            return Err(body.complain("input", "must not be empty"));
        }
        Value::Array(list) if list.iter().all(Value::is_string) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        value if is_numbers(value) => vec![value.to_string()],
        Value::Array(list) if list.iter().all(is_numbers) => {
            list.iter().map(Value::to_string).collect()
        }
        _ => return Err(body.complain("input", "expected text, tokens, or a list of these")),
    };
    if inputs.iter().any(String::is_empty) {
        return Err(body.complain("input", "must not be empty"));
    }
    let one = |(index, text): (usize, &String)| {
        let vector = vector(text, length);
        let told = match is_packed {
            true => {
                let bytes: Vec<u8> = vector
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect();
                json!(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            false => json!(vector),
        };
        json!({"object": "embedding", "index": index, "embedding": told})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(one).collect();
    let usage = json!({"prompt_tokens": 5 * data.len(), "total_tokens": 5 * data.len()});
    Ok(json!({"object": "list", "data": data, "model": model, "usage": usage}))
}

/// Checks a request on Gemini's wire, and answers it.
pub(super) fn gemini(body: &Value, model: &str) -> Checked<Value> {
    let body = At::of(body, "")?;
    body.only(&["requests"])?;
    let mut made = Vec::new();
    for request in body.full_list("requests")? {
        request.only(&[
            "model",
            "content",
            "taskType",
            "title",
            "outputDimensionality",
        ])?;
        if request.text("model")? != format!("models/{model}") {
            return Err(request.complain("model", "must be the model of the address"));
        }
        let mut text = String::new();
        for part in request.object("content")?.full_list("parts")? {
            text.push_str(part.text("text")?);
        }
        let length = length(&request, "outputDimensionality")?;
        made.push(json!({ "values": vector(&text, length) }));
    }
    Ok(json!({ "embeddings": made }))
}
