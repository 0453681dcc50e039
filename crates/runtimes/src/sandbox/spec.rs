//! What is asked of a sandbox, and what came of it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// What runs inside.
    pub program: Program,
    /// The workspace, mounted read-write at its own path.
    pub workspace: Option<WorkspaceMount>,
    /// Host paths that are visible read-only at their own place, beside the system folders.
    pub read: Vec<PathBuf>,
    /// Host paths that can be written. A tool that has some is not `pure`.
    pub write: Vec<PathBuf>,
    /// Paths that are covered by an empty folder where they would be visible.
    pub hide: Vec<PathBuf>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// The private home folder, empty but for what `read` and `write` name below it.
    pub home: PathBuf,
    /// What it reaches.
    pub network: Network,
    /// The most memory it may use, in bytes, swap included.
    pub memory_bytes: Option<u64>,
    /// The most processes it may have.
    pub pids: Option<u32>,
    /// How long it may take.
    pub timeout: Duration,
    /// How much of each output stream is kept at hand; half from its head and half from its tail.
    pub output_bytes_max: usize,
    /// Whether it runs all the same where the host cannot enforce a limit; what is weaker is said.
    pub is_weaker_allowed: bool,
}

/// What runs inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A command.
    Command {
        /// The program and its arguments; the program is looked up in the run's own `PATH`.
        argv: Vec<String>,
    },
    /// Our own code, run in the sandboxed process; the request is its argument.
    InProcess(serde_json::Value),
}

/// How the workspace gets into the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceMount {
    /// As an overlay over the folder.
    Overlay {
        /// The folder.
        lower: PathBuf,
        /// What changed; below `view`.
        upper: PathBuf,
        /// The kernel's scratch; beside `upper`.
        work: PathBuf,
        /// Where it appears.
        at: PathBuf,
    },
    /// As it is.
    Bind {
        /// The folder.
        source: PathBuf,
        /// Where it appears.
        at: PathBuf,
    },
}

impl WorkspaceMount {
    /// Where the workspace appears.
    #[must_use]
    pub fn at(&self) -> &PathBuf {
        match self {
            Self::Overlay { at, .. } | Self::Bind { at, .. } => at,
        }
    }

    /// The host folder that decides whose files these are.
    #[must_use]
    pub fn folder(&self) -> &PathBuf {
        match self {
            Self::Overlay { lower, .. } => lower,
            Self::Bind { source, .. } => source,
        }
    }
}

/// What a run reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A loopback of its own.
    None,
    /// All that the host reaches.
    Host,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Stopped when its time was over.
    TimedOut,
    /// The kernel stopped one of its processes for want of memory.
    OutOfMemory,
    /// Stopped on request.
    Cancelled,
}

/// What a stream held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Its beginning.
    pub head: Vec<u8>,
    /// Its end, where that is not part of the beginning.
    pub tail: Vec<u8>,
    /// All it had, in bytes.
    pub total_bytes: u64,
    /// Where the text was cut: a file with the whole of it, or as much as was kept.
    pub full: Option<PathBuf>,
    /// Whether even the file is cut.
    pub is_full_cut: bool,
}

impl Captured {
    /// Whether bytes are missing between head and tail.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total_bytes > (self.head.len() + self.tail.len()) as u64
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct SandboxExit {
    /// How it ended.
    pub status: ExitKind,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// How long it took.
    pub wall: Duration,
    /// What could not be enforced, in words; empty unless that was allowed.
    pub weaker: Vec<String>,
}

/// Why a sandbox did not run.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The host cannot enforce what is asked.
    #[error("this host cannot enforce {what}")]
    Unsupported {
        /// What.
        what: String,
    },
    /// A path that is asked for is not there.
    #[error("{path} is not there to be mounted")]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// A step of setting it up failed.
    #[error("the sandbox could not be set up: {step}: {error}")]
    Setup {
        /// The step.
        step: String,
        /// What the system said.
        error: String,
    },
    /// The helper died before it could say how the run ended.
    #[error("the sandbox helper died: {why}")]
    HelperDied {
        /// How.
        why: String,
    },
}

impl mainstay_contract::Coded for SandboxError {
    fn code(&self) -> mainstay_contract::Code {
        use mainstay_contract::Code;
        match self {
            Self::Unsupported { .. } => Code::SandboxUnsupported,
            Self::NoSuchPath { .. } | Self::Setup { .. } | Self::HelperDied { .. } => {
                Code::SandboxFailed
            }
        }
    }

    fn report(&self) -> mainstay_contract::ErrorReport {
        let report = mainstay_contract::ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::Unsupported { .. } => report
                .hint("`mainstay doctor` says what this host can enforce")
                .hint("accept less, visibly, with `sandbox: {weaker: true}`"),
            Self::NoSuchPath { .. } => report.hint("correct `sandbox.read` or `sandbox.write`"),
            Self::Setup { .. } => report.hint("`mainstay doctor` says what this host can do"),
            Self::HelperDied { .. } => report,
        }
    }
}
