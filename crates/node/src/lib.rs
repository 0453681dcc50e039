//! The shell around the cores: it accepts turns, performs what the session machine asks for, recovers
//! what a crash interrupted, and answers over HTTP.

mod actor;
pub mod api;
mod at_rest;
mod batch;
mod clock;
mod config;
mod doctor;
mod effects;
mod error;
mod export;
mod feed;
mod inference;
mod journal;
mod manifest_file;
mod metrics;
mod node;
mod secrets;
mod snapshot;
mod tasks;
mod tools;
mod wiring;
mod workspaces;

pub use config::{NodeConfig, StoreUrl, StoreUrlError, blobs_folder};
pub use doctor::{Check, CheckStatus, DoctorReport, examine_apart};
pub use error::{NodeOpenError, RequestError};
pub use export::ReplayReport;
pub use inference::{
    BudgetStatus, Day, FileFindings, HealthFailure, HealthState, HealthStatus, ModelCall,
    ModelReply, ModelStatus, NoDay, PriceStatus, ReplyTokens, Usage, UsageFilter, UsageLine,
    WorkerStatus, check_files,
};
pub use mainstay_local::{MODEL_WORKER, worker_main as model_worker_main};
pub use node::{Node, ResolveWord, TurnAccepted, TurnRequest};
pub use tasks::{
    RunTasksError, TASK_WORKER, TaskOptions, TaskRunRequest, TaskRunState, TaskRunView,
    TaskSandbox, collect_results, run_tasks, task_worker_main, with_task_runner,
};
pub use wiring::{SharedCache, TaskWatcher};
