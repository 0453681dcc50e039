//! What came of it.

use super::error::{At, ObserveError};
use super::paths;
use crate::sandbox::Failed;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a command did to the files of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Why the command could not be executed, where it could not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spawn_error: Option<SpawnError>,
    /// What it asked for below the root, in order of the paths: as it named them, and where a link leads
    /// elsewhere the link and the place that it leads to as well.
    pub accesses: Vec<Access>,
    /// What it read, listed or executed outside of the root, in order.
    #[serde(with = "paths::list")]
    pub outside: Vec<PathBuf>,
    /// What is there in the workspace and was asked for, but was not declared, and so was not seen.
    #[serde(with = "paths::list")]
    pub hidden: Vec<PathBuf>,
    /// What it asked to write below the root that is no declared output.
    #[serde(with = "paths::list")]
    pub undeclared_writes: Vec<PathBuf>,
    /// How many calls there were whose path could not be read: of programs that their user may not read,
    /// and of programs for another processor.
    pub unseen: u64,
    /// Whether there was more than a report holds.
    pub truncated: bool,
}

/// Why a command could not be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnError {
    /// The number of the error.
    pub errno: i32,
}

/// One path, and all that was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The path: absolute, without `.` and `..`.
    #[serde(with = "paths::one")]
    pub path: PathBuf,
    /// Its content: of a file, or of a link that was followed.
    pub read: bool,
    /// To make, change, move or remove it.
    pub written: bool,
    /// To execute it, or a script that names it as its interpreter.
    pub executed: bool,
    /// Whether it is there, or what it is; and whatever else failed because of that.
    pub looked_for: bool,
    /// The names in a folder.
    pub listed: bool,
    /// Whether it was there when it was first asked for.
    pub existed: bool,
}

impl Observed {
    /// Reads the report of a wrapper that has ended.
    ///
    /// # Errors
    /// [`ObserveError::Setup`] where the command could not be observed and so was not started, any
    /// other where there is no report.
    pub fn read(path: &Path) -> Result<Self, ObserveError> {
        let text = fs::read(path).at(path)?;
        let report: Report = serde_json::from_slice(&text).at(path)?;
        match report {
            Report::Failed { failed } => Err(ObserveError::Setup {
                step: failed.step,
                error: io::Error::from_raw_os_error(failed.errno),
            }),
            Report::Observed(observed) => Ok(observed),
        }
    }
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Report {
    Failed { failed: SetupFailure },
    Observed(Observed),
}

/// What kept the command from being observed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SetupFailure {
    pub(super) step: String,
    pub(super) errno: i32,
}

impl From<Failed> for SetupFailure {
    fn from((step, error): Failed) -> Self {
        Self {
            step: step.to_owned(),
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
        }
    }
}

impl Report {
    /// Puts the file in its place whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        fs::write(&partial, serde_json::to_vec(self)?)?;
        fs::rename(&partial, path)
    }
}
