//! `reasoning_details`: thoughts with what has to come back unchanged, as OpenRouter tells them.
//!
//! An entry becomes a thought of its own. All of it but the text rides in the thought's proof, marked as this
//! wire's, and only this wire gets it back.

use super::super::proof;
use crate::Part;
use serde_json::{Map, Value};

type Entry = Map<String, Value>;

/// The entries; none where it is no list of objects.
pub(super) fn entries(value: Option<Value>) -> Vec<Entry> {
    let Some(Value::Array(list)) = value else {
        return Vec::new();
    };
    let object = |entry| match entry {
        Value::Object(entry) => Some(entry),
        _ => None,
    };
    let entries: Option<Vec<Entry>> = list.into_iter().map(object).collect();
    entries.unwrap_or_default()
}

/// The thoughts of a message: those of the entries, and `plain` where they show no text.
pub(super) fn thoughts(entries: Vec<Entry>, plain: Option<Part>) -> Vec<Part> {
    let is_shown = entries.iter().any(shows_text);
    let shown = plain.filter(|_| !is_shown);
    let of_entry = |mut entry: Entry| Part::Reasoning {
        text: take_text(&mut entry),
        signature: Some(proof::of_details(&entry)),
        sealed: None,
        id: None,
    };
    shown
        .into_iter()
        .chain(entries.into_iter().map(of_entry))
        .collect()
}

/// The entry that a thought was; nothing where it comes from elsewhere.
pub(super) fn entry_of(text: &str, signature: Option<&str>) -> Option<Value> {
    let mut entry = proof::to_details(signature?)?;
    if let Some(key) = text_key(&entry).filter(|_| !text.is_empty()) {
        entry.insert(key.to_owned(), Value::from(text));
    }
    Some(Value::Object(entry))
}

/// Takes the text out of an entry.
pub(super) fn take_text(entry: &mut Entry) -> String {
    match text_key(entry).and_then(|key| entry.shift_remove(key)) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Whether an entry shows a part of the thought.
pub(super) fn shows_text(entry: &Entry) -> bool {
    let text = text_key(entry).and_then(|key| entry.get(key)?.as_str());
    text.is_some_and(|text| !text.is_empty())
}

/// Goes on with an entry, if `piece` is one more piece of it.
pub(super) fn join(entry: &mut Entry, piece: &Entry) -> bool {
    let is_same = |key: &str| entry.get(key) == piece.get(key);
    let goes_on = text_key(entry).is_some() && is_same("type") && is_same("index");
    if goes_on {
        let told = piece.iter().filter(|(_, value)| !value.is_null());
        entry.extend(told.map(|(key, value)| (key.clone(), value.clone())));
    }
    goes_on
}

fn text_key(entry: &Entry) -> Option<&'static str> {
    match entry.get("type")?.as_str()? {
        "reasoning.text" => Some("text"),
        "reasoning.summary" => Some("summary"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, AnswerContext, Assembly, Dialect, Event, Request, Sse, WriteOptions};
    use serde_json::json;

    fn told() -> Value {
        json!([
            {"type": "reasoning.text", "text": "Let me see.", "format": "anthropic-claude-v1",
             "index": 0, "signature": "sig=="},
            {"type": "reasoning.summary", "summary": "It was seen.", "index": 1},
            {"type": "reasoning.encrypted", "data": "c2VhbGVk", "id": "r 1", "index": 2},
        ])
    }

    fn whole() -> Answer {
        let message = json!({"content": "Yes.", "reasoning": "Let me see.It was seen.",
            "reasoning_details": told()});
        let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
        let request = Request::default();
        Dialect::OpenAiChat
            .read_answer(body.to_string().as_bytes(), &request)
            .unwrap()
    }

    fn streamed() -> Answer {
        let text = |text: &str| json!({"type": "reasoning.text", "text": text, "format": "anthropic-claude-v1", "index": 0});
        let told = told();
        let deltas = [
            json!({"reasoning": "Let me ", "reasoning_details": [text("Let me ")]}),
            json!({"reasoning": "see.", "reasoning_details": [text("see.")]}),
            json!({"reasoning_details": [{"type": "reasoning.text", "signature": "sig==", "index": 0}]}),
            json!({"reasoning": "It was seen.", "reasoning_details": [told[1], told[2]]}),
            json!({"content": "Yes."}),
        ];
        let mut reader = Dialect::OpenAiChat.stream_reader(&Request::default());
        let mut events: Vec<Event> = Vec::new();
        for delta in deltas {
            let data = json!({"choices": [{"delta": delta}]}).to_string();
            let sse = Sse {
                name: "",
                data: &data,
            };
            reader.decode(&sse, &mut events).unwrap();
        }
        let data = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}).to_string();
        let sse = Sse {
            name: "",
            data: &data,
        };
        reader.decode(&sse, &mut events).unwrap();
        reader.end(&mut events).unwrap();
        let mut assembly = Assembly::default();
        for event in events {
            assembly.add(event).unwrap();
        }
        assembly.finish().unwrap()
    }

    /// A second turn, as a client of this dialect brings it back.
    fn second_turn(caller: Dialect, answer: &Answer) -> Request {
        let request = Request::default();
        let context = AnswerContext {
            request: &request,
            created: 0,
            request_id: "r",
        };
        let body: Value = serde_json::from_slice(&caller.write_answer(answer, &context)).unwrap();
        let user = json!({"role": "user", "content": "q"});
        let body = match caller {
            Dialect::Anthropic => json!({"model": "m", "max_tokens": 9, "messages": [
                user, {"role": "assistant", "content": body["content"]}, user,
            ]}),
            Dialect::OpenAiResponses => {
                let mut items = body["output"].as_array().unwrap().clone();
                items.insert(0, user);
                json!({"model": "m", "input": items})
            }
            _ => json!({"model": "m", "messages": [user, body["choices"][0]["message"], user]}),
        };
        let body = body.to_string();
        assert!(caller.may_be_marked(body.as_bytes(), true));
        caller.read_request(body.as_bytes()).unwrap()
    }

    #[test]
    fn whole_and_streamed_answers_hold_the_same_thoughts() {
        assert_eq!(whole().parts, streamed().parts);
    }

    #[test]
    fn entries_come_back_to_their_server_and_to_no_other() {
        let callers = [
            Dialect::Anthropic,
            Dialect::OpenAiResponses,
            Dialect::OpenAiChat,
        ];
        let options = |is_compatible| WriteOptions {
            model: "m",
            is_compatible,
        };
        for caller in callers {
            let request = second_turn(caller, &whole());
            let sent = Dialect::OpenAiChat.write_request(&request, &options(true));
            let body: Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
            assert_eq!(
                body["messages"][1]["reasoning_details"],
                told(),
                "{caller:?}"
            );
            for target in [
                Dialect::Anthropic,
                Dialect::Gemini,
                Dialect::OpenAiResponses,
            ] {
                let sent = target.write_request(&request, &options(false)).unwrap();
                let body = String::from_utf8(sent.body).unwrap();
                assert!(!body.contains("details"), "{target:?} {body}");
            }
        }
    }

    #[test]
    fn a_caller_of_the_same_wire_may_send_them_itself() {
        let body = json!({"model": "m", "messages": [{"role": "assistant", "content": "Yes.",
            "reasoning": "Let me see.", "reasoning_details": told()}]});
        let request = Dialect::OpenAiChat.read_request(body.to_string().as_bytes());
        let parts = &request.unwrap().messages[0].parts;
        assert_eq!(parts[..], whole().parts[..]);
    }
}
