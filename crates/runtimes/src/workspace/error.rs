//! What goes wrong with workspaces.

use mainstay_contract::{Code, Coded, Digest, ErrorReport};
use mainstay_sessions::StoreError;
use serde::Serialize;
use serde_json::json;
use std::io;
use std::path::PathBuf;

/// A path that changed on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The path, from the workspace's root.
    pub path: String,
    /// How the folder differs from what the view began with.
    pub reason: String,
}

/// Why a view cannot be opened, committed, shown or brought home.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The folder cannot be used.
    #[error("the workspace {path} cannot be used: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file operation failed.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something that cannot be kept exactly.
    #[error("{path} is {what}, which a workspace cannot keep")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The place for views lies inside the folder, where an overlay cannot be.
    #[error("the private place {root} lies inside the workspace {folder}")]
    Overlapping {
        /// Where the view would be.
        root: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The place for views belongs to somebody else.
    #[error("{path} belongs to another user")]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier failure left the private directory half made.
    #[error("the private view {root} is incomplete and must be restored")]
    Incomplete {
        /// The directory.
        root: PathBuf,
    },
    /// A blob of a committed state is not stored.
    #[error("blob {digest} of the workspace is missing")]
    Missing {
        /// The blob.
        digest: Digest,
    },
    /// A blob of a committed state cannot be read.
    #[error("blob {digest} of the workspace cannot be read: {why}")]
    Unreadable {
        /// The blob.
        digest: Digest,
        /// Why.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder changed where the agent changed it too.
    #[error("the folder changed meanwhile at {} path(s), so nothing was applied", .conflicts.len())]
    Conflict {
        /// Each of them.
        conflicts: Vec<Conflict>,
    },
    /// The thread that did the work ended early.
    #[error("work on the workspace ended early: {why}")]
    Worker {
        /// How.
        why: String,
    },
}

impl WorkspaceError {
    /// The folder cannot be used.
    #[must_use]
    pub fn folder(path: PathBuf, error: io::Error) -> Self {
        Self::Folder { path, error }
    }

    /// The thread that did the work ended early.
    #[must_use]
    pub fn worker(why: String) -> Self {
        Self::Worker { why }
    }
}

/// Names the file in which an operation failed.
pub(super) trait At<T> {
    fn at(self, path: &std::path::Path) -> Result<T, WorkspaceError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &std::path::Path) -> Result<T, WorkspaceError> {
        self.map_err(|error| WorkspaceError::File {
            path: path.to_owned(),
            error,
        })
    }
}

impl Coded for WorkspaceError {
    fn code(&self) -> Code {
        match self {
            Self::Conflict { .. } => Code::WorkspaceConflict,
            Self::Store(error) => error.code(),
            Self::Missing { .. } | Self::Unreadable { .. } => Code::StoreCorrupt,
            Self::Worker { .. } => Code::Internal,
            _ => Code::WorkspaceUnavailable,
        }
    }

    fn report(&self) -> ErrorReport {
        let report = ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::Conflict { conflicts } => conflicts
                .iter()
                .take(10)
                .fold(report, |report, conflict| {
                    report.hint(format!("{}: {}", conflict.path, conflict.reason))
                })
                .data(json!({ "kind": "conflict", "conflicts": conflicts })),
            Self::Store(error) => error.report(),
            Self::Overlapping { .. } => report.hint("choose another --cache-dir"),
            _ => report,
        }
    }
}
