//! Why a command failed. Everything ends in a report and an exit code.

use mainstay_contract::{Code, Coded, ErrorReport, IdError};
use mainstay_node::RunTasksError;
use std::path::PathBuf;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The node, or what is embedded, answered with a report.
    #[error("{}", .0.message)]
    Report(Box<ErrorReport>),
    /// There is no manifest.
    #[error("there is no mainstay.yaml in {start} or above it")]
    NoManifest { start: PathBuf },
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    /// A node cannot be there.
    #[error("`{url}` is no URL of a node")]
    Url { url: String },
    /// Something is in the way.
    #[error("{path} exists already")]
    Exists { path: PathBuf },
    /// An argument is no id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The node does not answer.
    #[error("the node at {address} does not answer: {why}")]
    Unreachable { address: String, why: String },
    /// The node's answer makes no sense.
    #[error("the node at {address} answered with something unexpected: {why}")]
    Protocol { address: String, why: String },
    /// No such code.
    #[error("there is no error code `{code}`")]
    UnknownCode { code: String, near: Vec<String> },
    /// The program's own machinery failed.
    #[error("{0}")]
    Runtime(String),
}

impl From<ErrorReport> for CliError {
    fn from(report: ErrorReport) -> Self {
        Self::Report(Box::new(report))
    }
}

impl From<RunTasksError> for CliError {
    fn from(error: RunTasksError) -> Self {
        error.report().into()
    }
}

impl Coded for CliError {
    fn code(&self) -> Code {
        match self {
            Self::Report(report) => report.code.clone(),
            Self::NoManifest { .. } => Code::ManifestNotFound,
            Self::File { .. } | Self::Exists { .. } | Self::Id(_) | Self::Url { .. } => {
                Code::InvalidRequest
            }
            Self::Unreachable { .. } | Self::Protocol { .. } => Code::NodeUnreachable,
            Self::UnknownCode { .. } => Code::NotFound,
            Self::Runtime(_) => Code::Internal,
        }
    }

    fn report(&self) -> ErrorReport {
        let report = match self {
            Self::Report(report) => return (**report).clone(),
            Self::Id(IdError::Blank { .. }) => {
                ErrorReport::new(Code::MissingExecutionScopeId, self.to_string())
            }
            _ => ErrorReport::new(self.code(), self.to_string()),
        };
        match self {
            Self::NoManifest { .. } => {
                report.hint("write one with `mainstay init`, or name one with -f FILE")
            }
            Self::UnknownCode { near, .. } => near.iter().fold(report, |report, near| {
                report.hint(format!("there is `{near}`"))
            }),
            Self::Url { .. } => report.hint("write it like http://127.0.0.1:7447"),
            Self::Unreachable { .. } => {
                report.hint("start one with `mainstay serve`, or leave --url away")
            }
            _ => report,
        }
    }
}
