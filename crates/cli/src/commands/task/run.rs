//! `task run`.

use super::Opened;
use super::console::Console;
use crate::args::{Sandboxing, TaskRun};
use crate::context::Context;
use crate::error::CliError;
use mainstay_node::{SharedCache, TaskWatcher};
use mainstay_runner::{
    Budget, Environment, Jobserver, Options, Remote, Runner, Stop, Summary, Watch,
};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// How a command came to its end.
pub(super) struct Ended {
    /// The exit code that follows from what was run last.
    pub(super) code: u8,
    /// Whether somebody stopped what was under way.
    pub(super) is_stopped: bool,
}

impl Ended {
    pub(super) fn of(summary: &Summary) -> Self {
        let failure = summary.failure();
        Self {
            code: failure.map_or(0, |report| report.code.info().exit),
            is_stopped: summary.is_stopped,
        }
    }
}

pub(crate) async fn run(context: &Context, args: TaskRun) -> Result<ExitCode, CliError> {
    let system = |error: io::Error| CliError::Runtime(error.to_string());
    mainstay_runtimes::signals::wait_for_children();
    let stop = Arc::new(Stop::new().map_err(system)?);
    let ended_by = listen(&stop).map_err(system)?;
    let own = context.clone();
    let worker = {
        let stop = Arc::clone(&stop);
        tokio::task::spawn_blocking(move || match args.watch {
            true => super::watch::watch(&own, &args, &stop),
            false => work(&own, &args, &stop),
        })
    };
    let ended = worker
        .await
        .map_err(|error| CliError::Runtime(error.to_string()))??;
    if ended.is_stopped
        && let Some(signal) = ended_by.try_recv().ok()
    {
        return Ok(ExitCode::from(128_u8.saturating_add(signal)));
    }
    Ok(ExitCode::from(ended.code))
}

/// Passes every signal that ends a run on to it. What comes back names the first.
fn listen(stop: &Arc<Stop>) -> io::Result<std::sync::mpsc::Receiver<u8>> {
    let (told, first) = std::sync::mpsc::channel();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    for kind in kinds {
        let mut signals = signal(kind)?;
        let stop = Arc::clone(stop);
        let told = told.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _nobody_listens = told.send(u8::try_from(kind.as_raw_value()).unwrap_or(0));
                stop.ask();
            }
        });
    }
    Ok(first)
}

fn work(context: &Context, args: &TaskRun, stop: &Stop) -> Result<Ended, CliError> {
    let opened = Opened::new(context)?;
    let targets = opened.targets(&args.targets)?;
    let console = Console::new(context.output);
    let make = jobserver(&console);
    let summary = with_runner(&opened, make.as_ref(), |runner| {
        let ran = runner.run(&targets, &options(context, args, &opened), stop, &console);
        ran.map_err(|error| CliError::Runtime(error.to_string()))
    })?;
    conclude(args, &opened, &console, &summary)?;
    if let Some(failure) = make.as_ref().and_then(Jobserver::failure) {
        console.jobserver(&failure);
    }
    // The system takes it all back faster than we can.
    std::mem::forget(opened);
    Ok(Ended::of(&summary))
}

/// The make that started this program, where it shares its jobs; one that cannot be asked is told of once.
pub(super) fn jobserver(console: &Console) -> Option<Jobserver> {
    Jobserver::inherited(&Environment::here()).unwrap_or_else(|error| {
        console.jobserver(&error.to_string());
        None
    })
}

/// A runner of a workspace, with all that its tasks may ask for.
pub(super) fn with_runner<T>(
    opened: &Opened,
    make: Option<&Jobserver>,
    body: impl FnOnce(&Runner<'_>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let shared = SharedCache::of(&opened.workspace).map_err(|report| *report)?;
    let exe = std::env::current_exe().map_err(|error| CliError::Runtime(error.to_string()))?;
    let watcher = TaskWatcher::new(exe);
    let runner = opened
        .runner()?
        .with_remote(shared.as_ref().map(|shared| shared as &dyn Remote))
        .with_watcher(&watcher)
        .with_make(make);
    body(&runner)
}

/// How the arguments want a workspace's tasks to run.
pub(super) fn options(context: &Context, args: &TaskRun, opened: &Opened) -> Options {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u32::try_from(cores).unwrap_or(1);
    Options {
        jobs: args.jobs.or(opened.workspace.jobs).unwrap_or(cores),
        // Who wants to see what commands do wants them to run.
        is_forced: args.force || args.sandbox == Sandboxing::Trace,
        watch: match args.sandbox {
            Sandboxing::Off => None,
            Sandboxing::Trace => Some(Watch::Trace),
            Sandboxing::Enforce => Some(Watch::Enforce),
        },
        keeps_going: args.keep_going,
        is_open_floor: context.output.is_json,
    }
}

/// What follows a run.
pub(super) fn conclude(
    args: &TaskRun,
    opened: &Opened,
    console: &Console,
    summary: &Summary,
) -> Result<(), CliError> {
    console.summary(summary);
    if let Some(path) = &args.profile {
        super::profile::write(path, summary)?;
    }
    let limits = &opened.workspace.cache;
    let usual = Budget::default();
    opened.store.collect_now_and_then(Budget {
        bytes: limits.size_max.unwrap_or(usual.bytes),
        age: limits.age_max.unwrap_or(usual.age),
    });
    Ok(())
}
