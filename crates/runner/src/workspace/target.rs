//! Which tasks a word of the command line means.

use super::Workspace;
use mainstay_contract::{Code, Coded};
use mainstay_manifest::near;
use mainstay_tasks::Bytes;
use std::collections::BTreeSet;

/// Why a word means no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is no such task.
    #[error("there is no task `{target}`{}", meant(.near))]
    Unknown {
        /// The word.
        target: String,
        /// What was perhaps meant.
        near: Vec<String>,
    },
}

fn meant(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!(" (did you mean `{}`?)", names.join("` or `")),
    }
}

impl Coded for TargetError {
    fn code(&self) -> Code {
        Code::NotFound
    }
}

/// The tasks that words mean: `project:task`, `:task` in all projects, `task` in the project of the
/// folder `here`, or in the only one that has it.
///
/// # Errors
/// [`TargetError`] for the first word that means none.
pub fn targets(
    workspace: &Workspace,
    here: Option<&Bytes>,
    words: &[String],
) -> Result<Vec<u32>, TargetError> {
    let mut found = BTreeSet::new();
    for word in words {
        let (project, name) = match word.split_once(':') {
            Some(("", name)) => (None, name),
            Some((project, name)) => (Some(project.to_owned()), name),
            None => (Some(nearest(workspace, here, word)), word.as_str()),
        };
        let before = found.len();
        let numbered = (0..).zip(&workspace.tasks);
        let meant = numbered.filter(|(_, task)| {
            task.id.task() == name && project.as_deref().is_none_or(|p| task.id.project() == p)
        });
        found.extend(meant.map(|(number, _)| number));
        let is_known = |task: &super::Task| {
            task.id.task() == name && project.as_deref().is_none_or(|p| task.id.project() == p)
        };
        if found.len() == before && !workspace.tasks.iter().any(is_known) {
            let ids: Vec<String> = workspace.tasks.iter().map(|t| t.id.to_string()).collect();
            let mut close = near(word, ids.iter().map(String::as_str));
            if close.is_empty() {
                let same = workspace.tasks.iter().filter(|task| task.id.task() == name);
                close = same.take(3).map(|task| task.id.to_string()).collect();
            }
            if close.is_empty() {
                let names: BTreeSet<&str> = workspace.tasks.iter().map(|t| t.id.task()).collect();
                close = near(name, names);
            }
            let target = word.clone();
            return Err(TargetError::Unknown {
                target,
                near: close,
            });
        }
    }
    Ok(found.into_iter().collect())
}

/// The project that a bare name is looked for in: the innermost one around `here` that has it, or else
/// the only one of the workspace that has it.
fn nearest(workspace: &Workspace, here: Option<&Bytes>, name: &str) -> String {
    let has = |project: &str| {
        let mut tasks = workspace.tasks.iter();
        tasks.any(|task| task.id.project() == project && task.id.task() == name)
    };
    let here = here.map(|path| path.0.as_slice()).unwrap_or_default();
    let is_around = |folder: &Bytes| {
        folder.0.is_empty()
            || here == folder.0
            || here
                .strip_prefix(folder.0.as_slice())
                .is_some_and(|rest| rest.starts_with(b"/"))
    };
    let mut around: Vec<(&String, &Bytes)> = workspace
        .projects
        .iter()
        .filter(|(_, folder)| is_around(folder))
        .collect();
    around.sort_by_key(|(_, folder)| std::cmp::Reverse(folder.0.len()));
    if let Some((project, _)) = around.iter().find(|(project, _)| has(project)) {
        return (*project).clone();
    }
    let mut having = workspace.projects.keys().filter(|project| has(project));
    match (having.next(), having.next()) {
        (Some(only), None) => only.clone(),
        _ => around
            .first()
            .map(|(project, _)| (*project).clone())
            .unwrap_or_default(),
    }
}
