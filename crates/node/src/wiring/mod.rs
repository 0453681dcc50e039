//! Where faces meet: one file per pair.

mod sessions_inference;
mod sessions_sandbox;
mod sessions_tasks;
mod tasks_observe;
mod tasks_remote;

pub(crate) use sessions_inference::{Asked, ask_model};
pub(crate) use sessions_sandbox::sandbox_spec;
pub(crate) use sessions_tasks::{TaskRan, run_task};
pub use tasks_observe::TaskWatcher;
pub use tasks_remote::SharedCache;
