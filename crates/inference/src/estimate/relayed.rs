//! Bodies that are handed on as they came: they may hold more than this version understands, and a provider may make
//! a prompt of that, too.

use super::count;
use crate::{Dialect, Request};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Bytes of names and marks around a message, a part or a tool; twice what the dialects know.
const PER_FRAME: usize = 256;
/// The same around a request.
const PER_REQUEST: usize = 1024;
/// Bytes for a token of what was not understood: no more than English has.
const BYTES_PER_TOKEN: usize = 2;

/// As [`estimate_tokens`](super::estimate_tokens), for a request whose body is handed on in the dialect that it came in:
/// what stands in it beyond the request counts, too.
#[must_use]
pub fn estimate_relayed(request: &Request, dialect: Dialect, body: &[u8]) -> u64 {
    let count = count(request, dialect);
    let known = count.seen + count.frames * PER_FRAME + PER_REQUEST;
    // Most bodies hold little around their texts, and need not be read again.
    if body.len() <= known {
        return count.sum();
    }
    let unread = scalars(body).saturating_sub(known) / BYTES_PER_TOKEN;
    let unread = u64::try_from(unread).unwrap_or(u64::MAX);
    count.sum().saturating_add(unread)
}

/// The bytes of all names, texts and numbers, as they mean and not as they are written.
fn scalars(body: &[u8]) -> usize {
    let mut bytes = 0;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Scalars(&mut bytes).deserialize(&mut json);
    match read {
        Ok(()) => bytes,
        // It was read before; what cannot be read again counts whole.
        Err(_) => body.len(),
    }
}

struct Scalars<'a>(&'a mut usize);

impl<'de> DeserializeSeed<'de> for Scalars<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalars<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        *self.0 += 4;
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        *self.0 += 4;
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        *self.0 += 4;
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        *self.0 += 4;
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        *self.0 += 4;
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        *self.0 += text.len();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Scalars(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while fields.next_key_seed(Scalars(&mut *self.0))?.is_some() {
            fields.next_value_seed(Scalars(&mut *self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate_tokens;
    use serde_json::{Value, json};

    /// What is counted beyond the request itself.
    fn beyond(dialect: Dialect, body: &Value) -> u64 {
        let body = body.to_string();
        let request = dialect.read_request(body.as_bytes()).unwrap();
        estimate_relayed(&request, dialect, body.as_bytes()) - estimate_tokens(&request, dialect)
    }

    #[test]
    fn nothing_hides_where_no_field_is_known() {
        let long = "hidden words ".repeat(50_000);
        let chat = |message: Value| json!({"model": "m", "messages": [message]});
        let bodies = [
            (
                Dialect::OpenAiChat,
                chat(json!({"role": "user", "content": "x", "zzz": long})),
            ),
            (
                Dialect::OpenAiChat,
                chat(
                    json!({"role": "user", "content": [{"type": "text", "text": "x", "zzz": long}]}),
                ),
            ),
            (
                Dialect::OpenAiChat,
                json!({
                    "model": "m", "messages": [{"role": "user", "content": "x"}],
                    "tools": [{"type": "function", "function": {"name": "f", "zzz": [long]}}],
                }),
            ),
            (
                Dialect::Anthropic,
                json!({
                    "model": "m", "max_tokens": 9, "stop_sequences": [long],
                    "messages": [{"role": "user", "content": "x"}],
                }),
            ),
            (
                Dialect::OpenAiResponses,
                json!({"model": "m", "input": [{"role": "user", "content": "x", "zzz": {"a": long}}]}),
            ),
        ];
        for (dialect, body) in bodies {
            let tokens = beyond(dialect, &body);
            assert!(tokens > 300_000, "{dialect:?}: {tokens}");
        }
    }

    #[test]
    fn the_title_of_a_document_is_a_part_of_the_prompt() {
        let document = |title: &str| {
            let source = json!({"type": "text", "media_type": "text/plain", "data": "x"});
            let block = json!({"type": "document", "title": title, "source": source});
            let messages = json!([{"role": "user", "content": [block]}]);
            let body = json!({"model": "m", "max_tokens": 9, "messages": messages}).to_string();
            let request = Dialect::Anthropic.read_request(body.as_bytes()).unwrap();
            estimate_relayed(&request, Dialect::Anthropic, body.as_bytes())
        };
        assert!(document(&"words ".repeat(1000)) > document("words") + 1000);
    }

    #[test]
    fn ordinary_bodies_count_as_what_they_say() {
        let picture = "A".repeat(500_000);
        let call = json!({"id": "call_0123456789abcdef01234567", "type": "function",
            "function": {"name": "look", "arguments": "{\"at\": 1}"}});
        let chat = json!({
            "model": "m", "temperature": 0.5, "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "be \u{1F600} short ".repeat(500)},
                {"role": "user", "content": [
                    {"type": "text", "text": "what is this?"},
                    {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{picture}")}},
                ]},
                {"role": "assistant", "tool_calls": vec![call; 20]},
                {"role": "tool", "tool_call_id": "call_0123456789abcdef01234567", "content": "done"},
            ],
        });
        assert_eq!(beyond(Dialect::OpenAiChat, &chat), 0);
        let cached = json!({"type": "ephemeral", "ttl": "1h"});
        let source = json!({"type": "base64", "media_type": "application/pdf", "data": picture});
        let messages = json!({
            "model": "m", "max_tokens": 9,
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": source, "cache_control": cached}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s".repeat(5000)},
                    {"type": "tool_use", "id": "toolu_0123456789abcdef01234567", "name": "f", "input": {"a": [1, 2]}},
                ]},
            ],
        });
        assert_eq!(beyond(Dialect::Anthropic, &messages), 0);
    }
}
