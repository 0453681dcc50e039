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
use tokio::signal::unix::{SignalKind, signal};

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
    let number = wait_for_signal().await?;
    context
        .output
        .note("ending: running turns go on at the next start");
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

async fn wait_for_signal() -> Result<u8, CliError> {
    let listen = |kind| signal(kind).map_err(|error| CliError::Runtime(error.to_string()));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok(2),
        _ = terminate.recv() => Ok(15),
    }
}
