//! Blocks that say more than the neutral form, for a provider of another dialect.
//!
//! They are kept whole for their own provider. Abroad what is understood of them is said, and the other fields
//! are left out and named: clients send back what an answer holds, and answers gain fields with every release.

use super::anthropic;
use super::foreign::drop_once;
use crate::{Dialect, Message, Part, Request};
use std::borrow::Cow;

/// The request in parts that `target` can say, and the names of the fields that are left out.
pub(super) fn for_target(request: &Request, target: Dialect) -> (Cow<'_, Request>, Vec<String>) {
    let mut dropped = Vec::new();
    let holds_whole = |message: &Message| has_whole(&message.parts, target);
    if !request.messages.iter().any(holds_whole) {
        return (Cow::Borrowed(request), dropped);
    }
    let mut request = request.clone();
    for message in &mut request.messages {
        say(&mut message.parts, target, &mut dropped);
    }
    (Cow::Owned(request), dropped)
}

fn has_whole(parts: &[Part], target: Dialect) -> bool {
    parts.iter().any(|part| match part {
        Part::Opaque(opaque) => opaque.dialect == Dialect::Anthropic && target != opaque.dialect,
        Part::ToolResult { content, .. } => has_whole(content, target),
        _ => false,
    })
}

fn say(parts: &mut Vec<Part>, target: Dialect, dropped: &mut Vec<String>) {
    if !has_whole(parts, target) {
        return;
    }
    let mut said = Vec::with_capacity(parts.len());
    for part in parts.drain(..) {
        let (mut meant, left) = match &part {
            Part::Opaque(opaque) if opaque.dialect == Dialect::Anthropic => {
                anthropic::understood(&opaque.value).unwrap_or_else(|| (vec![part], Vec::new()))
            }
            _ => (vec![part], Vec::new()),
        };
        for part in &mut meant {
            if let Part::ToolResult { content, .. } = part {
                say(content, target, dropped);
            }
        }
        left.iter().for_each(|name| drop_once(dropped, name));
        said.append(&mut meant);
    }
    *parts = said;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EncodedRequest, Unsupported, WriteOptions};
    use serde_json::{Value, json};

    /// What a second turn becomes: a thought, a call and its result, each with these fields beside it.
    fn second_turn(target: Dialect, more: &Value) -> Result<EncodedRequest, Unsupported> {
        let with = |mut block: Value| {
            for (name, value) in more.as_object().unwrap() {
                block[name] = value.clone();
            }
            block
        };
        let picture = json!({"type": "base64", "media_type": "image/png", "data": "AA=="});
        let body = json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": [
                with(json!({"type": "text", "text": "q"})),
                with(json!({"type": "image", "source": picture})),
            ]},
            {"role": "assistant", "content": [
                with(json!({"type": "thinking", "thinking": "hm", "signature": "s"})),
                with(json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.50},
                    "caller": {"type": "direct"}})),
            ]},
            {"role": "user", "content": [
                with(json!({"type": "tool_result", "tool_use_id": "t", "content": [
                    with(json!({"type": "text", "text": "seen"})),
                ]})),
            ]},
        ]});
        let request = Dialect::Anthropic.read_request(body.to_string().as_bytes());
        let options = WriteOptions {
            model: "m",
            is_compatible: true,
        };
        target.write_request(&request.unwrap(), &options)
    }

    const ABROAD: [Dialect; 3] = [
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        Dialect::Gemini,
    ];

    #[test]
    fn unknown_fields_refuse_no_block_and_are_named() {
        for target in ABROAD {
            let plain = second_turn(target, &json!({})).unwrap();
            let null = second_turn(target, &json!({"toolset_name": null})).unwrap();
            assert_eq!(null, plain);
            let more = json!({"toolset_name": null, "latency_ms": 5});
            let mut told = second_turn(target, &more).unwrap();
            assert_eq!(told.body, plain.body);
            told.dropped.retain(|name| !plain.dropped.contains(name));
            assert_eq!(told.dropped, ["latency_ms"], "{target:?}");
        }
    }

    #[test]
    fn a_document_is_refused_only_for_what_it_asks() {
        let document = |field: &str, value: Value| {
            let source = json!({"type": "text", "media_type": "text/plain", "data": "x"});
            let block = json!({"type": "document", "source": source, field: value});
            let body = json!({"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": [block]},
            ]});
            let request = Dialect::Anthropic.read_request(body.to_string().as_bytes());
            let options = WriteOptions {
                model: "m",
                is_compatible: false,
            };
            let written = Dialect::Gemini.write_request(&request.unwrap(), &options);
            written.map(drop).map_err(|refused| refused.param)
        };
        for off in [json!({"enabled": false}), json!({}), json!(null)] {
            assert_eq!(document("citations", off), Ok(()));
        }
        let place = |field: &str| Err(format!("messages[0].content[0].{field}"));
        let asked = document("citations", json!({"enabled": true}));
        assert_eq!(asked, place("citations"));
        assert_eq!(document("context", json!("of old")), place("context"));
    }

    #[test]
    fn their_own_provider_gets_them() {
        let more = json!({"toolset_name": "x", "latency_ms": 5});
        let told = second_turn(Dialect::Anthropic, &more).unwrap();
        let body = String::from_utf8(told.body).unwrap();
        assert_eq!(body.matches("\"latency_ms\":5").count(), 6);
        assert_eq!(told.dropped, [""; 0]);
    }
}
