//! The process in which a run of a node works. Runs of tasks adopt what their commands leave behind, and their
//! commands inherit the lock of the workspace: neither must happen to the node, which has other children and
//! lives longer.
//!
//! The worker reads its order from standard input, then one byte each time that it is asked to stop; where the
//! input ends, the node is gone, and everything is ended at once. It answers with lines of a kind and a JSON
//! value: `accepted` or `refused`, the events of the run, and `broken` where it could not go on.

use super::work::{RunTasksError, TaskOptions, collect_results, run_tasks};
use mainstay_contract::{Code, Coded, ErrorReport};
use mainstay_runner::workspace::{self, LoadError, TargetError};
use mainstay_runner::{Event, Listener, Stop, Store, event_line, summary_line};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// The word with which this program is started again as a worker.
pub const TASK_WORKER: &str = "__tasks";

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The manifest of the workspace.
    pub(super) manifest: PathBuf,
    /// The folder of the cache.
    pub(super) cache: PathBuf,
    /// The tasks, as the caller named them.
    pub(super) tasks: Vec<String>,
    pub(super) options: TaskOptions,
}

/// Why a run did not begin, or did not come to its end.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("the worker cannot be set up: {0}")]
    SetUp(#[from] io::Error),
    #[error("the order cannot be read: {0}")]
    Order(#[from] serde_json::Error),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Run(#[from] RunTasksError),
}

impl WorkerError {
    fn report(&self) -> ErrorReport {
        match self {
            Self::SetUp(_) | Self::Order(_) => ErrorReport::new(Code::Internal, self.to_string()),
            Self::Load(error) => error.report(),
            Self::Target(error) => error.report(),
            Self::Run(error) => error.report(),
        }
    }
}

/// What the program does as a worker.
#[must_use]
pub fn task_worker_main() -> ExitCode {
    if let Err(error) = work() {
        tell(
            "broken",
            &json!({ "event": "broken", "report": error.report() }),
        );
    }
    ExitCode::SUCCESS
}

fn work() -> Result<(), WorkerError> {
    leave_signals_to_the_node()?;
    let mut order = String::new();
    io::stdin().lock().read_line(&mut order)?;
    let Order {
        manifest,
        cache,
        tasks,
        options,
    } = serde_json::from_str(&order)?;
    let stop = Arc::new(Stop::new()?);
    let asked = Arc::clone(&stop);
    std::thread::Builder::new().spawn(move || listen(&asked))?;
    let store = Store::new(&cache);
    let begin = || -> Result<_, WorkerError> {
        let workspace = workspace::load(&manifest, &store)?;
        let targets = workspace::targets(&workspace, None, &tasks)?;
        Ok((workspace, targets))
    };
    let (workspace, targets) = match begin() {
        Ok(begun) => begun,
        Err(error) => {
            tell("refused", &json!(error.report()));
            return Ok(());
        }
    };
    tell("accepted", &Value::Null);
    let summary = run_tasks(&workspace, &store, &targets, &options, &stop, &Told)?;
    tell("summary", &summary_line(&summary));
    collect_results(&workspace, &store);
    Ok(())
}

/// Whoever ends all processes of the node at once, as service managers do, leaves the end of the run to the
/// node. Unlike a signal that is ignored, one that is caught is not inherited by commands.
fn leave_signals_to_the_node() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _entered = runtime.enter();
    for caught in [Signal::TERM, Signal::INT, Signal::HUP] {
        signal(SignalKind::from_raw(caught.as_raw())).map(drop)?;
    }
    Ok(())
}

fn listen(stop: &Stop) {
    let mut word = [0];
    while matches!(io::stdin().lock().read(&mut word), Ok(1)) {
        stop.ask();
    }
    stop.ask();
    stop.ask();
}

/// Tells the node what happens.
struct Told;

impl Listener for Told {
    fn on(&self, event: &Event<'_>) {
        let (kind, value) = event_line(event);
        tell(kind, &value);
    }
}

fn tell(kind: &str, value: &Value) {
    let line = format!("{kind} {value}\n");
    let mut out = io::stdout().lock();
    let told = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    // Where nobody reads, the node is gone, and the end of the input says so, too.
    let _gone = told;
}
