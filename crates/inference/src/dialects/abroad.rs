//! An answer, for a caller of another dialect than the provider's.
//!
//! What only the provider's dialect knows is left out where the answer is the same without it: traces of tools
//! that the provider ran, and citations. A picture, sound, a file or a call is a part of the answer: without it a
//! good end would tell of another answer.

use crate::{Dialect, Event, Opaque, PartKind, Unsupported};
use serde_json::Value;

/// Makes events of a provider fit for a caller of another dialect: text with citations becomes plain text.
///
/// # Errors
/// A part of the answer would be lost; `message` names it.
pub fn answer_abroad(events: Vec<Event>) -> Result<Vec<Event>, Unsupported> {
    let mut fit = Vec::with_capacity(events.len());
    for event in events {
        match event {
            Event::PartStarted {
                part,
                kind: PartKind::Opaque(opaque),
            } => begin(part, opaque, &mut fit)?,
            event => fit.push(event),
        }
    }
    Ok(fit)
}

fn begin(part: usize, opaque: Opaque, fit: &mut Vec<Event>) -> Result<(), Unsupported> {
    if let Some(what) = said(&opaque) {
        return Err(Unsupported {
            param: "model".to_owned(),
            message: format!("the answer holds {what}, which this route cannot say"),
        });
    }
    let text = cited_text(&opaque).map(str::to_owned);
    let kind = match text {
        Some(_) => PartKind::Text,
        None => PartKind::Opaque(opaque),
    };
    fit.push(Event::PartStarted { part, kind });
    fit.extend(text.map(|text| Event::Delta { part, text }));
    Ok(())
}

/// The text of a block with citations.
fn cited_text(opaque: &Opaque) -> Option<&str> {
    let is_text = opaque.dialect == Dialect::Anthropic && kind_of(&opaque.value) == "text";
    opaque.value.get("text").filter(|_| is_text)?.as_str()
}

fn kind_of(value: &Value) -> &str {
    value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What a piece says that belongs to the answer; nothing for what may be left out.
fn said(opaque: &Opaque) -> Option<&'static str> {
    let value = &opaque.value;
    match (opaque.dialect, kind_of(value)) {
        (Dialect::Gemini, _) => of_gemini(value),
        (Dialect::OpenAiChat, "") => value.get("images").map(|_| PICTURE),
        (Dialect::OpenAiChat, "audio") | (Dialect::OpenAiResponses, "output_audio") => Some(SOUND),
        (Dialect::OpenAiResponses, "image_generation_call" | "output_image")
        | (Dialect::Anthropic, "image") => Some(PICTURE),
        (Dialect::OpenAiChat, "custom")
        | (Dialect::Anthropic, "tool_use")
        | (
            Dialect::OpenAiResponses,
            "function_call"
            | "custom_tool_call"
            | "computer_call"
            | "local_shell_call"
            | "shell_call"
            | "apply_patch_call"
            | "mcp_approval_request",
        ) => Some("a call of another kind of tool"),
        _ => None,
    }
}

const PICTURE: &str = "a picture";
const SOUND: &str = "sound";

/// Pictures that belong to a thought are none of the answer.
fn of_gemini(value: &Value) -> Option<&'static str> {
    if value.get("thought").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let data = value.get("inlineData").or_else(|| value.get("fileData"))?;
    let media = data.get("mimeType").and_then(Value::as_str);
    let (kind, _) = media.unwrap_or_default().split_once('/')?;
    Some(match kind {
        "image" => PICTURE,
        "audio" => SOUND,
        "video" => "a film",
        _ => "a file",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn abroad(dialect: Dialect, value: Value) -> Result<Vec<Event>, String> {
        let kind = PartKind::Opaque(Opaque { dialect, value });
        let events = vec![
            Event::PartStarted { part: 0, kind },
            Event::PartEnded { part: 0 },
        ];
        answer_abroad(events).map_err(|error| error.message)
    }

    #[test]
    fn what_is_a_part_of_the_answer_is_not_left_out() {
        let inline = |media: &str| json!({"inlineData": {"mimeType": media, "data": "AA=="}});
        for (dialect, value, what) in [
            (Dialect::Gemini, inline("image/png"), "a picture"),
            (Dialect::Gemini, inline("audio/L16;rate=24000"), "sound"),
            (Dialect::Gemini, inline("video/mp4"), "a film"),
            (Dialect::Gemini, inline("application/pdf"), "a file"),
            (Dialect::OpenAiChat, json!({"images": [{}]}), "a picture"),
            (
                Dialect::OpenAiChat,
                json!({"type": "audio", "audio": {}}),
                "sound",
            ),
            (
                Dialect::OpenAiChat,
                json!({"id": "a", "type": "custom", "custom": {}}),
                "a call of another kind of tool",
            ),
            (
                Dialect::OpenAiResponses,
                json!({"type": "image_generation_call", "result": "AA=="}),
                "a picture",
            ),
        ] {
            let told = format!("the answer holds {what}, which this route cannot say");
            assert_eq!(abroad(dialect, value), Err(told));
        }
    }

    #[test]
    fn what_stands_beside_the_answer_passes() {
        for (dialect, value) in [
            (Dialect::Gemini, json!({"executableCode": {"code": "1"}})),
            (
                Dialect::Gemini,
                json!({"thought": true, "inlineData": {"mimeType": "image/png", "data": "AA=="}}),
            ),
            (Dialect::OpenAiChat, json!({"annotations": [{}]})),
            (Dialect::OpenAiResponses, json!({"type": "web_search_call"})),
            (Dialect::Anthropic, json!({"type": "server_tool_use"})),
        ] {
            assert_eq!(abroad(dialect, value).unwrap().len(), 2);
        }
    }
}
