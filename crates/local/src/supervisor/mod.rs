//! The owner of a worker process: it starts it, gives it requests, replaces it where it is lost, and ends it.
//!
//! Two tiers. A fault that the device's context survives is repaired within the worker, and fails one request.
//! A poisoned context, a silent worker and a dead one cost the process. `supervision` decides, the loop acts.

mod config;
mod model;
mod process;
mod run;
mod supervision;

pub use config::{
    Heartbeat, Limits, LocalConfig, ModelCard, Patience, Readiness, RestartBudget, Status, Unready,
    WorkerCommand,
};
pub use model::{Generation, LocalModel};
