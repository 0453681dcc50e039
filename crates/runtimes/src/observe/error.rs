//! What goes wrong with observing, apart from the command itself.

use std::io;
use std::path::PathBuf;

/// Why a command was not observed. It has not run, or its report is lost.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The wrapper was called in another way than [`super::ObserveSpec::wrap`] does it.
    #[error("usage: __observe SPECFILE -- program [argument]...")]
    Usage,
    /// A file of ours cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The specification or the report.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file of ours is not what it should be.
    #[error("{path} is no such file: {error}")]
    Form {
        /// The specification or the report.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The root has to be its own real path, because that is how the kernel names what is in it.
    #[error("the root {path} is not its own real path")]
    Root {
        /// The root.
        path: PathBuf,
    },
    /// The mode `enforce` needs a stage.
    #[error("there is no stage to enforce declarations on")]
    NoStage,
    /// This host cannot do it, so the command was not started.
    #[error("the command cannot be observed: {step}: {error}")]
    Setup {
        /// What was being done.
        step: String,
        /// What the system said.
        error: io::Error,
    },
    /// The observer was killed, and the command with it.
    #[error("the observer was killed")]
    Killed,
}

/// Names the file in which an operation failed.
pub(super) trait At<T> {
    fn at(self, path: &std::path::Path) -> Result<T, ObserveError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &std::path::Path) -> Result<T, ObserveError> {
        self.map_err(|error| ObserveError::File {
            path: path.to_owned(),
            error,
        })
    }
}

impl<T> At<T> for serde_json::Result<T> {
    fn at(self, path: &std::path::Path) -> Result<T, ObserveError> {
        self.map_err(|error| ObserveError::Form {
            path: path.to_owned(),
            error,
        })
    }
}
