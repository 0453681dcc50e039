//! From the set-up of another task runner to `mainstay.yaml`.
//!
//! What it means is carried over where it can be said; every item that cannot be is named in a note,
//! with its file and line. Where the choice is between a task that is cached too rarely and one that is
//! cached wrongly, it is the former: the key of a task holds contents of inputs only, so what a task
//! reads of others' outputs becomes its inputs too.
//!
//! Nothing is read or run here. The caller lists the workspace's files, reads those that
//! [`Runner::reads`] asks for, and writes what [`import`] answers.

mod draft;
mod glob;
mod json;
mod make;
mod name;
mod notes;
mod npm;
mod packages;
mod turbo;
mod write;

pub use notes::ImportNote;

use notes::Notes;
use std::collections::{BTreeMap, BTreeSet};

/// A task runner whose set-up can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// Turborepo, `turbo.json` of both versions.
    Turbo,
    /// GNU make.
    Make,
    /// The scripts of `package.json`, whichever package manager runs them.
    Npm,
}

/// A workspace as the caller found it. Paths are relative to its root, with `/` between folders.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// What the workspace is called where its files do not say: the name of its folder.
    pub name: String,
    /// Every file that version control does not ignore.
    pub files: BTreeSet<String>,
    /// The texts of those that [`Runner::reads`] asks for.
    pub texts: BTreeMap<String, String>,
}

/// A set-up, carried over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The manifests, by path: the root's first.
    pub files: Vec<(String, String)>,
    /// What could not be carried over or means something slightly different, by place.
    pub notes: Vec<ImportNote>,
}

/// Why nothing could be carried over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file that everything starts from is not there.
    #[error("there is no {file}")]
    Missing {
        /// The file, or the names that it may have.
        file: &'static str,
    },
    /// A file cannot be read as what it claims to be.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line of the mistake.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// Expanding the variables of a makefile does not come to an end within reason.
    #[error("{file}: its variables expand to more than {bytes_max} bytes")]
    TooLarge {
        /// The file.
        file: String,
        /// The most that is expanded.
        bytes_max: usize,
    },
}

impl Runner {
    /// Whether the text of a file is needed.
    #[must_use]
    pub fn reads(self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        if path.split('/').any(|part| part == "node_modules") {
            return false;
        }
        match self {
            Self::Turbo => turbo::FILES.contains(&name) || packages::FILES.contains(&name),
            Self::Make => make::FILES.contains(&name) || name.ends_with(".mk"),
            Self::Npm => packages::FILES.contains(&name),
        }
    }
}

/// Carries the set-up of a task runner over.
///
/// # Errors
/// Where the file that everything starts from is missing or cannot be understood at all.
pub fn import(runner: Runner, workspace: &Workspace) -> Result<Imported, ImportError> {
    let mut notes = Notes::default();
    let draft = match runner {
        Runner::Turbo => turbo::draft(workspace, &mut notes)?,
        Runner::Make => make::draft(workspace, &mut notes)?,
        Runner::Npm => npm::draft(workspace, &mut notes)?,
    };
    Ok(Imported {
        files: write::files(&draft),
        notes: notes.finish(),
    })
}
