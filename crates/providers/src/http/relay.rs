//! A caller's own body with another model's name in it. Every other byte of every field stays as it was.

use mainstay_inference::{Dialect, Request};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The fields of an object, in their order, as they were written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    fields.push((name.0, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The body for the provider: `model` replaced, and usage asked for where a stream would not tell it.
pub(super) fn body(
    dialect: Dialect,
    body: &[u8],
    model: &str,
    request: &Request,
) -> serde_json::Result<Vec<u8>> {
    let Fields(fields) = serde_json::from_slice(body)?;
    let mut out = Vec::with_capacity(body.len() + model.len() + 48);
    let asks_usage = dialect == Dialect::OpenAiChat && request.stream && !request.stream_usage;
    let mut is_first = true;
    let mut stream_options = None;
    // What stands twice was judged by its last value: the provider gets that and no other.
    let places = fields.iter().enumerate();
    let last: HashMap<&str, usize> = places.map(|(at, (name, _))| (&**name, at)).collect();
    for (at, (name, value)) in fields.iter().enumerate() {
        if last.get(&**name) != Some(&at) {
            continue;
        }
        if asks_usage && name == "stream_options" {
            stream_options = Some(*value);
            continue;
        }
        // Gemini and Azure have the model's name in the address; there the field does no harm.
        out.push(if is_first { b'{' } else { b',' });
        is_first = false;
        serde_json::to_writer(&mut out, &name)?;
        out.push(b':');
        if name == "model" {
            serde_json::to_writer(&mut out, model)?;
        } else {
            out.extend_from_slice(value.get().as_bytes());
        }
    }
    if is_first {
        out.push(b'{');
    }
    if asks_usage {
        out.extend_from_slice(br#","stream_options":"#);
        serde_json::to_writer(&mut out, &with_usage(stream_options))?;
    }
    out.push(b'}');
    Ok(out)
}

/// The caller's options for streams, with usage asked for.
fn with_usage(options: Option<&RawValue>) -> Map<String, Value> {
    let written = options.map(|options| serde_json::from_str(options.get()));
    let mut options: Map<String, Value> = written.and_then(Result::ok).unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_is_another() {
        let text =
            br#"{"x":1.50,"model":"a\"b","messages":[{"new":true,"a":1e400}],"stream":true}"#;
        let request = Request {
            stream: true,
            ..Request::default()
        };
        let sent = body(Dialect::OpenAiChat, text, "real", &request).unwrap();
        let sent = String::from_utf8(sent).unwrap();
        let expected = r#"{"x":1.50,"model":"real","messages":[{"new":true,"a":1e400}],"stream":true,"stream_options":{"include_usage":true}}"#;
        assert_eq!(sent, expected);
        let sent = body(Dialect::Anthropic, text, "real", &request).unwrap();
        assert!(!String::from_utf8(sent).unwrap().contains("stream_options"));
    }

    #[test]
    fn what_stands_twice_goes_on_as_it_was_judged() {
        let text = br#"{"model":"a","max_tokens":9,"messages":[1],"max_tokens":1,"model":"b"}"#;
        let request = Request::default();
        let sent = body(Dialect::Anthropic, text, "real", &request).unwrap();
        let sent = String::from_utf8(sent).unwrap();
        assert_eq!(sent, r#"{"messages":[1],"max_tokens":1,"model":"real"}"#);
    }
}
