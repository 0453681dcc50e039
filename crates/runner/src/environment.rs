//! What a command finds in its environment: what its task declares, and little else.

use crate::files::Files;
use crate::workspace::Task;
use mainstay_manifest::Variable;
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What runs scripts.
pub(crate) const SHELL: &str = "/bin/sh";

/// Where programs are looked for, where a task does not let the caller's `PATH` through.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names the run that a process belongs to, so that it is found again whatever it does.
pub(crate) const MARKER: &str = "MAINSTAY_TASK";

/// The caller's environment; names and values may be any bytes.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Of these variables.
    #[must_use]
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// Of this process.
    #[must_use]
    pub fn here() -> Self {
        Self::of(std::env::vars_os())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The marker of the task whose command this process is part of, if it is.
    pub(crate) fn marker(&self) -> Option<&OsStr> {
        self.get(MARKER)
    }

    /// The variables that a task's result depends on.
    pub(crate) fn declared(&self, task: &Task) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.resolved(&task.env)
    }

    /// All that a command of a task gets.
    pub(crate) fn of_command(&self, task: &Task) -> Vec<(OsString, OsString)> {
        let mut all = BTreeMap::from([(b"PATH".to_vec(), Some(PATH.as_bytes().to_vec()))]);
        all.extend(self.resolved(&task.pass_env));
        all.extend(self.resolved(&task.env));
        let set = all.into_iter().filter_map(|(name, value)| {
            Some((OsString::from_vec(name), OsString::from_vec(value?)))
        });
        set.collect()
    }

    fn resolved(&self, variables: &[Variable]) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let value = |variable: &Variable| match &variable.value {
            Some(value) => Some(value.clone().into_bytes()),
            None => self
                .0
                .get(OsStr::new(&variable.name))
                .map(|value| value.as_bytes().to_vec()),
        };
        let pairs = variables.iter();
        pairs
            .map(|variable| (variable.name.clone().into_bytes(), value(variable)))
            .collect()
    }

    /// Where a program is that a task calls by this name.
    pub(crate) fn program(&self, task: &Task, files: &Files, name: &str) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            let found = files.look_at(path).ok();
            found.is_some_and(|stat| stat.kind == FileType::RegularFile && stat.is_executable())
        };
        let cwd = files.path().join(OsStr::from_bytes(&task.cwd.0));
        if name.contains('/') {
            return Some(cwd.join(name)).filter(is_program);
        }
        let own = self.of_command(task).into_iter();
        let path = own
            .filter(|(name, _)| name == "PATH")
            .map(|(_, value)| value)
            .next()?;
        let folders = std::env::split_paths(&path);
        folders
            .map(|folder| cwd.join(folder).join(name))
            .find(is_program)
    }
}
