//! Maps with known keys.

use super::Decoder;
use crate::finding::{Place, Position, Problem, shorten};
use crate::near::near;
use crate::shape::{Case, Field, Kind, Need, Shape, When};
use crate::value::{Item, Object, Value, default};
use crate::yaml::{Content, Key, Node};

impl Decoder<'_> {
    pub(super) fn shape(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        place: &Place,
        owner: Position,
    ) -> Option<Item> {
        let Content::Map(nodes) = &node.content else {
            let keys: Vec<String> = shape
                .fields
                .iter()
                .map(|field| format!("`{}`", field.key))
                .collect();
            let expected = if keys.len() > 4 {
                "a map".to_owned()
            } else {
                format!("a map with {}", keys.join(", "))
            };
            // A value in place of a reference may be the secret itself.
            let is_secret = shape.field("secret").is_some();
            self.mistyped_secret(node, place, &expected, None, is_secret);
            return None;
        };
        let mut object = Object::default();
        for (key, node) in nodes {
            self.field(key, node, shape, place, &mut object);
        }
        let owner = place.at(owner);
        for field in shape.fields {
            if !object.is_written(field.key) {
                self.absent(field, &owner, &mut object);
            }
        }
        for case in shape.cases {
            self.case(case, &owner, &object);
        }
        Some(Item {
            place: place.clone(),
            value: Value::Object(object),
        })
    }

    fn field(
        &mut self,
        key: &Key,
        node: &Node,
        shape: &'static Shape,
        place: &Place,
        object: &mut Object,
    ) {
        let key_place = place.key(&key.text, key.at);
        let Some(field) = shape.field(&key.text) else {
            if self.findings.is_full() {
                return self.findings.count();
            }
            let near = near(&key.text, shape.fields.iter().map(|field| field.key));
            let meant = near.first().and_then(|key| shape.field(key));
            object.meant.extend(meant.map(|field| field.key));
            let problem = Problem::UnknownKey {
                key: shorten(&key.text),
            };
            let mut finding = key_place.finding(problem, "unknown key").near(near);
            if key.text == "<<" {
                finding.hint =
                    Some("YAML merge keys are not supported; write the keys out".to_owned());
            } else if finding.near.is_empty() {
                let known = shape
                    .fields
                    .iter()
                    .filter(|field| !matches!(field.kind, Kind::Later));
                let known: Vec<String> = known.map(|field| format!("`{}`", field.key)).collect();
                finding.hint = Some(format!("known here: {}", known.join(", ")));
            }
            return self.findings.add(finding);
        };
        object.written.insert(field.key, key.at);
        if matches!(field.kind, Kind::Later) {
            return self.later(&key_place, field.key);
        }
        if let Some(item) = self.value(node, &field.kind, &key_place.at(node.at), key.at) {
            object.fields.insert(field.key, item);
        }
    }

    fn absent(&mut self, field: &'static Field, owner: &Place, object: &mut Object) {
        match field.need {
            Need::Optional => {}
            Need::Required if object.meant.contains(field.key) => {}
            Need::Required => self.missing(field.key, owner, ""),
            Need::Default(json) => {
                let place = owner.key(field.key, owner.at);
                if let Some(value) = default(&field.kind, json, &place) {
                    object.fields.insert(field.key, Item { place, value });
                }
            }
        }
    }

    fn missing(&mut self, key: &'static str, owner: &Place, why: &str) {
        if self.findings.is_cut() {
            return;
        }
        let message = format!("the key `{key}` is missing{why}");
        self.findings
            .add(owner.finding(Problem::MissingKey { key }, message));
    }

    fn case(&mut self, case: &'static Case, owner: &Place, object: &Object) {
        let Some((needs, refuses)) = applies(&case.when, object) else {
            return;
        };
        for &key in case.required {
            if !object.is_written(key) && !object.meant.contains(key) {
                self.missing(key, owner, &needs);
            }
        }
        for &key in case.refused {
            if let Some(at) = object.key_at(key) {
                let message = format!("`{key}` means nothing {refuses}");
                let finding = owner.key(key, at).finding(Problem::Conflict, message);
                self.findings.add(finding.hint("leave it out"));
            }
        }
    }
}

/// Where a case applies: why it needs a key, and beside what another means nothing.
fn applies(when: &When, object: &Object) -> Option<(String, String)> {
    match when {
        When::Is {
            key,
            words,
            without,
        } => {
            let word = object.text(key).filter(|word| words.contains(word))?;
            let is_complete = without.is_none_or(|other| !object.is_written(other));
            let needs = format!("; {key} `{word}` needs it");
            is_complete.then(|| (needs, format!("for {key} `{word}`")))
        }
        When::Present(key) => {
            let is_there = object.is_written(key);
            is_there.then(|| (format!("; `{key}` needs it"), format!("beside `{key}`")))
        }
        When::Absent(key) => {
            let is_absent = !object.is_written(key) && !object.meant.contains(key);
            let needs = format!("; it or `{key}` has to be there");
            is_absent.then(|| (needs, format!("without `{key}`")))
        }
    }
}
