//! What the tests share: starting models, and waiting for conditions.

use mainstay_local::{
    DeviceChoice, GenerateRequest, Heartbeat, Limits, LocalConfig, LocalError, LocalEvent,
    LocalModel, Patience, RestartBudget, Status, WorkerCommand,
};
use serde_json::json;
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config(device: &str) -> LocalConfig {
    LocalConfig {
        model: "echo:".into(),
        context_length: None,
        threads: None,
        device: device.parse::<DeviceChoice>().unwrap(),
        worker: WorkerCommand {
            exe: env!("CARGO_BIN_EXE_mainstay-model-worker").into(),
            args: Vec::new(),
            env: Vec::new(),
        },
        limits: Limits {
            heartbeat: Heartbeat {
                interval: Duration::from_millis(100),
                deadline: Duration::from_millis(1500),
            },
            restart: RestartBudget {
                restarts_max: 3,
                window: Duration::from_secs(60),
                backoff: Duration::from_millis(10),
                backoff_max: Duration::from_millis(100),
                cool_down: None,
            },
            patience: Patience {
                drain: Duration::from_secs(10),
                grace: Duration::from_secs(1),
            },
            ..Limits::default()
        },
    }
}

pub(crate) fn ask(text: &str) -> GenerateRequest {
    GenerateRequest::new(json!([{ "role": "user", "content": text }]))
}

pub(crate) async fn answer(
    model: &LocalModel,
    request: GenerateRequest,
) -> Result<(String, LocalEvent), LocalError> {
    let mut stream = model.generate(request)?;
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        match event? {
            LocalEvent::Text(piece) => text.push_str(&piece),
            finished @ LocalEvent::Finished { .. } => return Ok((text, finished)),
        }
    }
    panic!("the stream ended without an end");
}

/// Waits until the status is as wanted.
pub(crate) async fn until(
    model: &LocalModel,
    what: &str,
    wanted: impl Fn(&Status) -> bool,
) -> Status {
    let mut watch = model.watch();
    let found = tokio::time::timeout(PATIENCE, watch.wait_for(|status| wanted(status))).await;
    match found {
        Ok(Ok(status)) => status.clone(),
        _ => panic!("never {what}: {:?}", model.status()),
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Whether a process is there, as a zombie even.
pub(crate) fn exists(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Says that a test cannot run here, and why.
#[cfg(any(feature = "cpu", feature = "cuda"))]
pub(crate) fn skipped<T>(why: &str) -> Option<T> {
    println!("skipped: {why}");
    None
}
