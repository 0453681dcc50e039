//! The names of tasks.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A task of a project: `project:task`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId {
    project: String,
    task: String,
}

/// Why a text names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskIdError {
    /// There is no colon, or more than one.
    #[error("`{text}` is not of the form project:task")]
    Form {
        /// What was given.
        text: String,
    },
    /// A part holds something else than letters, digits, `.`, `_` and `-`, or begins with none of the
    /// first two, or is longer than 64 characters.
    #[error(
        "`{part}` is no name: letters, digits, `.`, `_`, `-`, at most 64, a letter or digit first"
    )]
    Name {
        /// The part.
        part: String,
    },
}

const LENGTH_MAX: usize = 64;

impl TaskId {
    /// The task of a project.
    ///
    /// # Errors
    /// [`TaskIdError::Name`].
    pub fn new(project: &str, task: &str) -> Result<Self, TaskIdError> {
        for part in [project, task] {
            let is_first_good = part.starts_with(|c: char| c.is_ascii_alphanumeric());
            let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if !is_first_good || !part.chars().all(is_good) || part.len() > LENGTH_MAX {
                let part = part.to_owned();
                return Err(TaskIdError::Name { part });
            }
        }
        Ok(Self {
            project: project.to_owned(),
            task: task.to_owned(),
        })
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The task's name in its project.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.task
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.task)
    }
}

impl FromStr for TaskId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<Self, TaskIdError> {
        let form = || TaskIdError::Form {
            text: text.to_owned(),
        };
        let (project, task) = text.split_once(':').ok_or_else(form)?;
        if task.contains(':') {
            return Err(form());
        }
        Self::new(project, task)
    }
}

impl TryFrom<String> for TaskId {
    type Error = TaskIdError;

    fn try_from(text: String) -> Result<Self, TaskIdError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        let id: TaskId = "web.app:build-2".parse().unwrap();
        assert_eq!((id.project(), id.task()), ("web.app", "build-2"));
        assert_eq!(id.to_string(), "web.app:build-2");
        for wrong in ["build", "a:b:c", ":b", "a:", "-a:b", "a:b c", "ä:b"] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
        }
    }
}
