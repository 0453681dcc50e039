//! What tasks read now, and how often to look.

use super::book::{Sight, Sights};
use crate::keys::{Sets, Stamps, ingredients};
use crate::run::Runner;
use crate::workspace::Task;
use std::time::Duration;

/// The pause between two looks: so long that looking takes one part in this many of the time.
const SHARE: u32 = 50;

const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause after a look that took this long.
pub(super) fn pause_after(took: Duration) -> Duration {
    (took * SHARE).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// What a task reads now. One that stays up and does not say what it reads is taken to look after its files
/// itself, as development servers do.
pub(crate) fn sight(runner: &Runner<'_>, number: u32) -> Sight {
    let task = runner.task(number);
    let stamps = &mut Stamps::default();
    let (files, environment) = (&runner.files, &runner.environment);
    if task.is_persistent && task.inputs.is_none() {
        let task = Task {
            inputs: Some(Vec::new()),
            ..task.clone()
        };
        return ingredients(files, environment, &task, &Sets::of(&task), stamps);
    }
    ingredients(files, environment, task, runner.sets(number), stamps)
}

/// What tasks read now, and all that has to succeed before them.
pub(super) fn sights(runner: &Runner<'_>, targets: &[u32]) -> Sights {
    let graph = &runner.workspace.graph;
    let tasks = graph.closure(targets).into_iter();
    tasks
        .map(|number| (graph.id(number).clone(), sight(runner, number)))
        .collect()
}
