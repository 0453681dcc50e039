//! Which models cost nothing: a budget for one of them would have no effect.

use super::route;
use crate::value::{Item, Object};
use std::collections::BTreeSet;

/// The names of the models that cost nothing, with their pool and those that stand in for them.
pub(super) fn models(root: &Object) -> BTreeSet<&str> {
    let entries = root.map("models").unwrap_or_default().iter();
    let usable = entries.filter_map(|entry| {
        let object = entry.item.as_ref().and_then(Item::object)?;
        Some((entry.name.as_str(), object))
    });
    let (pools, single): (Vec<_>, Vec<_>) = usable.partition(|(_, model)| model.is_written("pool"));
    let own = single.iter().filter(|(_, model)| is_free(model));
    let own: BTreeSet<&str> = own.map(|(name, _)| *name).collect();
    let is_all_free = |(name, model): &&(&str, &Object)| {
        let mut others = route::others(model);
        let is_own = model.is_written("pool") || own.contains(name);
        is_own && others.all(|other| own.contains(other))
    };
    let all = pools.iter().chain(&single).filter(is_all_free);
    all.map(|(name, _)| *name).collect()
}

fn is_free(model: &Object) -> bool {
    match model.object("price") {
        Some(price) => price.boolean("free") == Some(true),
        None if model.is_written("price") => false,
        None => matches!(model.text("provider"), Some("script" | "local")),
    }
}
