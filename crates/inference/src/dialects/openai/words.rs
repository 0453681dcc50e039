//! Words that both dialects use for the same things.

use super::{Object, Path, boolean, object, optional_text, string, text_of};
use crate::{Effort, InvalidRequest, OutputFormat, Reasoning, Unsupported};
use serde::Serialize;
use serde_json::Value;

/// The most characters of a user's id that OpenAI takes. Servers that follow it take more, or do not count.
pub(crate) const USER_LENGTH_MAX: usize = 64;

/// Reads an effort.
///
/// # Errors
/// It is none that is known.
pub(crate) fn effort(value: Value, at: &Path<'_>) -> Result<Effort, InvalidRequest> {
    let word = string(value, at)?;
    Ok(match word.as_str() {
        "none" => Effort::None,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" => Effort::ExtraHigh,
        "max" => Effort::Max,
        _ => {
            return Err(
                at.wrong("must be `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`")
            );
        }
    })
}

/// The word for an effort.
const fn effort_name(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "none",
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::ExtraHigh => "xhigh",
        Effort::Max => "max",
    }
}

/// The effort that is asked for, in words: a budget alone becomes the nearest effort.
pub(crate) fn effort_asked(reasoning: &Reasoning) -> Option<&'static str> {
    let of_budget = |tokens| match tokens {
        0 => Effort::None,
        1..=2_048 => Effort::Low,
        2_049..=8_192 => Effort::Medium,
        _ => Effort::High,
    };
    let effort = reasoning.effort.or(reasoning.budget_tokens.map(of_budget));
    effort.map(effort_name)
}

/// Reads `{"type": "json_schema", …}`; `inner` is where the schema's own fields stand: below
/// `json_schema`, or beside `type`. Absent for a type that only the caller's dialect knows.
///
/// # Errors
/// A field is missing or of another type.
pub(crate) fn format(
    fields: &mut Object,
    inner: Option<&str>,
    at: &Path<'_>,
) -> Result<Option<OutputFormat>, InvalidRequest> {
    let kind = fields.get("type").and_then(Value::as_str);
    match kind {
        Some("text") => return Ok(Some(OutputFormat::Text)),
        Some("json_object") => return Ok(Some(OutputFormat::JsonObject)),
        Some("json_schema") => {}
        Some(_) => return Ok(None),
        None => return Err(at.key("type").wrong("must be a string")),
    }
    let Some(inner) = inner else {
        return of_schema(fields, at).map(Some);
    };
    let at = at.key(inner);
    let Some(value) = fields.get_mut(inner).map(Value::take) else {
        return Err(at.wrong("is missing"));
    };
    of_schema(&mut object(value, &at)?, &at).map(Some)
}

fn of_schema(fields: &mut Object, at: &Path<'_>) -> Result<OutputFormat, InvalidRequest> {
    let name = text_of(fields, "name", at)?;
    let mut description = None;
    let mut schema = Value::Object(Object::new());
    let mut strict = None;
    for (key, value) in fields.iter_mut().filter(|(_, value)| !value.is_null()) {
        let at = at.key(key);
        match key.as_str() {
            "description" => description = optional_text(value.take(), &at)?,
            "schema" => schema = object(value.take(), &at)?.into(),
            "strict" => strict = Some(boolean(value, &at)?),
            _ => {}
        }
    }
    Ok(OutputFormat::JsonSchema {
        name,
        description,
        schema,
        strict,
    })
}

/// A schema's own fields, as both dialects write them.
#[derive(Debug, Serialize)]
pub(crate) struct FormatFields<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// A format's type, and the fields of its schema.
pub(crate) fn format_fields(format: &OutputFormat) -> (&'static str, Option<FormatFields<'_>>) {
    match format {
        OutputFormat::Text => ("text", None),
        OutputFormat::JsonObject => ("json_object", None),
        OutputFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => (
            "json_schema",
            Some(FormatFields {
                name,
                description: description.as_deref(),
                schema,
                strict: *strict,
            }),
        ),
    }
}

/// A refusal of what a wire has no words for.
pub(crate) fn not_sayable(param: impl Into<String>, message: impl Into<String>) -> Unsupported {
    Unsupported {
        param: param.into(),
        message: message.into(),
    }
}

/// A mark for the prompt cache: how long, empty for the provider's default.
pub(crate) fn cache_mark(fields: &mut Object) -> Option<String> {
    let mark = fields
        .get("cache_control")
        .or_else(|| fields.get("prompt_cache_breakpoint"))?;
    let time = mark.as_object()?.get("ttl").and_then(Value::as_str);
    Some(time.unwrap_or_default().to_owned())
}
