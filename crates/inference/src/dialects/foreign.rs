//! What becomes of fields that only one dialect knows when the request goes out in another.
//!
//! A field that would change the answer is refused by its name. A field that steers storage, billing, caching,
//! style or what is forgotten of a long conversation is left out and named. A field that nobody here knows is
//! left out and named as well: clients gain such fields with every release, and refusing them would stop every
//! older gateway.

use crate::{Dialect, Extra, Opaque, Request, Unsupported};
use serde_json::Value;

/// Fields without which the answer would be another one.
const DECISIVE: [&str; 17] = [
    "audio",
    "background",
    "container",
    "conversation",
    "cached_content",
    "cachedContent",
    "mcp_servers",
    "modalities",
    "moderation",
    "previous_response_id",
    "prompt",
    "response_format",
    "safetySettings",
    "text.format",
    "thread",
    "tool_choice",
    "web_search_options",
];

/// Fields that stand for a conversation which a provider has kept.
const KEPT: [&str; 4] = ["conversation", "previous_response_id", "prompt", "thread"];

/// The field by which a request leaves out a conversation, or a part of it, that a provider is to know.
#[must_use]
pub fn kept_conversation(request: &Request) -> Option<&'static str> {
    let fields = &request.extra.as_ref()?.fields;
    let is_told = |name: &&&str| fields.get(**name).is_some_and(|value| !value.is_null());
    KEPT.iter().find(is_told).copied()
}

/// The names of the fields that are left out because `target` does not know them; none if it does.
///
/// # Errors
/// One of them decides what is answered.
pub(crate) fn foreign_fields(
    extra: Option<&Extra>,
    target: Dialect,
) -> Result<Vec<String>, Unsupported> {
    let Some(extra) = extra.filter(|extra| extra.dialect != target) else {
        return Ok(Vec::new());
    };
    let mut dropped = Vec::new();
    for (name, value) in &extra.fields {
        if says_nothing(name, value) {
            continue;
        }
        if DECISIVE.contains(&name.as_str()) {
            return Err(Unsupported {
                param: name.clone(),
                message: "the model's provider has nothing like it".to_owned(),
            });
        }
        dropped.push(name.clone());
    }
    Ok(dropped)
}

/// Whether a field only repeats what holds without it.
fn says_nothing(name: &str, value: &Value) -> bool {
    match name {
        _ if value.is_null() => true,
        "background" => *value == Value::Bool(false),
        "modalities" => value
            .as_array()
            .is_some_and(|kinds| kinds.iter().all(|kind| kind == "text")),
        "truncation" => value == "disabled",
        _ => false,
    }
}

/// Whether a piece may be left out silently where it stands in a message to another dialect: fields that
/// stand beside what is said (they have no `type`), and add nothing to it.
///
/// # Errors
/// It belongs to what is said; `param` names it.
pub(crate) fn foreign_opaque(opaque: &Opaque, param: &str) -> Result<(), Unsupported> {
    if opaque.value.get("type").is_none() && opaque.value.is_object() {
        return Ok(());
    }
    let kind = opaque.value.get("type").and_then(Value::as_str);
    Err(Unsupported {
        param: param.to_owned(),
        message: format!(
            "the model's provider does not know `{}`",
            kind.unwrap_or("it")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn extra(fields: Value) -> Extra {
        let Value::Object(fields) = fields else {
            panic!("an object is needed")
        };
        Extra {
            dialect: Dialect::OpenAiResponses,
            fields,
        }
    }

    #[test]
    fn what_decides_the_answer_is_refused_and_the_rest_is_named() {
        let harmless = extra(json!({
            "store": true, "metadata": {"a": "b"}, "background": false, "prompt": null,
            "truncation": "disabled", "of_tomorrow": 1, "context_management": {"edits": []},
        }));
        assert_eq!(
            foreign_fields(Some(&harmless), Dialect::OpenAiChat).unwrap(),
            ["store", "metadata", "of_tomorrow", "context_management"]
        );
        assert_eq!(
            foreign_fields(Some(&harmless), Dialect::OpenAiResponses).unwrap(),
            [""; 0]
        );
        for field in [
            "previous_response_id",
            "conversation",
            "prompt",
            "background",
            "thread",
        ] {
            let decisive = extra(json!({ field: "x" }));
            let refused = foreign_fields(Some(&decisive), Dialect::Anthropic).unwrap_err();
            assert_eq!(refused.param, field);
        }
    }

    #[test]
    fn a_conversation_that_a_provider_keeps_is_named() {
        let request = |fields| Request {
            extra: Some(extra(fields)),
            ..Request::default()
        };
        let thread = request(json!({"store": true, "thread": {"type": "create"}}));
        assert_eq!(kept_conversation(&thread), Some("thread"));
        let none = request(json!({"store": true, "previous_response_id": null}));
        assert_eq!(kept_conversation(&none), None);
    }
}
