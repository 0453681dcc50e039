//! Models that run on this machine, each in a process of its own.
//!
//! A device can be poisoned: after some faults every later call of the same process fails. Therefore the node
//! never touches a device. A worker process does, spoken to over its standard streams ([`protocol`]); it asks
//! the device after every call ([`device`]) and runs the model ([`engine`]). The [`supervisor`] owns the
//! process: it replaces one that is poisoned, silent or dead, within a budget, and sees to it that every
//! request ends exactly once.
//!
//! The crate without features has all of this except an engine for real models. `cpu` adds the engine, `cuda`
//! the guard for NVIDIA devices.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod device;
pub mod engine;
mod error;
pub mod protocol;
mod request;
pub mod supervisor;
pub mod worker;

pub use device::DeviceChoice;
pub use error::{LocalError, Loss};
pub use request::{
    Embeddings, FinishReason, GenerateRequest, LocalEvent, RequestProblem, Sampling, Usage,
};
pub use supervisor::{
    Generation, Heartbeat, Limits, LocalConfig, LocalModel, ModelCard, Patience, Readiness,
    RestartBudget, Status, Unready, WorkerCommand,
};
pub use worker::{MODEL_WORKER, worker_main};
