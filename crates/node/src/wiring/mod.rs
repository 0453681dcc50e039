//! Where faces meet: one file per pair.

mod sessions_sandbox;
mod tasks_observe;
mod tasks_remote;

pub(crate) use sessions_sandbox::sandbox_spec;
pub use tasks_observe::TaskWatcher;
pub use tasks_remote::SharedCache;
