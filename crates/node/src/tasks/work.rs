//! Running tasks with all that the node has for them: the remote cache, the watcher, what the cache may keep.
//! The command line does the same in its own process.

use crate::wiring::{SharedCache, TaskWatcher};
use mainstay_contract::{Code, Coded, ErrorReport};
use mainstay_runner::workspace::Workspace;
use mainstay_runner::{
    Budget, Environment, Listener, Options, Remote, Runner, Stop, Store, Summary, Watch,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// How tasks are to be run; named as on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// How many at once; what the workspace says, or as many as there are processors, by default.
    pub jobs: Option<u32>,
    /// Whether commands run even where the cache has their results.
    pub force: bool,
    /// Whether the rest goes on where a task fails.
    pub keep_going: bool,
    /// How commands are watched.
    pub sandbox: TaskSandbox,
    /// Whether one task speaks at a time, and what others say follows in one piece.
    pub grouped: bool,
}

impl TaskOptions {
    /// What they mean in a workspace.
    #[must_use]
    pub fn of(&self, workspace: &Workspace) -> Options {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = u32::try_from(cores).unwrap_or(1);
        Options {
            jobs: self.jobs.or(workspace.jobs).unwrap_or(cores),
            // Who wants to see what commands do wants them to run.
            is_forced: self.force || self.sandbox == TaskSandbox::Trace,
            watch: match self.sandbox {
                TaskSandbox::Off => None,
                TaskSandbox::Trace => Some(Watch::Trace),
                TaskSandbox::Enforce => Some(Watch::Enforce),
            },
            keeps_going: self.keep_going,
            is_open_floor: !self.grouped,
        }
    }
}

/// How commands of tasks are watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskSandbox {
    /// They run as they are.
    #[default]
    Off,
    /// What they read and write is told.
    Trace,
    /// They see what is declared.
    Enforce,
}

impl TaskSandbox {
    /// Every way, by its name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("trace", Self::Trace),
        ("enforce", Self::Enforce),
    ];
}

/// Why tasks cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum RunTasksError {
    /// The remote cache cannot be used as it is declared.
    #[error("{}", .0.message)]
    Remote(Box<ErrorReport>),
    /// The workspace's folder cannot be opened.
    #[error("{path}: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// This process cannot look after commands.
    #[error("commands cannot be looked after: {0}")]
    Process(#[from] io::Error),
}

impl Coded for RunTasksError {
    fn code(&self) -> Code {
        match self {
            Self::Remote(report) => report.code.clone(),
            Self::Folder { .. } => Code::InvalidRequest,
            Self::Process(_) => Code::Internal,
        }
    }

    fn report(&self) -> ErrorReport {
        match self {
            Self::Remote(report) => (**report).clone(),
            _ => ErrorReport::new(self.code(), self.to_string()),
        }
    }
}

/// Runs tasks in this process, which becomes the parent of whatever their commands leave behind.
///
/// # Errors
/// [`RunTasksError`], before anything ran.
pub fn run_tasks(
    workspace: &Workspace,
    store: &Store,
    targets: &[u32],
    options: &TaskOptions,
    stop: &Stop,
    listener: &dyn Listener,
) -> Result<Summary, RunTasksError> {
    with_task_runner(workspace, store, |runner| {
        Ok(runner.run(targets, &options.of(workspace), stop, listener)?)
    })
}

/// Does something with a runner of a workspace that has all that its tasks may ask for.
///
/// # Errors
/// [`RunTasksError`], before anything was done; otherwise what `body` says.
pub fn with_task_runner<T, E: From<RunTasksError>>(
    workspace: &Workspace,
    store: &Store,
    body: impl FnOnce(Runner<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let shared = SharedCache::of(workspace).map_err(RunTasksError::Remote)?;
    let exe = std::env::current_exe().map_err(RunTasksError::Process)?;
    let watcher = TaskWatcher::new(exe);
    let opened = Runner::new(workspace, store, Environment::here());
    let runner = opened.map_err(|error| RunTasksError::Folder {
        path: workspace.root.clone(),
        error,
    })?;
    let runner = runner
        .with_remote(shared.as_ref().map(|shared| shared as &dyn Remote))
        .with_watcher(&watcher);
    body(runner)
}

/// Removes from the cache what is beyond the limits of a workspace, where that was not done for a while.
pub fn collect_results(workspace: &Workspace, store: &Store) {
    let limits = &workspace.cache;
    let usual = Budget::default();
    store.collect_now_and_then(Budget {
        bytes: limits.size_max.unwrap_or(usual.bytes),
        age: limits.age_max.unwrap_or(usual.age),
    });
}
