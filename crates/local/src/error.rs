//! How a request to a local model fails.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a worker process was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Loss {
    /// The context of its device is poisoned: every later call of that process fails.
    Poisoned {
        /// The device's own number of the fault.
        code: u32,
        /// The device's own name of the fault.
        name: String,
    },
    /// It did not answer the heartbeat.
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// It gave itself up, because the work on a request that it refused does not end.
    Stuck,
    /// It ended.
    Exited {
        /// The exit code, where it ended by itself.
        code: Option<i32>,
        /// The signal, where one ended it.
        signal: Option<i32>,
    },
    /// It could not be started.
    NotStarted {
        /// What the system said.
        message: String,
    },
    /// It could not load the model.
    NotLoaded {
        /// Why not.
        message: String,
    },
    /// It did not load the model in time.
    SlowToLoad {
        /// How long it was waited for.
        after: Duration,
    },
    /// It said something that is no event.
    Garbled {
        /// What was wrong with it.
        message: String,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned { code, name } => {
                write!(
                    f,
                    "the device's context is poisoned by fault {code} ({name})"
                )
            }
            Self::Silent { after } => {
                write!(f, "the worker was silent for {} ms", after.as_millis())
            }
            Self::Stuck => f.write_str("the worker could not end its work on a request"),
            Self::Exited {
                signal: Some(signal),
                ..
            } => write!(f, "the worker was ended by signal {signal}"),
            Self::Exited {
                code: Some(code), ..
            } => write!(f, "the worker ended with exit code {code}"),
            Self::Exited { .. } => f.write_str("the worker ended"),
            Self::NotStarted { message } => write!(f, "the worker cannot be started: {message}"),
            Self::NotLoaded { message } => write!(f, "the model cannot be loaded: {message}"),
            Self::SlowToLoad { after } => write!(
                f,
                "the model was not loaded within {} ms",
                after.as_millis()
            ),
            Self::Garbled { message } => {
                write!(f, "the worker said something incomprehensible: {message}")
            }
        }
    }
}

/// How a request to a local model failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LocalError {
    /// The device's context was poisoned while the request ran; the worker is replaced.
    #[error("the context of {device} was poisoned by fault {code} ({name})")]
    CudaContextPoisoned {
        /// The device.
        device: String,
        /// The device's own number of the fault.
        code: u32,
        /// The device's own name of the fault.
        name: String,
        /// Whether a part of the answer had been delivered, so that a repetition would repeat it.
        content_sent: bool,
    },
    /// The worker was lost for another cause while the request ran; it is replaced.
    #[error("the worker of {device} was lost: {loss}")]
    WorkerLost {
        /// The device.
        device: String,
        /// Why the worker was lost.
        loss: Loss,
        /// Whether a part of the answer had been delivered.
        content_sent: bool,
    },
    /// The device failed this request and can go on; its context was built anew.
    #[error("{device} failed with fault {code} ({name})")]
    DeviceFailed {
        /// The device.
        device: String,
        /// The device's own number of the fault.
        code: u32,
        /// The device's own name of the fault.
        name: String,
    },
    /// The conversation is longer than the model accepts.
    #[error("the conversation has {tokens} tokens, and the model accepts {limit}")]
    ContextLengthExceeded {
        /// The tokens of the conversation.
        tokens: u64,
        /// The tokens that the model accepts, the answer included.
        limit: u64,
    },
    /// The request cannot be carried out as it is.
    #[error("`{field}`: {message}")]
    BadRequest {
        /// The part of the request.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// Too many requests wait already.
    #[error("{waiting} requests wait already, as many as may")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// The worker was lost too often and is not started again for now.
    #[error("the model is out of service: {loss}")]
    Quarantined {
        /// The last loss.
        loss: Loss,
        /// When it is tried again by itself; never, where an operator must reset it.
        retry_after: Option<Duration>,
    },
    /// The model is being shut down.
    #[error("the model is being shut down")]
    ShuttingDown,
    /// We broke a promise of our own.
    #[error("the engine broke a promise of its own: {message}")]
    Internal {
        /// What happened.
        message: String,
    },
}

impl LocalError {
    /// Says what is wrong with a part of a request.
    pub fn bad_request(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::BadRequest {
            field: field.into(),
            message: message.to_string(),
        }
    }

    /// Says which of our own promises did not hold.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::Internal {
            message: message.to_string(),
        }
    }
}
