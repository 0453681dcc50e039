//! What a supervisor is told about its model, and what it tells.

use crate::device::DeviceChoice;
use crate::error::Loss;
use serde::Serialize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How a model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalConfig {
    /// The GGUF file.
    pub model: PathBuf,
    /// The longest conversation in tokens, the answer included; without it, the model's own.
    pub context_length: Option<u32>,
    /// How many threads compute; without it, one for each core.
    pub threads: Option<u32>,
    /// The device. Another one is never taken instead.
    pub device: DeviceChoice,
    /// What starts a worker.
    pub worker: WorkerCommand,
    /// When things are given up.
    pub limits: Limits,
}

/// The command that starts a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program: this one.
    pub exe: PathBuf,
    /// Its arguments, of which the node's is [`crate::MODEL_WORKER`].
    pub args: Vec<OsString>,
    /// What is added to the environment.
    pub env: Vec<(OsString, OsString)>,
}

/// When things are given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// When a worker counts as silent.
    pub heartbeat: Heartbeat,
    /// When a worker is no longer replaced.
    pub restart: RestartBudget,
    /// How long a shutdown takes at most.
    pub patience: Patience,
    /// How long a model may take to load.
    pub load_deadline: Duration,
    /// How many requests may wait.
    pub queue_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat: Heartbeat::default(),
            restart: RestartBudget::default(),
            patience: Patience::default(),
            load_deadline: Duration::from_secs(300),
            queue_max: 256,
        }
    }
}

/// When a worker counts as silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// How long after its last word a worker is asked.
    pub interval: Duration,
    /// How long it may take to answer.
    pub deadline: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
        }
    }
}

/// How often a lost worker is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartBudget {
    /// How many times within the window.
    pub restarts_max: usize,
    /// The window.
    pub window: Duration,
    /// How long the first replacement waits; each further one in the window waits twice as long.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How long the quarantine lasts; without it, until an operator ends it.
    pub cool_down: Option<Duration>,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            restarts_max: 5,
            window: Duration::from_secs(300),
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            cool_down: Some(Duration::from_secs(600)),
        }
    }
}

/// How long a shutdown takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long requests may take to end by themselves.
    pub drain: Duration,
    /// How long the worker may take to end after it was asked.
    pub grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// Why a model takes no requests right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Unready {
    /// It is being loaded.
    Starting,
    /// Its worker was lost, and is being replaced.
    Restarting {
        /// Why it was lost.
        loss: Loss,
    },
    /// Its worker was lost too often.
    Quarantined {
        /// The last loss.
        loss: Loss,
        /// How long the quarantine lasts from its beginning; without it, until an operator ends it.
        retry_after: Option<Duration>,
    },
    /// It is being shut down.
    Stopping,
    /// It was shut down.
    Stopped,
}

/// Whether a model takes requests, and what it is.
pub type Readiness = Result<ModelCard, Unready>;

/// What a loaded model says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelCard {
    /// Its own name.
    pub model: String,
    /// The longest conversation in tokens, the answer included.
    pub context_length: u32,
    /// The device, in its own words.
    pub device: String,
}

/// How a model is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether it takes requests, and if not, why.
    pub readiness: Readiness,
    /// The process that runs it.
    pub pid: Option<u32>,
    /// How many workers were started so far.
    pub started: u64,
    /// How many requests wait or are worked on.
    pub in_flight: usize,
}
