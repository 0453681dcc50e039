//! Keys of the gateway.

use super::Names;
use super::limit::{budget, key_limits};
use crate::Key;
use crate::finding::{Findings, Problem};
use crate::value::{Entry, Item, Object};
use mainstay_resilience::Priority;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn keys(
    root: &Object,
    names: &Names<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, Key> {
    let mut keys = BTreeMap::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let sent = sent(root);
    for Entry { name, item } in root.map("keys").unwrap_or_default() {
        let Some(object) = item.as_ref().and_then(Item::object) else {
            continue;
        };
        if let Some((secret, item)) = object.text("secret").zip(object.get("secret")) {
            let other = *owners.entry(secret).or_insert(name);
            if other != name {
                let message = format!("the key `{other}` has this secret already");
                let finding = item.place.finding(Problem::Repeated, message);
                findings.add(finding.hint("give each key a secret of its own"));
            }
            if let Some(model) = sent.get(secret) {
                let message = format!("the model `{model}` sends this secret to its provider");
                let finding = item.place.finding(Problem::Conflict, message);
                findings.add(finding.hint("give the key a secret of its own"));
            }
        }
        if let Some(key) = key(object, names, findings) {
            keys.insert(name.clone(), key);
        }
    }
    keys
}

/// The secrets that models send as their `api_key`, each with the first of them.
fn sent(root: &Object) -> BTreeMap<&str, &str> {
    let mut sent = BTreeMap::new();
    for Entry { name, item } in root.map("models").unwrap_or_default() {
        let model = item.as_ref().and_then(Item::object);
        let secret = model.and_then(|model| model.object("api_key")?.text("secret"));
        if let Some(secret) = secret {
            sent.entry(secret).or_insert(name.as_str());
        }
    }
    sent
}

fn key(object: &Object, names: &Names<'_>, findings: &mut Findings) -> Option<Key> {
    let secret = names.secret(object, findings);
    let mut seen = BTreeSet::new();
    for item in object.list("models").unwrap_or_default() {
        let Some(model) = item.text() else {
            continue;
        };
        names.models.refer(model, &item.place, false, findings);
        if !seen.insert(model) {
            let message = format!("`{model}` stands in the list already");
            findings.add(item.place.finding(Problem::Repeated, message));
        }
    }
    let budget = budget(object, findings);
    Some(Key {
        secret: secret?,
        models: object.texts("models"),
        agents: object.texts("agents"),
        limits: key_limits(object.object("limits"))?,
        budget,
        priority: match object.text("priority")? {
            "high" => Priority::High,
            "low" => Priority::Low,
            _ => Priority::Normal,
        },
    })
}
