//! The one binary. It parses arguments, hands the work to a node (its own or another), shows what
//! comes back, and ends with an exit code that means something.
//!
//! The sandbox starts this same program again under the name `__sandbox`, a watched command under `__observe`,
//! and who opens a view and may not mount under `__view`; that has to be seen before any thread exists, which
//! is why nothing here runs before the check. A node's run of tasks is this
//! program, too, and so is a model that runs on this machine.

mod args;
mod client;
mod commands;
mod context;
mod demo;
mod error;
mod output;
mod pages;

use clap::Parser;
use mainstay_contract::{Code, Coded, ErrorReport};
use std::process::ExitCode;

/// A request makes some hundreds of small allocations, which this allocator does in half the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(word) if word == "__sandbox" => {
            mainstay_runtimes::sandbox::sandbox_main(mainstay_runtimes::files::run)
        }
        Some(word) if word == "__observe" => mainstay_runtimes::observe::observe_main(),
        Some(word) if word == "__view" => mainstay_runtimes::workspace::merged::view_main(),
        _ => {}
    }
    mainstay_runtimes::signals::wait_for_children();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == mainstay_node::TASK_WORKER)
    {
        start_log();
        return mainstay_node::task_worker_main();
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == mainstay_node::MODEL_WORKER)
    {
        start_log();
        return mainstay_node::model_worker_main();
    }
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = output::Output::new(cli.global.json, cli.global.quiet);
    start_log();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers())
        .thread_stack_size(mainstay_runner::STACK)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&error::CliError::Runtime(error.to_string()).report());
            return ExitCode::from(70);
        }
    };
    let ended = runtime.block_on(commands::run(cli, output));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match ended {
        Ok(code) => code,
        Err(error) => {
            let report = error.report();
            output.failure(&report);
            ExitCode::from(report.code.info().exit)
        }
    }
}

/// Half of the cores, one at least. What computes or blocks has threads of its own, and with every event that
/// a worker hears it wakes another one to look for work: that costs a request more than it waits for.
fn workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).max(1)
}

/// Shows help, or what is wrong with the arguments; as a report too where JSON was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && is_json {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.trim_start_matches("error: ");
        let report = ErrorReport::new(Code::InvalidRequest, message);
        output::Output::new(true, false).failure(&report);
    }
    let _closed = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Logs go to stderr, warnings by default; `MAINSTAY_LOG` chooses otherwise.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MAINSTAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
