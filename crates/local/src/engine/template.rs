//! From a conversation to the text that a model was trained on, by the template that its file carries.

use super::tokenizer::Tokenizer;
use crate::error::LocalError;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as Any};
use minijinja::{Environment, Error, ErrorKind, context};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(super) struct Template {
    source: String,
    begin: String,
    end: String,
    knows_tools: bool,
}

impl Template {
    /// Checks a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(source: &str, begin: &str, end: &str) -> Result<Self, String> {
        let knows_tools = environment()
            .and_then(|environment| {
                let template = environment.template_from_str(source)?;
                Ok(template.undeclared_variables(false).contains("tools"))
            })
            .map_err(|error| error.to_string())?;
        Ok(Self {
            source: source.to_owned(),
            begin: begin.to_owned(),
            end: end.to_owned(),
            knows_tools,
        })
    }

    /// Writes a conversation down, up to where the answer begins.
    ///
    /// # Errors
    /// [`LocalError::BadRequest`] where the messages are not of the agreed shape, or the template refuses them.
    pub(super) fn render(
        &self,
        messages: &Value,
        tools: Option<&Value>,
        tokenizer: &Tokenizer,
    ) -> Result<String, LocalError> {
        let wrong = |message: &dyn std::fmt::Display| LocalError::bad_request("messages", message);
        let Some(messages) = messages.as_array().filter(|all| !all.is_empty()) else {
            return Err(wrong(&"must be a list with at least one message"));
        };
        let is_message = |message: &Value| message.get("role").is_some_and(Value::is_string);
        if !messages.iter().all(is_message) {
            return Err(wrong(&"every message needs a role"));
        }
        let tools = tools.filter(|tools| tools.as_array().is_none_or(|all| !all.is_empty()));
        if tools.is_some() && !self.knows_tools {
            let why = "the model's own template has no place for tools";
            return Err(LocalError::bad_request("tools", why));
        }
        let messages: Result<Vec<_>, _> = messages.iter().map(plain).collect();
        let mut messages = Value::Array(messages?);
        disarm(&mut messages, tokenizer);
        let mut tools = tools.cloned();
        tools.iter_mut().for_each(|tools| disarm(tools, tokenizer));
        let rendered = environment().and_then(|environment| {
            environment
                .template_from_str(&self.source)?
                .render(context! {
                    messages => Any::from(Serde(&messages)),
                    tools => tools.as_ref().map(|tools| Any::from(Serde(tools))),
                    bos_token => &self.begin,
                    eos_token => &self.end,
                    add_generation_prompt => true,
                })
        });
        rendered.map_err(|error| wrong(&error))
    }
}

/// A message as templates expect it: its text in one piece, and the arguments of its calls as values.
fn plain(message: &Value) -> Result<Value, LocalError> {
    let mut message = message.clone();
    if let Some(parts) = message.get("content").and_then(Value::as_array) {
        let text = |part: &Value| part.get("text")?.as_str().map(ToOwned::to_owned);
        let texts: Option<Vec<String>> = parts.iter().map(text).collect();
        let only_text = || LocalError::bad_request("messages", "the model reads nothing but text");
        message["content"] = Value::String(texts.ok_or_else(only_text)?.concat());
    } else if message.get("content").is_none_or(Value::is_null) {
        message["content"] = Value::String(String::new());
    }
    if let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
        for call in calls {
            if let Some(arguments) = call.pointer_mut("/function/arguments")
                && let Some(text) = arguments.as_str()
                && let Ok(value) = serde_json::from_str::<Value>(text)
            {
                *arguments = value;
            }
        }
    }
    Ok(message)
}

/// Makes every control token in texts plain text.
fn disarm(value: &mut Value, tokenizer: &Tokenizer) {
    match value {
        Value::String(text) => *text = tokenizer.disarm(text),
        Value::Array(items) => items.iter_mut().for_each(|item| disarm(item, tokenizer)),
        Value::Object(fields) => fields.values_mut().for_each(|item| disarm(item, tokenizer)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What templates written for Python's Jinja expect to find.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", refuse);
    environment.add_function("strftime_now", today);
    environment.add_filter("tojson", to_json);
    Ok(environment)
}

fn refuse(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// JSON as Python writes it, which models were trained on.
fn to_json(value: Serde<Value>, options: Kwargs) -> Result<Any, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let mut written = Vec::new();
    let result = match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let pretty = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(
                &mut written,
                pretty,
            ))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(
            &mut written,
            Spaced,
        )),
    };
    let wrong =
        |error: &dyn std::fmt::Display| Error::new(ErrorKind::BadSerialization, error.to_string());
    result.map_err(|error| wrong(&error))?;
    let written = String::from_utf8(written).map_err(|error| wrong(&error))?;
    Ok(Any::from_safe_string(written))
}

/// A space after every comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// Today's date in a format of `strftime`, as far as templates use it.
fn today(format: String) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = since.map_or(0, |since| since.as_secs() / 86_400);
    let (year, month, day) = date(i64::try_from(days).unwrap_or(0));
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"");
    format
        .replace("%Y", &year.to_string())
        .replace("%m", &format!("{month:02}"))
        .replace("%d", &format!("{day:02}"))
        .replace("%B", name)
        .replace("%b", name.get(..3).unwrap_or(name))
}

/// The date so many days after the beginning of 1970: years begin in March here, so that a leap day comes last.
fn date(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year_of_era + era * 400 + next;
    (year, usize::try_from(month).unwrap_or(1), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_000), (2024, 10, 4));
    }

    #[test]
    fn a_template_that_is_none_is_refused() {
        assert!(Template::new("{% for %}", "", "").is_err());
        assert!(!Template::new("{{ messages }}", "", "").unwrap().knows_tools);
        let tools = Template::new("{% if tools %}{{ tools | tojson }}{% endif %}", "", "");
        assert!(tools.unwrap().knows_tools);
    }

    #[test]
    fn messages_become_plain() {
        let message = serde_json::json!({
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "tool_calls": [{"function": {"name": "f", "arguments": "{\"x\":1}"}}],
        });
        let plain = plain(&message).unwrap();
        assert_eq!(plain["content"], "ab");
        assert_eq!(plain["tool_calls"][0]["function"]["arguments"]["x"], 1);
    }
}
