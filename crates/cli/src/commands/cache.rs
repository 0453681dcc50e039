//! `cache`: the results of tasks on this machine.

use crate::args::{CacheCommand, CacheGc, CacheServe};
use crate::commands::task::store;
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, ErrorReport};
use mainstay_remote::{CacheServer, ServeError, ServerOptions};
use mainstay_runner::Budget;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Holds the token of a served cache.
const TOKEN: &str = "MAINSTAY_CACHE_TOKEN";

pub(crate) async fn run(context: &Context, command: CacheCommand) -> Result<ExitCode, CliError> {
    let store = store(context)?;
    let output = context.output;
    let failed = |error: std::io::Error| {
        let message = format!("the cache at {} failed: {error}", store.folder().display());
        CliError::from(ErrorReport::new(Code::StoreIoFailed, message))
    };
    match command {
        CacheCommand::Info => {
            let usage = store.usage().map_err(failed)?;
            if output.is_json {
                output.json(&json!({"folder": store.folder(), "usage": usage}));
            } else {
                let size = size(usage.bytes);
                output.line(&format!("{}", store.folder().display()));
                output.line(&format!(
                    "{} results, {} removed ones remembered, {} blobs, {size}",
                    usage.results, usage.evicted, usage.blobs
                ));
            }
        }
        CacheCommand::Gc(CacheGc { max_size, max_age }) => {
            let usual = Budget::default();
            let collected = store
                .collect(Budget {
                    bytes: max_size.unwrap_or(usual.bytes),
                    age: max_age.map_or(usual.age, Duration::from_secs),
                })
                .map_err(failed)?;
            if output.is_json {
                output.json(&collected);
            } else {
                output.line(&format!(
                    "removed {} results and {} blobs, {}; {} are left",
                    collected.results,
                    collected.blobs,
                    size(collected.bytes),
                    size(collected.bytes_left)
                ));
            }
        }
        CacheCommand::Serve(args) => return serve(context, args).await,
        CacheCommand::Purge => {
            store.purge().map_err(failed)?;
            output.note("the cache is empty");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until somebody ends it. The token that clients have to send, if any, comes from the environment,
/// where other users do not see it.
async fn serve(context: &Context, args: CacheServe) -> Result<ExitCode, CliError> {
    let folder = match args.dir {
        Some(dir) => dir,
        None => context.cache_dir()?.join("served"),
    };
    let mut options = ServerOptions::new(folder.clone());
    options.token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    options.is_read_only = args.read_only;
    options.bytes_max = args.max_size.unwrap_or(options.bytes_max);
    options.age_max = args.max_age.map(Duration::from_secs).or(options.age_max);
    let has_token = options.token.is_some();
    if !has_token && !args.listen.ip().is_loopback() {
        let message = "whoever reaches this address could put anything into the cache";
        let report = ErrorReport::new(Code::InvalidRequest, message);
        return Err(report
            .hint(format!("set {TOKEN}, or listen on 127.0.0.1"))
            .into());
    }
    let failed = |error: ServeError| {
        let code = match &error {
            ServeError::InUse { .. } => Code::StoreLocked,
            _ => Code::StoreIoFailed,
        };
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let report = ErrorReport::new(code, error.to_string());
        CliError::from(source.into_iter().fold(report, |r, s| r.cause(None, s)))
    };
    let server = CacheServer::open(options).map_err(failed)?;
    let listener = tokio::net::TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| {
        let message = format!("{} cannot be listened on: {error}", args.listen);
        CliError::from(ErrorReport::new(Code::InvalidRequest, message))
    })?;
    let address = listener.local_addr().unwrap_or(args.listen);
    if context.output.is_json {
        context
            .output
            .json(&json!({"listening": address.to_string(), "folder": folder}));
    } else {
        context.output.line(&format!(
            "serving a cache at {address} from {}",
            folder.display()
        ));
        context.output.note(&format!(
            "for tasks: cache: {{remote: {{url: \"grpc://{address}\"}}}}"
        ));
        context
            .output
            .note(&format!("for bazel: --remote_cache=grpc://{address}"));
        context
            .output
            .note(&format!("for turbo: TURBO_API=http://{address}"));
    }
    server.serve(listener, ended()).await.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Until a signal wants the program to end.
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = bytes;
    while rest >= 10_240 && unit + 1 < UNITS.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", UNITS[unit])
}
