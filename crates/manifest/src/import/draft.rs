//! What an import comes to, before it is written down.

use std::collections::BTreeSet;

/// A workspace with its projects; the root's is first.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Where projects are: paths and patterns, `.` for the root.
    pub(super) projects: Vec<String>,
    /// How many tasks may run at once.
    pub(super) jobs: Option<u64>,
    pub(super) members: Vec<Project>,
}

/// A project: a folder with tasks.
#[derive(Debug, Default)]
pub(super) struct Project {
    /// From the root; empty for the root itself.
    pub(super) folder: String,
    pub(super) name: String,
    pub(super) depends_on: Vec<String>,
    pub(super) tasks: Vec<Task>,
}

/// A task.
#[derive(Debug, Default)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) run: Run,
    /// `None`: whatever a task without `inputs` has.
    pub(super) inputs: Option<Vec<String>>,
    pub(super) outputs: Vec<String>,
    pub(super) env: BTreeSet<String>,
    pub(super) pass_env: BTreeSet<String>,
    pub(super) after: Vec<String>,
    pub(super) is_uncached: bool,
    pub(super) is_persistent: bool,
}

/// What a task runs.
#[derive(Debug, Default)]
pub(super) enum Run {
    /// Nothing: it stands for what it waits for.
    #[default]
    Nothing,
    /// A program and its arguments.
    Command(Vec<String>),
    /// A text for `sh`.
    Shell(String),
}

/// Variables that programs need to find their way about: let through, and in no key.
pub(super) const ALWAYS_PASSED: [&str; 3] = ["CI", "HOME", "PATH"];

/// [`ALWAYS_PASSED`], as a task has them.
pub(super) fn always_passed() -> BTreeSet<String> {
    ALWAYS_PASSED.iter().map(|&name| name.to_owned()).collect()
}

/// Adds all that are not there yet, in order.
pub(super) fn extend_new(list: &mut Vec<String>, items: impl IntoIterator<Item = String>) {
    let mut known: BTreeSet<String> = list.iter().cloned().collect();
    list.extend(items.into_iter().filter(|item| known.insert(item.clone())));
}

/// Adds what is not there yet, in order.
pub(super) fn push_new(list: &mut Vec<String>, item: impl Into<String>) {
    let item = item.into();
    if !list.contains(&item) {
        list.push(item);
    }
}
