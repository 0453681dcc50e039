//! Reading a caller's JSON so that every complaint names the field and can be read by people.

use crate::InvalidRequest;
use crate::dialects::reading::fault;
use serde_json::{Map, Value};
use std::fmt;

/// The fields of an object, owned so that texts move without a copy.
pub(crate) type Object = Map<String, Value>;

/// Where a value stands. Made on the stack while reading; becomes text only in a complaint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The request itself.
    pub(crate) const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    /// A field of what stands here.
    pub(crate) const fn key(&'a self, key: &'a str) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    /// A place in the array that stands here.
    pub(crate) const fn index(&'a self, index: usize) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// A complaint about what stands here; `what` goes on from the field's name.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> InvalidRequest {
        let path = self.to_string();
        InvalidRequest {
            message: format!("`{path}` {what}."),
            param: Some(path),
        }
    }

    /// Says that another type was expected, and which one is there.
    fn expected(&self, expected: &str, found: &Value) -> InvalidRequest {
        self.wrong(format_args!("must be {expected}, not {}", kind(found)))
    }

    /// Says that a field is missing here.
    pub(crate) fn missing(&self, field: &str) -> InvalidRequest {
        self.key(field).wrong("is missing")
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(out)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(out, "[{index}]"),
            Step::Key(key) if self.parent.is_some_and(|parent| parent.parent.is_some()) => {
                write!(out, ".{key}")
            }
            Step::Key(key) => out.write_str(key),
        }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Reads a body as a JSON object.
///
/// # Errors
/// It is not JSON, or of another type.
pub(crate) fn parse(body: &[u8]) -> Result<Object, InvalidRequest> {
    let whole = |message: String| InvalidRequest {
        param: None,
        message,
    };
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(whole(format!(
            "The request must be a JSON object, not {}.",
            kind(&other)
        ))),
        Err(error) => Err(whole(format!(
            "The request is not JSON that can be read: {}, at line {}, column {}.",
            fault(body, &error),
            error.line(),
            error.column()
        ))),
    }
}

/// # Errors
/// It is no string.
pub(crate) fn string(value: Value, at: &Path<'_>) -> Result<String, InvalidRequest> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(at.expected("a string", &other)),
    }
}

/// Like [`string`], with null for nothing.
///
/// # Errors
/// It is neither.
pub(crate) fn optional_text(value: Value, at: &Path<'_>) -> Result<Option<String>, InvalidRequest> {
    match value {
        Value::Null => Ok(None),
        other => string(other, at).map(Some),
    }
}

/// # Errors
/// It is no object.
pub(crate) fn object(value: Value, at: &Path<'_>) -> Result<Object, InvalidRequest> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(at.expected("an object", &other)),
    }
}

/// # Errors
/// It is no array.
pub(crate) fn array(value: Value, at: &Path<'_>) -> Result<Vec<Value>, InvalidRequest> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(at.expected("an array", &other)),
    }
}

/// # Errors
/// It is no boolean.
pub(crate) fn boolean(value: &Value, at: &Path<'_>) -> Result<bool, InvalidRequest> {
    value
        .as_bool()
        .ok_or_else(|| at.expected("a boolean", value))
}

/// # Errors
/// It is no number.
pub(crate) fn number(value: &Value, at: &Path<'_>) -> Result<f64, InvalidRequest> {
    value.as_f64().ok_or_else(|| at.expected("a number", value))
}

/// # Errors
/// It is no whole number from 0 to 2⁶⁴.
pub(crate) fn whole_number(value: &Value, at: &Path<'_>) -> Result<u64, InvalidRequest> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .ok_or_else(|| at.wrong("must be a whole number that is not negative")),
        other => Err(at.expected("a whole number", other)),
    }
}

/// # Errors
/// It is no whole number of 64 bits.
pub(crate) fn integer(value: &Value, at: &Path<'_>) -> Result<i64, InvalidRequest> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .ok_or_else(|| at.wrong("must be a whole number of at most 64 bits")),
        other => Err(at.expected("a whole number", other)),
    }
}

/// A string, or an array of strings.
///
/// # Errors
/// It is neither.
pub(crate) fn strings(value: Value, at: &Path<'_>) -> Result<Vec<String>, InvalidRequest> {
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| string(item, &at.index(index)))
            .collect(),
        other => Err(at.expected("a string or an array of strings", &other)),
    }
}

/// Takes a string out of an object; an absent field is a complaint.
///
/// # Errors
/// It is missing, or no string.
pub(crate) fn text_of(
    fields: &mut Object,
    key: &str,
    at: &Path<'_>,
) -> Result<String, InvalidRequest> {
    match fields.get_mut(key).map(Value::take) {
        Some(Value::Null) | None => Err(at.missing(key)),
        Some(value) => string(value, &at.key(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_clients_write_it() {
        let messages = Path::ROOT.key("messages");
        let first = messages.index(0);
        let content = first.key("content");
        assert_eq!(content.index(2).to_string(), "messages[0].content[2]");
        assert_eq!(
            string(Value::from(5), &content),
            Err(InvalidRequest {
                param: Some("messages[0].content".to_owned()),
                message: "`messages[0].content` must be a string, not a number.".to_owned(),
            })
        );
    }

    #[test]
    fn what_is_no_json_is_said_without_a_parameter() {
        for body in ["", "{", "[1]", "{\"a\":1e999}", "\"text\""] {
            let refused = parse(body.as_bytes()).unwrap_err();
            assert_eq!(refused.param, None, "{body}");
            assert!(refused.message.starts_with("The request"), "{body}");
        }
        for (body, reason) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("\u{feff}{}", "byte order mark"),
            ("{\"a\"", "it ends too early"),
            ("{\"a\":1e999}", "a number does not fit"),
            ("{} x", "something follows the JSON"),
            ("{\"a\":\"\\ud800\"}", "half of a surrogate pair"),
            ("{\"a\":\"\\udc00\"}", "half of a surrogate pair"),
            ("{\"a\":\"\\ud800\\u0041\"}", "half of a surrogate pair"),
            ("{'a':1}", "key must be a string"),
        ] {
            let refused = parse(body.as_bytes()).unwrap_err();
            assert!(refused.message.contains(reason), "{body}: {refused:?}");
        }
        let refused = parse(b"{\"a\":\"\xff\"}").unwrap_err();
        assert!(refused.message.contains("it is not UTF-8"), "{refused:?}");
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(126).as_bytes()).is_ok());
        let refused = parse(nested(127).as_bytes()).unwrap_err();
        assert!(
            refused.message.contains("deeper than 127 levels"),
            "{refused:?}"
        );
        let deep = "[".repeat(100_000);
        assert!(parse(format!("{{\"a\":{deep}").as_bytes()).is_err());
    }
}
