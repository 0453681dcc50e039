//! `task run`: in this process, or on the node that is named by its URL.

use super::Opened;
use super::console::Console;
use super::elsewhere;
use crate::args::{Sandboxing, TaskRun};
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, ErrorReport};
use mainstay_node::{TaskOptions, TaskSandbox, collect_results, with_task_runner};
use mainstay_runner::{Environment, Jobserver, Runner, Stop, Summary, summary_line};
use serde_json::json;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How a command came to its end.
pub(super) struct Ended {
    /// The exit code that follows from what was run last.
    pub(super) code: Option<u8>,
    /// Whether somebody stopped what was under way.
    pub(super) is_stopped: bool,
}

impl Ended {
    pub(super) fn of(summary: &Summary) -> Self {
        Self {
            code: summary.failure().map(|report| report.code.info().exit),
            is_stopped: summary.is_stopped,
        }
    }
}

pub(crate) async fn run(context: &Context, args: TaskRun) -> Result<ExitCode, CliError> {
    let signals = signals().map_err(|error| CliError::Runtime(error.to_string()))?;
    match &context.global.url {
        Some(_) if args.watch => {
            let message = "a node elsewhere does not watch its workspace for changes";
            let report = ErrorReport::new(Code::InvalidRequest, message);
            Err(report.hint("leave --watch or --url out").into())
        }
        Some(url) => elsewhere::run(context, url, &args, signals).await,
        None => here(context, args, signals).await,
    }
}

async fn here(
    context: &Context,
    args: TaskRun,
    mut signals: Signals,
) -> Result<ExitCode, CliError> {
    let stop = Stop::new().map_err(|error| CliError::Runtime(error.to_string()))?;
    let stop = Arc::new(stop);
    let own = context.clone();
    let mut worker = {
        let stop = Arc::clone(&stop);
        tokio::task::spawn_blocking(move || match args.watch {
            true => super::watch::watch(&own, &args, &stop),
            false => work(&own, &args, &stop),
        })
    };
    let mut ended_by = None;
    let ended = loop {
        tokio::select! {
            ended = &mut worker => break ended,
            Some(signal) = signals.recv() => {
                ended_by.get_or_insert(signal);
                stop.ask();
            }
        }
    };
    let ended = ended.map_err(|error| CliError::Runtime(error.to_string()))??;
    Ok(exit(ended_by.filter(|_| ended.is_stopped), ended.code))
}

/// The exit code of a run that a signal ended, or that failed, or neither.
pub(super) fn exit(ended_by: Option<u8>, failure: Option<u8>) -> ExitCode {
    let signalled = ended_by.map(|signal| 128_u8.saturating_add(signal));
    ExitCode::from(signalled.or(failure).unwrap_or(0))
}

/// Signals that end a run, by their numbers.
pub(super) type Signals = UnboundedReceiver<u8>;

fn signals() -> io::Result<Signals> {
    let (told, heard) = unbounded_channel();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    for kind in kinds {
        let mut signals = signal(kind)?;
        let told = told.clone();
        let number = u8::try_from(kind.as_raw_value()).unwrap_or(0);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _nobody_listens = told.send(number);
            }
        });
    }
    Ok(heard)
}

fn work(context: &Context, args: &TaskRun, stop: &Stop) -> Result<Ended, CliError> {
    let opened = Opened::new(context)?;
    let targets = opened.targets(&args.targets)?;
    let console = Console::new(context.output);
    let make = jobserver(console);
    let options = options(args, !context.output.is_json).of(&opened.workspace);
    let summary = with_runner(&opened, make.as_ref(), |runner| {
        let ran = runner.run(&targets, &options, stop, &console);
        ran.map_err(|error| CliError::Runtime(error.to_string()))
    })?;
    conclude(args, &opened, console, &summary)?;
    if let Some(failure) = make.as_ref().and_then(Jobserver::failure) {
        console.show(&json!({"event": "jobserver", "failure": failure}));
    }
    // The system takes it all back faster than we can.
    std::mem::forget(opened);
    Ok(Ended::of(&summary))
}

/// The make that started this program, where it shares its jobs; one that cannot be asked is told of once.
pub(super) fn jobserver(console: Console) -> Option<Jobserver> {
    Jobserver::inherited(&Environment::here()).unwrap_or_else(|error| {
        let failure = error.to_string();
        console.show(&json!({"event": "jobserver", "failure": failure}));
        None
    })
}

/// A runner of a workspace, with all that its tasks may ask for.
pub(super) fn with_runner<T>(
    opened: &Opened,
    make: Option<&Jobserver>,
    body: impl FnOnce(&Runner<'_>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    with_task_runner(&opened.workspace, &opened.store, |runner| {
        body(&runner.with_make(make))
    })
}

/// What follows a run.
pub(super) fn conclude(
    args: &TaskRun,
    opened: &Opened,
    console: Console,
    summary: &Summary,
) -> Result<(), CliError> {
    let last = summary_line(summary);
    console.show(&last);
    if let Some(path) = &args.profile {
        let records = serde_json::to_value(&summary.tasks);
        let records = records.map_err(|error| CliError::Runtime(error.to_string()))?;
        let records = records.as_array().map_or(&[][..], Vec::as_slice);
        super::profile::write(path, records, &last)?;
    }
    collect_results(&opened.workspace, &opened.store);
    Ok(())
}

/// How a run was asked for.
pub(super) fn options(args: &TaskRun, is_grouped: bool) -> TaskOptions {
    TaskOptions {
        jobs: args.jobs,
        force: args.force,
        keep_going: args.keep_going,
        sandbox: match args.sandbox {
            Sandboxing::Off => TaskSandbox::Off,
            Sandboxing::Trace => TaskSandbox::Trace,
            Sandboxing::Enforce => TaskSandbox::Enforce,
        },
        grouped: is_grouped,
    }
}
