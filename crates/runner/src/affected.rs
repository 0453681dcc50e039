//! Which tasks a change affects: those whose own ingredients differ between two states of a workspace, and
//! all that need one of them.
//!
//! What tasks make themselves is left out of the comparison, since one of the states was never built: whether
//! a task is affected by another follows from their order.

use crate::keys::{Sets, Stamps, ingredients};
use crate::run::Runner;
use mainstay_tasks::{Change, Ingredients, PatternSet, TaskId};
use serde::Serialize;
use std::collections::HashMap;

/// A task that is affected, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The task.
    pub task: TaskId,
    /// Why.
    #[serde(flatten)]
    pub because: Because,
}

/// Why a task is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Because {
    /// It was not there before.
    New,
    /// Its own ingredients differ.
    Changed {
        /// In this.
        changes: Vec<Change>,
    },
    /// In one of the states its ingredients cannot be told.
    Unknown,
    /// Something that it needs is affected.
    Upstream {
        /// What.
        of: TaskId,
    },
}

/// The tasks of `now` that what happened since `before` affects, in order.
#[must_use]
pub fn affected(now: &Runner<'_>, before: &Runner<'_>) -> Vec<Affected> {
    let graph = &now.workspace.graph;
    let mut found: HashMap<u32, Affected> = HashMap::new();
    for &number in graph.order() {
        let because = own_reason(now, before, number).or_else(|| {
            let mut needed = graph.after(number).iter();
            let upstream = needed.find(|needed| found.contains_key(needed))?;
            let of = graph.id(*upstream).clone();
            Some(Because::Upstream { of })
        });
        if let Some(because) = because {
            let task = graph.id(number).clone();
            found.insert(number, Affected { task, because });
        }
    }
    let order = graph.order().iter();
    order.filter_map(|number| found.remove(number)).collect()
}

fn own_reason(now: &Runner<'_>, before: &Runner<'_>, number: u32) -> Option<Because> {
    let task = now.task(number);
    let Some(earlier) = before.workspace.graph.find(&task.id) else {
        return Some(Because::New);
    };
    match (known(now, number), known(before, earlier)) {
        (Some(new), Some(old)) => {
            let changes = new.changes_since(&old);
            (!changes.is_empty()).then_some(Because::Changed { changes })
        }
        // What cannot be told before and after alike is no change.
        (None, None) => None,
        _ => Some(Because::Unknown),
    }
}

/// The ingredients of a task without what tasks make.
fn known(runner: &Runner<'_>, number: u32) -> Option<Ingredients> {
    let task = runner.task(number);
    let mut sets = Sets::of(task);
    let makers = runner.workspace.graph.closure(&[number]).into_iter();
    let made: Vec<_> = makers
        .flat_map(|maker| runner.task(maker).outputs.iter())
        .filter(|output| !output.is_exclusion())
        .collect();
    sets.inputs.exclude(made.iter().copied());
    let made = PatternSet::new(made.into_iter().cloned());
    sets.input_names.retain(|name| !made.is_match(&name.0));
    let stamps = &mut Stamps::default();
    ingredients(&runner.files, &runner.environment, task, &sets, stamps).ok()
}
