//! `serve`: a node for others, until a signal ends it.

use crate::args::Serve;
use crate::client::{SOCKET, SocketPath};
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::Coded;
use mainstay_node::api::{self, Listen};
use mainstay_node::{StoreUrl, blobs_folder};
use serde_json::json;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    };
    let bound = api::bind(listen)
        .await
        .map_err(|error| CliError::from(error.report()))?;
    // Before anybody knows that it is there: whoever does may end it at once.
    let mut signals = Signals::listen()?;
    announce(context, &bound, &key_file);
    let (stop, _) = tokio::sync::watch::channel(());
    let mut stopped = stop.subscribe();
    let serving = node.clone();
    let server = tokio::spawn(async move {
        let until = async move {
            let _gone = stopped.changed().await;
        };
        bound.serve(serving, until).await
    });
    let number = signals.next().await;
    context
        .output
        .note("ending: runs of tasks are stopped, running turns go on at the next start");
    // Whoever follows a run hears how it ended.
    tokio::select! {
        () = node.close_tasks() => {}
        // Asked again, they are ended at once.
        _ = signals.next() => node.close_tasks().await,
    }
    drop(stop);
    node.shutdown().await;
    match tokio::time::timeout(std::time::Duration::from_secs(10), server).await {
        Ok(Ok(Err(error))) => return Err(error.report().into()),
        Ok(_) => {}
        Err(_) => tracing::warn!("open connections were cut"),
    }
    drop(socket);
    Ok(if number == 15 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(128 + number)
    })
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

/// Signals that end a node.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|error| CliError::Runtime(error.to_string()));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}
