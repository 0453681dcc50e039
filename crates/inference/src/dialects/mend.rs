//! Answers that bend JSON's rules, or the dialect's, in ways that official clients read all the same. An answer that was
//! paid for is not thrown away over them.

use serde_json::Value;
use std::borrow::Cow;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const REPLACEMENT: &str = r"\ufffd";

/// Where usage stands in the dialects.
const USAGE: [&str; 2] = ["usage", "usageMetadata"];

/// A whole answer that could not be read, as it can be; nothing where it is no JSON at all. What stands twice counts as
/// it stands last.
pub(super) fn mended(body: &[u8]) -> Option<Vec<u8>> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = whole_escapes(std::str::from_utf8(body).ok()?);
    let mut value: Value = serde_json::from_str(&text).ok()?;
    for name in USAGE {
        if let Some(usage) = value.get_mut(name) {
            as_counts(usage);
        }
    }
    serde_json::to_vec(&value).ok()
}

/// Replaces halves of surrogate pairs (RFC 8259, section 8.2), which servers send that cut texts between them.
#[must_use]
pub fn whole_escapes(json: &str) -> Cow<'_, str> {
    if !json.contains(r"\ud") && !json.contains(r"\uD") {
        return Cow::Borrowed(json);
    }
    let mut whole = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        whole.push_str(before);
        let (taken, told) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, &escape[..12]),
            (Some(0xd800..=0xdfff), _) => (6, REPLACEMENT),
            _ => {
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                (length, &escape[..length])
            }
        };
        whole.push_str(told);
        rest = &escape[taken..];
    }
    whole.push_str(rest);
    Cow::Owned(whole)
}

/// The UTF-16 unit that an escape at the beginning stands for.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// Makes whole numbers of what stands for one; what does not is none.
fn as_counts(usage: &mut Value) {
    match usage {
        Value::Object(fields) => fields.values_mut().for_each(as_counts),
        Value::String(text) => {
            let count = text.parse::<u64>();
            *usage = count.map_or(Value::Null, Value::from);
        }
        Value::Number(number) if !number.is_u64() => {
            let count = number.as_f64().filter(|count| {
                count.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(count)
            });
            // The range above has only numbers that are exact in both.
            let text = count.map(|count| format!("{count:.0}"));
            let count = text.and_then(|text| text.parse::<u64>().ok());
            *usage = count.map_or(Value::Null, Value::from);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Request};
    use serde_json::json;

    #[test]
    fn halves_of_pairs_are_replaced_and_nothing_else() {
        for (json, whole) in [
            (r#""a\ud83d""#, r#""a\ufffd""#),
            (r#""\ude00b""#, r#""\ufffdb""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83dé\n""#, r#""\\\ufffdé\n""#),
            (r#""\ud8""#, r#""\ud8""#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(whole_escapes(json), whole, "{json}");
        }
    }

    #[test]
    fn an_answer_that_bends_the_rules_is_an_answer() {
        let answer = |content: &str, usage: &str| {
            format!(
                r#"{{"id":"1","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
            )
        };
        let usage = r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}"#;
        let plain = answer("hi", usage);
        let read = |body: &str| {
            let request = Request::default();
            Dialect::OpenAiChat.read_answer(body.as_bytes(), &request)
        };
        let expected = read(&plain).unwrap();
        for bent in [
            format!("\u{feff}{plain}"),
            plain.replace(r#""model":"m""#, r#""model":"n","model":"m""#),
            plain.replace(":10,", ":10.0,").replace(":2,", r#":"2","#),
        ] {
            assert_eq!(read(&bent).unwrap(), expected, "{bent}");
        }
        let halved = read(&answer(r"a\ud83d", usage)).unwrap();
        assert!(format!("{halved:?}").contains("a\u{fffd}"));
        let uncounted = read(&plain.replace(":10,", ":-1,")).unwrap();
        assert_ne!(uncounted.tokens, expected.tokens);
        for broken in ["{", "\u{feff}", r#"{"choices": 7}"#] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn counts_are_whole_numbers_or_none() {
        let mut usage =
            json!({"a": 1, "b": 2.0, "c": "3", "d": -1, "e": 1.5, "f": "x", "g": {"h": 4.0}});
        as_counts(&mut usage);
        let expected =
            json!({"a": 1, "b": 2, "c": 3, "d": null, "e": null, "f": null, "g": {"h": 4}});
        assert_eq!(usage, expected);
    }
}
