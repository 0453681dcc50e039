//! Scalars: what a word without quotes stands for, and every type that is one word or text.

use super::Decoder;
use crate::finding::{Place, Problem, shorten};
use crate::format::Format;
use crate::near::near;
use crate::refusal::Refusal;
use crate::shape::Word;
use crate::value::Value;
use crate::yaml::{Content, Node};

/// What a scalar without quotes stands for.
pub(super) enum Plain {
    Nothing,
    Boolean,
    Number,
    /// A boolean for some YAML readers and a text for others.
    Unclear,
    Text,
}

pub(super) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Nothing,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Plain::Boolean,
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    if text.len() <= 3 && matches!(lower.as_str(), "yes" | "no" | "on" | "off") {
        return Plain::Unclear;
    }
    let digits = lower.trim_start_matches(['+', '-']);
    let has_base = digits.starts_with("0x") || digits.starts_with("0o");
    let is_special = matches!(digits, ".inf" | ".nan");
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && text.len() <= 400
        && digits.parse::<f64>().is_ok();
    let is_based =
        has_base && digits.len() > 2 && digits[2..].chars().all(|c| c.is_ascii_hexdigit());
    if is_number || is_based || is_special {
        Plain::Number
    } else {
        Plain::Text
    }
}

/// What is there, for a message; without its content where that may be a secret.
pub(super) fn found(node: &Node, is_secret: bool) -> String {
    match &node.content {
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a map".to_owned(),
        Content::Refused => "something unusable".to_owned(),
        Content::Scalar { text, is_plain } => {
            let what = match plain(text) {
                Plain::Nothing if *is_plain => return "nothing".to_owned(),
                Plain::Boolean if *is_plain => "the boolean",
                Plain::Number if *is_plain => "the number",
                _ => "the text",
            };
            if text.is_empty() {
                return "an empty text".to_owned();
            }
            if is_secret {
                return what.replacen("the", "a", 1);
            }
            let shown: String = shorten(text).chars().flat_map(char::escape_debug).collect();
            format!(
                "{what} `{}`",
                shown.replace("\\'", "'").replace("\\\"", "\"")
            )
        }
    }
}

impl Decoder<'_> {
    pub(super) fn text(&mut self, node: &Node, place: &Place) -> Option<Value> {
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped(node, place, "a text", None);
            return None;
        };
        if *is_plain && !matches!(plain(text), Plain::Text) {
            self.mistyped(node, place, "a text", quotes(text));
            return None;
        }
        if text.trim().is_empty() {
            let expected = "a text".to_owned();
            let finding = place.finding(
                Problem::Value { expected },
                "expected a text, found an empty one",
            );
            self.findings
                .add(finding.hint("leave the key out, or fill it"));
            return None;
        }
        Some(Value::Text(text.clone()))
    }

    pub(super) fn format(&mut self, node: &Node, format: &Format, place: &Place) -> Option<Value> {
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped_secret(node, place, format.expected, None, format.is_secret);
            return None;
        };
        let is_text = !*is_plain
            || match plain(text) {
                Plain::Text => true,
                Plain::Number => format.is_numeric,
                Plain::Nothing | Plain::Boolean | Plain::Unclear => false,
            };
        let read = (format.read)(text);
        match (is_text, read) {
            (true, Ok(value)) => Some(value),
            (true, Err(Refusal(hint))) => {
                // `user:password@host` is a secret too.
                let found = found(node, format.is_secret || text.contains('@'));
                let message = format!("expected {}, found {found}", format.expected);
                let expected = format.expected.to_owned();
                let mut finding = place.finding(Problem::Value { expected }, message);
                finding.hint = hint;
                self.findings.add(finding);
                None
            }
            (false, read) => {
                let hint = match read {
                    Err(Refusal(Some(hint))) if matches!(plain(text), Plain::Number) => Some(hint),
                    _ => quotes(text),
                };
                self.mistyped_secret(node, place, format.expected, hint, format.is_secret);
                None
            }
        }
    }

    pub(super) fn integer(
        &mut self,
        node: &Node,
        min: u64,
        max: u64,
        place: &Place,
    ) -> Option<Value> {
        let expected = if min == max {
            format!("the number {min}")
        } else {
            format!("a whole number from {min} to {max}")
        };
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped(node, place, &expected, None);
            return None;
        };
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|_| is_digits);
        match number {
            Some(number) if *is_plain && (min..=max).contains(&number) => {
                Some(Value::Integer(number))
            }
            Some(_) if !*is_plain => {
                let hint = Some("leave the quotes out".to_owned());
                self.mistyped(node, place, &expected, hint);
                None
            }
            _ if *is_plain && matches!(plain(text), Plain::Number) => {
                let found = found(node, false);
                let message = format!("expected {expected}, found {found}");
                let mut finding = place.finding(Problem::Value { expected }, message);
                if !is_digits && !text.starts_with('-') {
                    finding.hint = Some("write it with decimal digits only".to_owned());
                }
                self.findings.add(finding);
                None
            }
            _ => {
                let has_digits = text.starts_with(|c: char| c.is_ascii_digit());
                let hint = has_digits.then(|| "write it with decimal digits only".to_owned());
                self.mistyped(node, place, &expected, hint);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &Node, place: &Place) -> Option<Value> {
        let hint = match &node.content {
            Content::Scalar { text, is_plain } => match (text.as_str(), *is_plain) {
                ("true", true) => return Some(Value::Boolean(true)),
                ("false", true) => return Some(Value::Boolean(false)),
                ("true" | "false", false) => Some("leave the quotes out".to_owned()),
                _ => match text.to_ascii_lowercase().as_str() {
                    "yes" | "y" | "on" | "true" => Some("write `true`".to_owned()),
                    "no" | "n" | "off" | "false" => Some("write `false`".to_owned()),
                    _ => None,
                },
            },
            _ => None,
        };
        self.mistyped(node, place, "`true` or `false`", hint);
        None
    }

    pub(super) fn choice(
        &mut self,
        node: &Node,
        words: &'static [Word],
        place: &Place,
    ) -> Option<Value> {
        let names = words.iter().map(|word| format!("`{}`", word.word));
        let names: Vec<String> = names.collect();
        let expected = format!("one of {}", names.join(", "));
        let Content::Scalar { text, is_plain } = &node.content else {
            self.mistyped(node, place, &expected, None);
            return None;
        };
        if let Some(word) = words.iter().find(|word| word.word == text) {
            return Some(Value::Word(word.word));
        }
        if *is_plain && matches!(plain(text), Plain::Nothing) {
            self.mistyped(node, place, &expected, None);
            return None;
        }
        let message = format!("expected {expected}, found {}", found(node, false));
        let finding = place.finding(Problem::Value { expected }, message);
        let near = near(text, words.iter().map(|word| word.word));
        self.findings.add(finding.near(near));
        None
    }
}

fn quotes(text: &str) -> Option<String> {
    match plain(text) {
        Plain::Nothing => None,
        Plain::Unclear => Some(format!(
            "some YAML readers take `{text}` for a boolean; put it in quotes: \"{text}\""
        )),
        Plain::Boolean | Plain::Number | Plain::Text => Some("put it in quotes".to_owned()),
    }
}
