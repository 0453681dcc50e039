//! Why a node does not open, and why a request fails.

use mainstay_contract::{Code, Coded, ErrorReport, IdError};
use mainstay_manifest::InvalidManifest;
use mainstay_runtimes::sandbox::SandboxError;
use mainstay_runtimes::workspace::WorkspaceError;
use mainstay_sessions::{FirstDivergence, Rejected, RuntimeError, RuntimeErrorCode, StoreError};
use serde_json::json;
use std::path::PathBuf;

/// Why a node does not open.
#[derive(Debug, thiserror::Error)]
pub enum NodeOpenError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox cannot be prepared.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What was spent on models cannot be known.
    #[error(transparent)]
    Ledger(#[from] mainstay_gateway::LedgerError),
    /// A directory cannot be made.
    #[error("{path} cannot be made: {error}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Something that the node itself brings along does not work.
    #[error("the node cannot be set up: {0}")]
    Internal(String),
}

impl Coded for NodeOpenError {
    fn code(&self) -> Code {
        match self {
            Self::Store(error) => error.code(),
            Self::Sandbox(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Directory { .. } => Code::StoreReadOnly,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn report(&self) -> ErrorReport {
        match self {
            Self::Store(error) => error.report(),
            Self::Sandbox(error) => error.report(),
            Self::Ledger(error) => error.report(),
            Self::Directory { .. } | Self::Internal(_) => {
                ErrorReport::new(self.code(), self.to_string())
            }
        }
    }
}

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// An id is blank or unusable.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Two ids of one request differ.
    #[error("the turn id {turn} and the scope id {scope} differ")]
    ScopeMismatch {
        /// The turn id.
        turn: String,
        /// The scope id.
        scope: String,
    },
    /// The options hold something unknown.
    #[error("the option `{name}` is not known")]
    Option {
        /// Which.
        name: String,
    },
    /// The session machine refuses.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// A turn id or key was used elsewhere.
    #[error("turn {turn} belongs to session {session}")]
    TurnElsewhere {
        /// The turn.
        turn: String,
        /// Its session.
        session: String,
    },
    /// A record could not be made durable.
    #[error("the record could not be made durable: {0}")]
    Commit(StoreError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// There is no manifest.
    #[error("the node has no manifest, so it knows no agent and no task")]
    NoManifest,
    /// The manifest cannot be read.
    #[error("the manifest {path} cannot be read: {error}")]
    ManifestUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The manifest is not valid.
    #[error(transparent)]
    ManifestInvalid(#[from] InvalidManifest),
    /// There is no such thing.
    #[error("there is no {kind} {id}")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Under which name.
        id: String,
        /// Names like it.
        near: Vec<String>,
    },
    /// What the snapshot of a turn needs cannot be had.
    #[error("{what}: {why}")]
    Configuration {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// The workspace cannot be shown or brought home.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The session never had a workspace.
    #[error("session {session} has no workspace")]
    NoWorkspace {
        /// The session.
        session: String,
    },
    /// Deciding again gave something else.
    #[error(transparent)]
    Diverged(#[from] FirstDivergence),
    /// Tasks cannot be run, for this reason.
    #[error("{}", .0.message)]
    Task(Box<ErrorReport>),
    /// A turn cannot ask its model, for this reason.
    #[error("{}", .0.message)]
    Model(Box<ErrorReport>),
    /// A key was used before for another run.
    #[error("the key of {run} was used before for other tasks or options")]
    TaskRunConflict {
        /// The run.
        run: String,
    },
    /// As much is under way as the node takes.
    #[error("{under_way} runs of tasks are under way, and the node takes no more")]
    Busy {
        /// How many.
        under_way: usize,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// A promise of our own is broken.
    #[error("internal failure: {0}")]
    Internal(String),
}

impl RequestError {
    pub(crate) fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound {
            kind,
            id: id.into(),
            near: Vec::new(),
        }
    }

    fn runtime_code(&self) -> Option<RuntimeErrorCode> {
        Some(match self {
            Self::Id(_) => RuntimeErrorCode::MissingExecutionScopeId,
            Self::ScopeMismatch { .. } => RuntimeErrorCode::ExecutionScopeTurnIdMismatch,
            Self::Option { .. } => RuntimeErrorCode::ProtocolTurnExtension,
            Self::Commit(_) => RuntimeErrorCode::StoreCommitFailed,
            _ => return None,
        })
    }
}

impl Coded for RequestError {
    fn code(&self) -> Code {
        if let Some(code) = self.runtime_code() {
            return code.code();
        }
        match self {
            Self::Rejected(error) => error.code(),
            Self::TurnElsewhere { .. } | Self::TaskRunConflict { .. } => Code::IdempotencyConflict,
            Self::Task(report) | Self::Model(report) => report.code.clone(),
            Self::Busy { .. } => Code::NodeBusy,
            Self::Store(error) => error.code(),
            Self::NoManifest => Code::ManifestNotFound,
            Self::ManifestUnreadable { error, .. } => match error.kind() {
                std::io::ErrorKind::NotFound => Code::ManifestNotFound,
                _ => Code::ManifestInvalid,
            },
            Self::ManifestInvalid(error) => error.code(),
            Self::NotFound { .. } | Self::NoWorkspace { .. } => Code::NotFound,
            Self::Configuration { .. } => Code::ManifestInvalid,
            Self::Workspace(error) => error.code(),
            Self::Diverged(_) => Code::ReplayDiverged,
            Self::Stopping => Code::NodeUnreachable,
            _ => Code::Internal,
        }
    }

    fn report(&self) -> ErrorReport {
        if let Some(code) = self.runtime_code() {
            let report = RuntimeError::new(code, self.to_string()).report();
            return match self {
                Self::Commit(error) => {
                    let inner = error.report();
                    let hinted = inner.hints.iter().cloned().fold(report, ErrorReport::hint);
                    hinted.cause(Some(inner.code), inner.message)
                }
                _ => report,
            };
        }
        let report = ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::Rejected(error) => error.report(),
            Self::Task(report) | Self::Model(report) => (**report).clone(),
            Self::TaskRunConflict { run } => report.about("run", run.clone()),
            Self::Busy { .. } => report.retry_after_ms(1000),
            Self::Store(error) => error.report(),
            Self::ManifestInvalid(error) => error.report(),
            Self::Workspace(error) => error.report(),
            Self::TurnElsewhere { turn, .. } => report.about("turn", turn.clone()),
            Self::NoManifest => report.hint("start the node where mainstay.yaml is, or with -f"),
            Self::NotFound { kind, id, near } => near
                .iter()
                .fold(report.about(kind, id.clone()), |report, near| {
                    report.hint(format!("there is `{near}`"))
                }),
            Self::Diverged(error) => report.data(divergence(error)),
            _ => report,
        }
    }
}

fn divergence(error: &FirstDivergence) -> serde_json::Value {
    match error {
        FirstDivergence::Journal(error) => json!({ "kind": "journal", "why": error.to_string() }),
        FirstDivergence::Decision { expected, found } => json!({
            "kind": "decision", "seq": expected.seq, "expected": expected, "found": found,
        }),
    }
}
