//! What is asked of the wrapper.

use super::error::{At, ObserveError};
use super::paths;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a command is observed. All paths are absolute, without `.`, `..` and doubled slashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveSpec {
    /// What is done.
    pub mode: Mode,
    /// Where the report goes, outside of what the command writes.
    #[serde(with = "paths::one")]
    pub report: PathBuf,
    /// The workspace; its own real path.
    #[serde(with = "paths::one")]
    pub root: PathBuf,
    /// An empty folder on the file system of the root, made for this one run, where what the command
    /// writes below the root is found afterwards. Needed to enforce, not used otherwise.
    #[serde(with = "paths::maybe", default)]
    pub stage: Option<PathBuf>,
    /// What the command may see below the root: files, links and folders, each named by itself. A
    /// folder stands for itself alone; the folders above an input are there without being named.
    #[serde(with = "paths::list", default)]
    pub inputs: Vec<PathBuf>,
    /// What the command may write below the root; a folder stands for all that is below it.
    #[serde(with = "paths::list", default)]
    pub outputs: Vec<PathBuf>,
}

/// What is done with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It runs as it is, and what it asks for is reported.
    Trace,
    /// It also sees of the workspace the inputs only, and writes to the stage.
    Enforce,
}

impl ObserveSpec {
    /// Reads a specification.
    ///
    /// # Errors
    /// Where it cannot be read, or asks for what cannot be.
    pub fn read(path: &Path) -> Result<Self, ObserveError> {
        let text = fs::read(path).at(path)?;
        let spec: Self = serde_json::from_slice(&text).at(path)?;
        if fs::canonicalize(&spec.root).at(&spec.root)? != spec.root {
            return Err(ObserveError::Root { path: spec.root });
        }
        match (spec.mode, &spec.stage) {
            (Mode::Enforce, None) => Err(ObserveError::NoStage),
            _ => Ok(spec),
        }
    }

    /// Writes a specification for the wrapper.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ObserveError> {
        let text = serde_json::to_vec(self).at(path)?;
        fs::write(path, text).at(path)
    }

    /// The wrapper for a command, to which the program and its arguments are to be added. `exe` is a
    /// program that calls [`super::observe_main`], and `spec` a file that [`Self::write`] wrote.
    #[must_use]
    pub fn wrap(exe: &Path, spec: &Path) -> Command {
        let mut command = Command::new(exe);
        command.arg("__observe").arg(spec).arg("--");
        command
    }

    /// Whether the command may write there.
    pub(super) fn is_output(&self, path: &Path) -> bool {
        self.outputs.iter().any(|output| path.starts_with(output))
    }

    /// Whether outputs are below it, so that the command may have to make it as a folder.
    pub(super) fn holds_outputs(&self, path: &Path) -> bool {
        self.outputs.iter().any(|output| output.starts_with(path))
    }

    /// The stage, in the mode that has one.
    pub(super) fn enforced_stage(&self) -> Option<&Path> {
        match self.mode {
            Mode::Trace => None,
            Mode::Enforce => self.stage.as_deref(),
        }
    }
}
