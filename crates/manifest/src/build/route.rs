//! Pools and fallbacks.

use super::Names;
use crate::finding::{Findings, Place, Problem};
use crate::value::{Entry, Item, Object, Value};
use crate::{FailureClass, Fallback, PoolMember};
use std::collections::BTreeSet;

/// The members of a pool; `None` where the model is none, or unusable.
pub(super) fn pool(
    model: &Object,
    names: &Names<'_>,
    findings: &mut Findings,
) -> Option<Vec<PoolMember>> {
    let item = model.get("pool")?;
    let members = members(item);
    let mut seen = BTreeSet::new();
    for (name, _, place) in &members {
        if !seen.insert(*name) {
            let message = format!("`{name}` is in the pool already");
            findings.add(place.finding(Problem::Repeated, message));
        }
        single(name, place, names, findings);
    }
    let is_none = !members.is_empty() && members.iter().all(|(_, weight, _)| *weight == 0);
    let is_empty = matches!(&item.value, Value::Map(entries) if entries.is_empty());
    if is_none || is_empty {
        let message = match is_none {
            true => "every weight is 0, and one at least has to be more",
            false => "the pool is empty",
        };
        findings.add(item.place.finding(Problem::Conflict, message));
    }
    let member = |(to, weight, _): (&str, u32, &Place)| PoolMember {
        to: to.to_owned(),
        weight,
    };
    Some(members.into_iter().map(member).collect())
}

fn members(item: &Item) -> Vec<(&str, u32, &Place)> {
    match &item.value {
        Value::List(items) => {
            let items = items.iter();
            let members = items.filter_map(|item| Some((item.text()?, 1, &item.place)));
            members.collect()
        }
        Value::Map(entries) => entries.iter().filter_map(weighted).collect(),
        _ => Vec::new(),
    }
}

fn weighted(Entry { name, item }: &Entry) -> Option<(&str, u32, &Place)> {
    let item = item.as_ref()?;
    match item.value {
        Value::Integer(weight) => Some((name, u32::try_from(weight).ok()?, &item.place)),
        _ => None,
    }
}

/// The models of a pool, and those that stand in for a model.
pub(super) fn others(model: &Object) -> impl Iterator<Item = &str> {
    let members = model.get("pool").map(members).unwrap_or_default();
    let fallbacks = model.list("fallback").unwrap_or_default().iter();
    let fallbacks = fallbacks.filter_map(target).map(|(name, _)| name);
    members.into_iter().map(|(name, ..)| name).chain(fallbacks)
}

/// Checks a reference to a model that must be no pool.
fn single(name: &str, place: &Place, names: &Names<'_>, findings: &mut Findings) {
    names.models.refer(name, place, false, findings);
    let model = names.models.get(name).and_then(Item::object);
    if model.is_some_and(|model| model.is_written("pool")) {
        let message = format!("`{name}` is a pool itself");
        let finding = place.finding(Problem::Conflict, message);
        findings.add(finding.hint("name its members"));
    }
}

pub(super) fn fallback(
    name: &str,
    model: &Object,
    pool: Option<&[PoolMember]>,
    names: &Names<'_>,
    findings: &mut Findings,
) -> Vec<Fallback> {
    let members = pool.unwrap_or_default().iter();
    let members: BTreeSet<&str> = members.map(|member| member.to.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut fallbacks = Vec::new();
    let has_budget = has_budget(model, &members, names);
    for item in model.list("fallback").unwrap_or_default() {
        let Some((to, place)) = target(item) else {
            continue;
        };
        let (problem, message) = if to == name {
            (Problem::Conflict, "a model cannot stand in for itself")
        } else if members.contains(to) {
            (Problem::Repeated, "the pool asks this model anyway")
        } else if !seen.insert(to) {
            (Problem::Repeated, "this model stands in the list already")
        } else {
            single(to, place, names, findings);
            let (to, on) = (to.to_owned(), classes(item, has_budget, findings));
            fallbacks.push(Fallback { to, on });
            continue;
        };
        findings.add(place.finding(problem, message).hint("leave it out"));
    }
    fallbacks
}

/// The name of the model that a fallback names, and where.
fn target(item: &Item) -> Option<(&str, &Place)> {
    let item = match &item.value {
        Value::Object(object) => object.get("to")?,
        _ => item,
    };
    item.text().map(|name| (name, &item.place))
}

/// Whether any budget may refuse a call of a model: its own, one of its pool, or that of whoever calls.
fn has_budget(model: &Object, members: &BTreeSet<&str>, names: &Names<'_>) -> bool {
    let mut members = members
        .iter()
        .filter_map(|name| names.models.get(name)?.object());
    names.has_budgets || model.is_written("budget") || members.any(|it| it.is_written("budget"))
}

fn classes(item: &Item, has_budget: bool, findings: &mut Findings) -> Vec<FailureClass> {
    let Some(on) = item.object().map(|object| object.list("on")) else {
        return FailureClass::USUAL.to_vec();
    };
    let mut classes = Vec::new();
    for item in on.unwrap_or_default() {
        let Some(class) = class(&item.value) else {
            continue;
        };
        if classes.contains(&class) {
            let message = "this stands in the list already";
            let finding = item.place.finding(Problem::Repeated, message);
            findings.add(finding.hint("leave it out"));
            continue;
        }
        if class == FailureClass::Budget && !has_budget {
            let message = "`budget` has no effect: no budget can refuse a call of this model";
            let finding = item.place.finding(Problem::Conflict, message);
            findings.add(finding.hint("give the model a `budget`, or leave the word out"));
        }
        classes.push(class);
    }
    classes
}

fn class(value: &Value) -> Option<FailureClass> {
    let Value::Word(word) = value else {
        return None;
    };
    match *word {
        "limited" => Some(FailureClass::Limited),
        "failed" => Some(FailureClass::Failed),
        "context_length" => Some(FailureClass::ContextLength),
        "content_filtered" => Some(FailureClass::ContentFiltered),
        "access" => Some(FailureClass::Access),
        "budget" => Some(FailureClass::Budget),
        _ => None,
    }
}
