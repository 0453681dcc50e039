//! `task run`: in this process, or on the node that is named by its URL.

use super::Opened;
use super::console::Console;
use super::elsewhere;
use crate::args::{Sandboxing, TaskRun};
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::Coded;
use mainstay_node::{TaskOptions, TaskSandbox, collect_results, run_tasks};
use mainstay_runner::{Stop, Summary};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(crate) async fn run(context: &Context, args: TaskRun) -> Result<ExitCode, CliError> {
    let signals = signals().map_err(|error| CliError::Runtime(error.to_string()))?;
    match &context.global.url {
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
        tokio::task::spawn_blocking(move || work(&own, &args, &stop))
    };
    let mut ended_by = None;
    let summary = loop {
        tokio::select! {
            summary = &mut worker => break summary,
            Some(signal) = signals.recv() => {
                ended_by.get_or_insert(signal);
                stop.ask();
            }
        }
    };
    let summary = summary.map_err(|error| CliError::Runtime(error.to_string()))??;
    let failure = summary.failure().map(|report| report.code.info().exit);
    Ok(exit(ended_by.filter(|_| summary.is_stopped), failure))
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

fn work(context: &Context, args: &TaskRun, stop: &Stop) -> Result<Summary, CliError> {
    let opened = Opened::new(context)?;
    let targets = opened.targets(&args.targets)?;
    let Opened {
        workspace, store, ..
    } = &opened;
    let options = options(args, !context.output.is_json);
    let console = Console::new(context.output);
    let ran = run_tasks(workspace, store, &targets, &options, stop, &console);
    let summary = ran.map_err(|error| error.report())?;
    console.show(&mainstay_runner::summary_line(&summary));
    if let Some(path) = &args.profile {
        let records = serde_json::to_value(&summary.tasks);
        let records = records.map_err(|error| CliError::Runtime(error.to_string()))?;
        let records = records.as_array().map_or(&[][..], Vec::as_slice);
        super::profile::write(path, records, &mainstay_runner::summary_line(&summary))?;
    }
    collect_results(workspace, store);
    // The system takes it all back faster than we can.
    std::mem::forget(opened);
    Ok(summary)
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
