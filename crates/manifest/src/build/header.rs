//! Headers that go with every request to a model.

use super::Names;
use crate::HeaderValue;
use crate::finding::{Findings, Place, Problem};
use crate::format::HEADER;
use crate::refusal::Refusal;
use crate::value::{Entry, Item, Object, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Headers that describe the body, and the answer that we understand.
const OURS: [&str; 3] = ["accept", "accept-encoding", "content-type"];

pub(super) fn headers(
    model: &Object,
    names: &Names<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, HeaderValue> {
    let mut headers = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for Entry { name, item } in model.map("headers").unwrap_or_default() {
        let Some(item) = item else {
            continue;
        };
        let lower = name.to_ascii_lowercase();
        is_usable(name, &lower, &item.place, findings);
        if model.is_written("api_key") && key_header(model) == Some(lower.as_str()) {
            let message = "`api_key` fills this header already";
            let finding = item.place.finding(Problem::Repeated, message);
            findings.add(finding.hint("leave one of them out"));
        }
        if !seen.insert(lower) {
            let message = "the same header stands here already, in other letters";
            findings.add(item.place.finding(Problem::Repeated, message));
        }
        if let Some(value) = value(item, names, findings) {
            headers.insert(name.clone(), value);
        }
    }
    headers
}

fn is_usable(name: &str, lower: &str, place: &Place, findings: &mut Findings) {
    let hint = match (HEADER.read)(name) {
        Err(Refusal(hint)) => hint,
        Ok(_) if OURS.contains(&lower) => Some("the node sets this header itself".to_owned()),
        Ok(_) => return,
    };
    let expected = HEADER.expected.to_owned();
    let message = format!("expected {expected}, found another text");
    let mut finding = place.finding(Problem::Value { expected }, message);
    finding.hint = hint;
    findings.add(finding);
}

/// The header that the provider looks for its key in.
fn key_header(model: &Object) -> Option<&'static str> {
    match model.text("provider")? {
        "anthropic" => Some("x-api-key"),
        "gemini" => Some("x-goog-api-key"),
        "azure_openai" => Some("api-key"),
        _ => Some("authorization"),
    }
}

fn value(item: &Item, names: &Names<'_>, findings: &mut Findings) -> Option<HeaderValue> {
    match &item.value {
        Value::Text(text) => Some(HeaderValue::Text(text.clone())),
        Value::Object(object) => names.secret(object, findings).map(HeaderValue::Secret),
        _ => None,
    }
}
