//! Runs of tasks, each in a worker: a process of its own. They are kept in memory, up to a bound: a node that
//! is started again knows none of them.

mod process;
mod progress;
mod run;
mod tape;
mod work;
mod worker;

pub use progress::TaskRunState;
pub use run::TaskRunView;
pub use work::{
    RunTasksError, TaskOptions, TaskSandbox, collect_results, run_tasks, with_task_runner,
};
pub use worker::{TASK_WORKER, task_worker_main};

pub(crate) use run::Run;
pub(crate) use tape::{Page, TaskEvent};

use crate::error::RequestError;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use worker::Order;

/// How many runs may be under way at once.
const UNDER_WAY_MAX: usize = 32;
/// How many runs are kept that are over.
const OVER_MAX: usize = 100;
/// How many bytes of events are kept of all of those together.
const OVER_BYTES_MAX: usize = 64 << 20;
/// How long runs may take to end when the node stops, whatever their tasks ask for.
const GRACE: Duration = Duration::from_secs(10);
/// And how long, once everything was ended at once.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Tasks that a caller wants to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskRunRequest {
    /// The tasks, named as on the command line, seen from the workspace's folder.
    pub tasks: Vec<String>,
    /// How.
    pub options: TaskOptions,
}

/// All runs that a node knows.
#[derive(Debug)]
pub(crate) struct TaskRuns {
    exe: PathBuf,
    /// The manifest of the workspace.
    manifest: Option<PathBuf>,
    cache: PathBuf,
    kept: Mutex<Kept>,
    /// How many workers there are.
    workers: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The oldest first.
    runs: Vec<Arc<Run>>,
    /// Whether no run begins any more.
    is_closed: bool,
}

impl TaskRuns {
    pub(crate) fn new(exe: PathBuf, manifest: Option<PathBuf>, cache: PathBuf) -> Self {
        Self {
            exe,
            manifest,
            cache,
            kept: Mutex::default(),
            workers: watch::channel(0).0,
        }
    }

    /// Begins a run; with a key, the one that has it already, if any. Answers once it has begun.
    pub(crate) async fn start(
        self: &Arc<Self>,
        request: TaskRunRequest,
        key: Option<&str>,
    ) -> Result<Arc<Run>, RequestError> {
        let run = self.enter(request, key)?;
        run.accepted().await?;
        Ok(run)
    }

    fn enter(
        self: &Arc<Self>,
        request: TaskRunRequest,
        key: Option<&str>,
    ) -> Result<Arc<Run>, RequestError> {
        let manifest = self.manifest.clone().ok_or(RequestError::NoManifest)?;
        let id = id(key);
        let mut kept = self.kept();
        let mut known = kept.runs.iter();
        if let Some(run) = known.find(|run| run.id() == id && !run.is_refused()) {
            return match run.request == request {
                true => Ok(Arc::clone(run)),
                false => Err(RequestError::TaskRunConflict { run: id }),
            };
        }
        if kept.is_closed {
            return Err(RequestError::Stopping);
        }
        let under_way = kept.runs.iter().filter(|run| !run.is_over()).count();
        if under_way >= UNDER_WAY_MAX {
            return Err(RequestError::Busy { under_way });
        }
        let order = Order {
            manifest,
            cache: self.cache.clone(),
            tasks: request.tasks.clone(),
            options: request.options.clone(),
        };
        let (stop, mut asked) = unbounded_channel();
        let run = Arc::new(Run::new(id, request, stop));
        kept.runs.push(Arc::clone(&run));
        self.workers.send_modify(|count| *count += 1);
        let (runs, worked_on) = (Arc::clone(self), Arc::clone(&run));
        tokio::spawn(async move {
            process::work(&worked_on, &runs.exe, &order, &mut asked).await;
            runs.kept().forget();
            runs.workers.send_modify(|count| *count -= 1);
        });
        Ok(run)
    }

    /// A run that has begun.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Run>, RequestError> {
        let kept = self.kept();
        let mut runs = kept.runs.iter();
        let found = runs.find(|run| run.id() == id && run.has_begun());
        found
            .cloned()
            .ok_or_else(|| RequestError::not_found("run", id))
    }

    /// The runs that have begun, the newest first.
    pub(crate) fn list(&self) -> Vec<TaskRunView> {
        let kept = self.kept();
        kept.runs
            .iter()
            .rev()
            .filter_map(|run| run.view())
            .collect()
    }

    /// Lets no run begin any more, and ends those under way: in good order, and then at once.
    pub(crate) async fn close(&self) {
        self.kept().is_closed = true;
        for limit in [GRACE, END_LIMIT] {
            self.kept().runs.iter().for_each(|run| run.stop());
            let mut workers = self.workers.subscribe();
            let gone = workers.wait_for(|count| *count == 0);
            if tokio::time::timeout(limit, gone).await.is_ok() {
                return;
            }
        }
        tracing::warn!("a run of tasks did not end in time");
    }

    /// Whether no run begins any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.kept().is_closed
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets what never began, and the oldest of what is over where it is too much.
    fn forget(&mut self) {
        let (mut count, mut bytes) = (0, 0);
        let mut is_kept = |run: &Run| {
            if run.is_refused() || !run.is_over() {
                return !run.is_over();
            }
            count += 1;
            bytes += run.bytes();
            count == 1 || (count <= OVER_MAX && bytes <= OVER_BYTES_MAX)
        };
        let kept: Vec<bool> = self.runs.iter().rev().map(|run| is_kept(run)).collect();
        let mut kept = kept.into_iter().rev();
        self.runs.retain(|_| kept.next().unwrap_or(true));
    }
}

/// The name of a run: the one that follows from its key, or a fresh one.
fn id(key: Option<&str>) -> String {
    match key {
        Some(key) => {
            let hash = blake3::hash(key.as_bytes()).to_hex();
            format!("run_key_{}", &hash.as_str()[..32])
        }
        None => format!("run_{}", uuid::Uuid::now_v7().simple()),
    }
}
