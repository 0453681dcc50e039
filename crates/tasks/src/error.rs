//! The face's public error type: what can go wrong around a command, apart from the command's own
//! failure, which is an outcome.
//!
//! The variants and their fields are those that users of task runners know by these names; the causes
//! below them are ours, and kept as data.

use crate::{Bytes, TaskId};
use mainstay_contract::{Code, Coded, ErrorReport};
use serde::Serialize;
use std::io;

/// What the operating system said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Os {
    /// The number of the error, where there is one.
    pub errno: Option<i32>,
    /// Its text.
    pub message: String,
}

impl From<io::Error> for Os {
    fn from(error: io::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            message: error.to_string(),
        }
    }
}

/// A stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BuildKeyError {
    /// An input that was declared by its name is not there.
    #[error("the input `{path}` is not there")]
    InputMissing {
        /// Its path.
        path: Bytes,
    },
    /// A folder of the inputs cannot be listed.
    #[error("the folder `{path}` of the inputs cannot be listed: {source}")]
    InputPatternResolutionFailed {
        /// The folder.
        path: Bytes,
        /// Why.
        source: Os,
    },
    /// An input cannot be read.
    #[error("the input `{path}` cannot be read: {source}")]
    InputContentReadFailed {
        /// Its path.
        path: Bytes,
        /// Why.
        source: Os,
    },
    /// An input that was declared by its name is a pipe, a socket or a device.
    #[error("the input `{path}` is neither a file, nor a folder, nor a link")]
    InputNotARegularFile {
        /// Its path.
        path: Bytes,
    },
    /// A declared program cannot be read.
    #[error("the tool `{name}` cannot be read: {source}")]
    ToolReadFailed {
        /// Its name.
        name: String,
        /// Why.
        source: Os,
    },
}

/// Why outputs could not be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RestoreError {
    /// What the cache holds under the key is no result.
    #[error("the cache holds a damaged result")]
    ResultDamaged,
    /// The cache lacks bytes of the result.
    #[error("the cache has lost the content of `{path}`")]
    BlobLost {
        /// The output.
        path: Bytes,
    },
    /// The cache holds other bytes than were put there.
    #[error("the cache holds damaged content for `{path}`")]
    BlobDamaged {
        /// The output.
        path: Bytes,
    },
    /// A folder on the way leads out of the workspace.
    #[error("`{path}` lies behind a link and would leave the workspace")]
    Outside {
        /// The output.
        path: Bytes,
    },
    /// Something that no task made stands where an output belongs.
    #[error("`{path}` is in the way, and no task made it")]
    InTheWay {
        /// What is in the way.
        path: Bytes,
    },
    /// The file system refused.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// The output.
        path: Bytes,
        /// Why.
        source: Os,
    },
}

/// Why a result could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StoreError {
    /// An output cannot be read.
    #[error("the output `{path}` cannot be read: {source}")]
    Output {
        /// The output.
        path: Bytes,
        /// Why.
        source: Os,
    },
    /// The cache cannot be written.
    #[error("the cache cannot be written: {source}")]
    Cache {
        /// Why.
        source: Os,
    },
}

/// What can go wrong around a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunTaskError {
    /// There is no key, so nothing ran.
    #[error("its key cannot be built: {cause}")]
    BuildKeyFailed {
        /// Why.
        cause: BuildKeyError,
    },
    /// Outputs could not be brought back, and running again was no way out.
    #[error("its outputs cannot be restored: {cause}")]
    RestoreFailed {
        /// Why.
        cause: RestoreError,
    },
    /// The command could not be started.
    #[error("`{program}` cannot be started: {cause}")]
    SpawnFailed {
        /// What was called.
        program: Bytes,
        /// Why.
        cause: Os,
    },
    /// Somebody else is where the command would have to show that it is ready.
    #[error("port {port} accepts connections already, before the command is started")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Two runs within tasks wait for each other's workspaces.
    #[error("the run that works in this workspace waits for one that this run is part of")]
    Deadlock,
    /// How the command ended could not be learned.
    #[error("how the command ended cannot be learned: {cause}")]
    WaitFailed {
        /// Why.
        cause: Os,
    },
    /// What the command said could not be read.
    #[error("its {} cannot be read: {cause}", match stream { Stream::Stdout => "standard output", Stream::Stderr => "standard error" })]
    CapturedStreamReadFailed {
        /// Which stream.
        stream: Stream,
        /// Why.
        cause: Os,
    },
    /// The outputs could not be looked up.
    #[error("the outputs below `{root}` cannot be listed: {cause}")]
    OutputPatternResolutionFailed {
        /// The folder where looking began.
        root: Bytes,
        /// Why.
        cause: Os,
    },
    /// The permissions of an output could not be read.
    #[error("the permissions of the output `{path}` cannot be read: {cause}")]
    OutputModeReadFailed {
        /// The output.
        path: Bytes,
        /// Why.
        cause: Os,
    },
    /// A declared output is a pipe, a socket or a device.
    #[error("the output `{path}` is neither a file, nor a folder, nor a link to one")]
    OutputNotARegularFile {
        /// The output.
        path: Bytes,
    },
    /// The command succeeded without making what was declared.
    #[error("the command succeeded, but the output `{path}` is not there")]
    OutputDeclaredButNotProduced {
        /// The output.
        path: Bytes,
    },
    /// The command succeeded, and its result could not be kept.
    #[error("its result was not cached: {cause}")]
    StoreFailed {
        /// Why.
        cause: StoreError,
    },
    /// An output has a name that cannot be kept.
    #[error("the output `{path}` has a name that cannot be kept: {reason}")]
    MaterialisedOutputPathInvalid {
        /// The output.
        path: Bytes,
        /// Why.
        reason: PathReason,
    },
}

/// Why a path cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PathReason {
    /// It lies behind a symbolic link that leads out of the workspace.
    #[error("it lies behind a link that leaves the workspace")]
    Outside,
    /// It is longer than a system call takes.
    #[error("it is longer than 4095 bytes")]
    TooLong,
    /// It is part of Mainstay's or git's own data.
    #[error("it belongs to the data of Mainstay or git")]
    Reserved,
    /// Something stood there before the command, and the task did not make it.
    #[error("something stood there before that the task did not make")]
    Standing,
}

impl Coded for RunTaskError {
    fn code(&self) -> Code {
        match self {
            Self::BuildKeyFailed { .. } => Code::BuildKeyFailed,
            Self::RestoreFailed { .. } => Code::RestoreFailed,
            Self::SpawnFailed { .. } | Self::PortTaken { .. } | Self::Deadlock => Code::SpawnFailed,
            Self::WaitFailed { .. } => Code::WaitFailed,
            Self::CapturedStreamReadFailed { .. } => Code::CapturedStreamReadFailed,
            Self::OutputPatternResolutionFailed { .. } => Code::OutputPatternResolutionFailed,
            Self::OutputModeReadFailed { .. } => Code::OutputModeReadFailed,
            Self::OutputNotARegularFile { .. } => Code::OutputNotARegularFile,
            Self::OutputDeclaredButNotProduced { .. } => Code::OutputDeclaredButNotProduced,
            Self::StoreFailed { .. } => Code::StoreFailed,
            Self::MaterialisedOutputPathInvalid { .. } => Code::MaterialisedOutputPathInvalid,
        }
    }

    fn report(&self) -> ErrorReport {
        let report = ErrorReport::new(self.code(), self.to_string());
        let data = serde_json::to_value(self).unwrap_or_default();
        self.hints()
            .into_iter()
            .fold(report.data(data), ErrorReport::hint)
    }
}

impl RunTaskError {
    /// The report of a task's failure.
    #[must_use]
    pub fn report_of(&self, task: &TaskId) -> ErrorReport {
        let mut report = self.report().about("task", task.to_string());
        report.message = format!("{task}: {}", report.message);
        // Once the command has run, whatever it does outside has happened.
        if self.has_run() {
            report.effect = mainstay_contract::EffectState::Applied;
        }
        report
    }

    fn has_run(&self) -> bool {
        !matches!(
            self,
            Self::BuildKeyFailed { .. }
                | Self::RestoreFailed { .. }
                | Self::SpawnFailed { .. }
                | Self::PortTaken { .. }
                | Self::Deadlock
        )
    }

    fn hints(&self) -> Vec<&'static str> {
        match self {
            Self::BuildKeyFailed {
                cause: BuildKeyError::InputMissing { .. },
            } => vec![
                "create it, or correct the name under `inputs`",
                "where a task makes it, name that task under `after`, or the file under its `outputs`",
            ],
            Self::RestoreFailed {
                cause: RestoreError::InTheWay { .. },
            } => vec!["move it away, or correct `outputs`"],
            Self::SpawnFailed { cause, .. } if cause.errno == Some(ENOENT) => vec![
                "is the program's folder on the task's PATH? `env: [PATH]` lets the caller's through",
            ],
            Self::PortTaken { .. } => vec!["end whoever listens there, or correct `ready.port`"],
            Self::Deadlock => vec!["give the tasks that run tasks of other workspaces one `mutex`"],
            Self::OutputDeclaredButNotProduced { .. } => vec![
                "correct the name under `outputs`; one that may be missing is written with a wildcard",
            ],
            _ => Vec::new(),
        }
    }
}

const ENOENT: i32 = 2;
