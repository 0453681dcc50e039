//! Names that mean the same: dated versions at the price of the undated one, and regions.

use super::Facts;
use serde::Serialize;
use std::collections::BTreeMap;

/// A model under its name and its other names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Priced {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(flatten)]
    facts: Facts,
}

/// Makes other names out of entries that say nothing new.
pub(super) fn fold(mut models: BTreeMap<String, Facts>) -> BTreeMap<String, Priced> {
    lend_windows(&mut models);
    let mut folded: BTreeMap<String, Priced> = BTreeMap::new();
    let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, facts) in &models {
        let base = base(id).filter(|base| models.get(*base) == Some(facts));
        match base {
            Some(base) => aliases.entry(base.to_owned()).or_default().push(id.clone()),
            None => {
                let facts = facts.clone();
                let aliases = Vec::new();
                folded.insert(id.clone(), Priced { aliases, facts });
            }
        }
    }
    for (id, names) in aliases {
        if let Some(model) = folded.get_mut(&id) {
            model.aliases = names;
        }
    }
    folded
}

/// The source leaves out the windows of some regional models; they are those of the model.
fn lend_windows(models: &mut BTreeMap<String, Facts>) {
    let known = models.clone();
    for (id, facts) in models.iter_mut() {
        let Some((_, plain)) = id.split_once('/') else {
            continue;
        };
        let Some(model) = known.get(plain) else {
            continue;
        };
        facts.context_window = facts.context_window.or(model.context_window);
        facts.output_tokens_max = facts.output_tokens_max.or(model.output_tokens_max);
    }
}

/// What a name is without `-latest` or a date at its end.
fn base(id: &str) -> Option<&str> {
    let dated = |length: usize, is_date: fn(&str) -> bool| {
        let at = id.len().checked_sub(length)?;
        let (base, date) = (id.get(..at)?, id.get(at..)?);
        is_date(date.strip_prefix('-')?).then_some(base)
    };
    id.strip_suffix("-latest")
        .or_else(|| dated(11, is_date))
        .or_else(|| dated(9, |text| text.starts_with("20") && is_digits(text)))
}

/// Whether a text looks like `2026-10-21`.
pub(super) fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([4, 2, 2]) && parts.iter().all(|part| is_digits(part))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
