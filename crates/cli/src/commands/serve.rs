//! `serve`: a node for others, until a signal ends it.

use crate::args::Serve;
use crate::client::{SOCKET, SocketPath};
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::Coded;
use mainstay_node::api::{self, Listen, ServeError};
use mainstay_node::{StoreUrl, blobs_folder};
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) async fn run(context: &Context, args: Serve) -> Result<ExitCode, CliError> {
    let mut config = context.node_config()?;
    if let Some(store) = &args.store {
        config.store = store
            .parse::<StoreUrl>()
            .map_err(|error| CliError::from(error.report()))?;
    }
    let blobs = args.blobs.as_deref().map(blobs_folder).transpose();
    config.blobs = blobs.map_err(|error| CliError::from(error.report()))?;
    let data_dir = config.data_dir.clone();
    let node = context.open_node(config).await?;
    let socket = SocketPath::of(&data_dir, SOCKET).map_err(|error| CliError::File {
        path: data_dir.clone(),
        error,
    })?;
    let key_file = data_dir.join("key");
    let listen = Listen {
        unix: Some(socket.path.clone()),
        tcp: Some(args.listen),
        key: Some(key_file.clone()),
        hosts: args.allow_host,
    };
    let bound = api::bind(listen)
        .await
        .map_err(|error| CliError::from(error.report()))?;
    // Before anybody knows that it is there: whoever does may end it at once.
    let mut signals = Signals::listen()?;
    announce(context, &bound, &key_file);
    let (stop, stopped) = oneshot::channel();
    let serving = node.clone();
    let mut server = tokio::spawn(async move {
        let until = async move { stopped.await.unwrap_or_default() };
        bound.serve(serving, until).await
    });
    let number = signals.next().await;
    context.output.note(
        "ending: runs of tasks are stopped, running turns go on at the next start, requests may end",
    );
    let asked = Instant::now();
    // Whoever follows a run hears how it ended.
    let is_urgent = tokio::select! {
        () = node.close_tasks() => false,
        // Asked again, they are ended at once.
        _ = signals.next() => {
            node.close_tasks().await;
            true
        }
    };
    let _ended = stop.send(match is_urgent {
        true => Duration::ZERO,
        false => args.drain.saturating_sub(asked.elapsed()),
    });
    let (served, ()) = tokio::join!(drained(&mut server, &mut signals), node.rest());
    node.shutdown().await;
    drop(socket);
    served?;
    Ok(match number {
        INTERRUPT => ExitCode::from(128 + INTERRUPT),
        _ => ExitCode::SUCCESS,
    })
}

/// Waits until requests under way have ended, or cuts them at a signal.
async fn drained(
    server: &mut JoinHandle<Result<(), ServeError>>,
    signals: &mut Signals,
) -> Result<(), CliError> {
    let ended = tokio::select! {
        ended = &mut *server => ended,
        _ = signals.next() => {
            tracing::warn!("requests that were still in flight are cut");
            server.abort();
            return Ok(());
        }
    };
    match ended {
        Ok(served) => served.map_err(|error| error.report().into()),
        Err(error) => Err(CliError::Runtime(error.to_string())),
    }
}

fn announce(context: &Context, bound: &api::Bound, key_file: &std::path::Path) {
    let address = bound.tcp().map(|address| format!("http://{address}"));
    if context.output.is_json {
        context
            .output
            .json(&json!({ "listening": address, "key_file": key_file }));
    } else {
        let address = address.unwrap_or_default();
        context.output.line(&format!("listening on {address}"));
        context
            .output
            .note(&format!("the key is in {}", key_file.display()));
    }
}

/// The number of the signal that a terminal sends.
const INTERRUPT: u8 = 2;

/// Signals that end a node.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|error| CliError::Runtime(error.to_string()));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hangup.recv() => 1,
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => 15,
        }
    }
}
