//! What tasks read now, where that is, and how often to look.

use super::book::{Sight, Sights};
use crate::keys::{Sets, Stamps, ingredients};
use crate::run::Runner;
use crate::workspace::Task;
use mainstay_tasks::Bytes;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// Looking takes one part in this many of the time.
const SHARE: u32 = 50;
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Where a bell rings for most changes.
const SHARE_WITH_BELL: u32 = 500;
const PAUSE_WITH_BELL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// The pause after a look that took this long.
pub(super) fn pause_after(took: Duration, has_bell: bool) -> Duration {
    let (share, (least, most)) = match has_bell {
        true => (SHARE_WITH_BELL, PAUSE_WITH_BELL),
        false => (SHARE, PAUSE),
    };
    (took * share).clamp(least, most)
}

/// Whether a task stays up and does not say what it reads: then it is taken to look after its files itself, as
/// development servers do.
fn looks_itself(task: &Task) -> bool {
    task.is_persistent && task.inputs.is_none()
}

/// What a task reads now.
pub(crate) fn sight(runner: &Runner<'_>, number: u32) -> Sight {
    let task = runner.task(number);
    let stamps = &mut Stamps::default();
    let (files, environment) = (&runner.files, &runner.environment);
    if looks_itself(task) {
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

/// The folders in which something can happen that tasks would read: those that their patterns go through, and
/// those of their files.
pub(super) fn folders(runner: &Runner<'_>, targets: &[u32], sights: &Sights) -> HashSet<PathBuf> {
    let mut found: HashSet<&[u8]> = HashSet::from([b"".as_slice()]);
    let inputs = sights
        .values()
        .flatten()
        .flat_map(|sight| sight.inputs.keys());
    for path in inputs {
        found.extend(ancestors(&path.0));
    }
    let files = &runner.files;
    let mut walked: Vec<Bytes> = Vec::new();
    for number in runner.workspace.graph.closure(targets) {
        if looks_itself(runner.task(number)) {
            continue;
        }
        let sets = runner.sets(number);
        let walk = files.walk(&sets.inputs).folders_only();
        let walk = match sets.is_default {
            true => walk.ignoring(files.path()),
            false => walk,
        };
        // What cannot be listed has its place in the sights.
        let folders = walk.run(files.root().as_fd()).unwrap_or_default();
        walked.extend(folders.into_iter().map(|folder| folder.path));
    }
    for path in &walked {
        found.insert(&path.0);
        found.extend(ancestors(&path.0));
    }
    let found = found.into_iter();
    found
        .map(|path| files.path().join(OsStr::from_bytes(path)))
        .collect()
}

/// The folders above a path, but for the root.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.map(|(end, _)| &path[..end])
}
