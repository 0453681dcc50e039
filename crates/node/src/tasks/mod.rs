//! Runs of tasks.

mod work;

pub use work::{RunTasksError, TaskOptions, TaskSandbox, collect_results, run_tasks};
