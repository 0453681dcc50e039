//! What becomes of fields that only one dialect knows when the request goes out in another.
//!
//! A field that would change the answer is refused by its name. A field that steers storage, billing, caching,
//! style or what is forgotten of a long conversation is left out and named. A field that nobody here knows is
//! left out and named as well: clients gain such fields with every release, and refusing them would stop every
//! older gateway.

use crate::{Dialect, Extra, Opaque, Request, Unsupported};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

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

/// Fields that OpenAI's two dialects have alike.
const SHARED: [&str; 5] = [
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
];

/// The fields that are sent in `target`'s words, and the names of those that are left out. `shares` says
/// whether the server knows what OpenAI's two dialects have alike.
///
/// # Errors
/// A field that is left out decides what is answered.
pub(crate) fn fields_for(
    extra: Option<&Extra>,
    target: Dialect,
    shares: bool,
) -> Result<(Option<Cow<'_, Extra>>, Vec<String>), Unsupported> {
    let Some(extra) = extra else {
        return Ok((None, Vec::new()));
    };
    if extra.dialect == target {
        return Ok((Some(Cow::Borrowed(extra)), Vec::new()));
    }
    if !shares || !is_openais(extra.dialect) || !is_openais(target) {
        return Ok((None, foreign_fields(Some(extra), target)?));
    }
    let mut rest = extra.clone();
    let sent = shared_fields(&mut rest.fields, target);
    let dropped = foreign_fields(Some(&rest), target)?;
    let sent = (!sent.is_empty()).then_some(Extra {
        dialect: target,
        fields: sent,
    });
    Ok((sent.map(Cow::Owned), dropped))
}

const fn is_openais(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses)
}

/// Takes the fields out that `target`, the other one of OpenAI's dialects, has too.
fn shared_fields(fields: &mut Map<String, Value>, target: Dialect) -> Map<String, Value> {
    let mut sent = Map::new();
    let is_stored = fields.get("store") == Some(&Value::Bool(true));
    for name in SHARED {
        sent.extend(fields.shift_remove_entry(name));
    }
    if target == Dialect::OpenAiResponses {
        sent.extend(fields.shift_remove_entry("metadata"));
        if let Some(verbosity) = fields.shift_remove("verbosity") {
            sent.insert("text".to_owned(), json!({ "verbosity": verbosity }));
        }
        return sent;
    }
    // Chat Completions take it only for what is kept.
    if is_stored {
        sent.extend(fields.shift_remove_entry("metadata"));
    }
    if let Some(Value::Object(text)) = fields.get_mut("text") {
        sent.extend(text.shift_remove_entry("verbosity"));
        if text.is_empty() {
            fields.shift_remove("text");
        }
    }
    sent
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
        let has_format = name == "text" && value.get("format").is_some();
        let param = if has_format { "text.format" } else { name };
        if DECISIVE.contains(&param) {
            return Err(Unsupported {
                param: param.to_owned(),
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

/// What is said of another dialect's piece: the text where it is one that says more beside it, such as where
/// it was found; nothing for fields that stand beside what is said (they have no `type`), and add nothing to
/// it. What is left out is named in `dropped`.
///
/// # Errors
/// It belongs to what is said; `param` names it.
pub(crate) fn foreign_part<'a>(
    opaque: &'a Opaque,
    param: &str,
    dropped: &mut Vec<String>,
) -> Result<Option<&'a str>, Unsupported> {
    let fields = opaque.value.as_object();
    let kind = opaque.value.get("type");
    let text = opaque.value.get("text").and_then(Value::as_str);
    let text = text.filter(|_| kind.is_some_and(|kind| kind == "text"));
    match fields.filter(|_| kind.is_none() || text.is_some()) {
        Some(fields) => {
            let said = ["type", "text", "cache_control"];
            for name in fields.keys().filter(|name| !said.contains(&name.as_str())) {
                drop_once(dropped, name);
            }
            Ok(text)
        }
        None => Err(refused(opaque, param)),
    }
}

fn refused(opaque: &Opaque, place: &str) -> Unsupported {
    if let Some(field) = decisive_field(opaque) {
        return Unsupported {
            param: format!("{place}.{field}"),
            message: "the model's provider has nothing like it".to_owned(),
        };
    }
    let kind = opaque.value.get("type").and_then(Value::as_str);
    Unsupported {
        param: place.to_owned(),
        message: format!(
            "the model's provider does not know `{}`",
            kind.unwrap_or("it")
        ),
    }
}

/// The field for which a piece of a common kind cannot be said.
fn decisive_field(opaque: &Opaque) -> Option<&'static str> {
    let fields = match (opaque.dialect, opaque.value.get("type")?.as_str()?) {
        (Dialect::Anthropic, "document") => ["context", "citations"].as_slice(),
        (Dialect::Anthropic, "tool_use") => &["caller"],
        (Dialect::OpenAiResponses, "function_call") => &["namespace", "caller"],
        _ => &[],
    };
    let is_told = |name: &&&str| {
        opaque
            .value
            .get(**name)
            .is_some_and(|value| !value.is_null())
    };
    fields.iter().find(is_told).copied()
}

/// Names what is left out, once however often it stands there.
pub(crate) fn drop_once(dropped: &mut Vec<String>, name: &str) {
    if !dropped.iter().any(|other| other == name) {
        dropped.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_openais_two_dialects_have_alike_is_said_in_the_others_words() {
        let told = json!({
            "store": true, "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k",
            "safety_identifier": "s", "text": {"verbosity": "low"}, "truncation": "auto",
        });
        let responses = extra(told);
        let (sent, dropped) = fields_for(Some(&responses), Dialect::OpenAiChat, true).unwrap();
        let sent = sent.unwrap().into_owned();
        let chat = json!({
            "store": true, "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k",
            "safety_identifier": "s", "verbosity": "low",
        });
        assert_eq!(Value::Object(sent.fields.clone()), chat);
        assert_eq!(dropped, ["truncation"]);
        let (back, dropped) = fields_for(Some(&sent), Dialect::OpenAiResponses, true).unwrap();
        let back = back.unwrap().into_owned();
        assert!(dropped.is_empty());
        assert_eq!(back.fields["text"], json!({"verbosity": "low"}));
        let (sent, dropped) = fields_for(Some(&back), Dialect::OpenAiChat, false).unwrap();
        assert_eq!((sent, dropped.len()), (None, 6));
        let unkept = extra(json!({"metadata": {"a": "b"}}));
        let (sent, dropped) = fields_for(Some(&unkept), Dialect::OpenAiChat, true).unwrap();
        assert_eq!((sent, dropped), (None, vec!["metadata".to_owned()]));
        let grammar = extra(json!({"text": {"format": {"type": "grammar"}, "verbosity": "low"}}));
        let refused = fields_for(Some(&grammar), Dialect::OpenAiChat, true).unwrap_err();
        assert_eq!(refused.param, "text.format");
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

    #[test]
    fn of_a_foreign_piece_the_text_is_kept_and_the_rest_is_named() {
        let read = |value| {
            let opaque = Opaque {
                dialect: Dialect::Anthropic,
                value,
            };
            let mut dropped = Vec::new();
            let text = foreign_part(&opaque, "messages[0]", &mut dropped);
            (text.map(|text| text.map(str::to_owned)), dropped)
        };
        let cited =
            json!({"type": "text", "text": "So.", "citations": [{"type": "page_location"}]});
        assert_eq!(
            read(cited),
            (Ok(Some("So.".to_owned())), vec!["citations".to_owned()])
        );
        let aside = json!({"annotations": [{"type": "url_citation"}]});
        assert_eq!(read(aside), (Ok(None), vec!["annotations".to_owned()]));
        let named = json!({"type": "document", "source": {}, "citations": {"enabled": true}});
        let refused = read(named).0.unwrap_err();
        assert_eq!(refused.param, "messages[0].citations");
        assert!(!refused.message.contains("document"), "{}", refused.message);
        for decisive in [json!({"type": "search_result", "text": "x"}), json!("x")] {
            assert_eq!(read(decisive).0.unwrap_err().param, "messages[0]");
        }
    }
}
