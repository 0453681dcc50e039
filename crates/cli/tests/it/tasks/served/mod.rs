//! Runs of tasks on a node, over HTTP and with `--url`.

mod bounds;
mod elsewhere;
mod ends;
mod runs;

use super::Tasks;
use crate::harness::{LIMIT, Server, wait_until};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const RUNS: &str = "/api/tasks/runs";

/// Goes on once somebody has written `go`.
const WAITS: &str = "echo up; until test -e go; do sleep 0.01; done; echo down";

/// Hears nothing, and leaves somebody behind who does not either.
const STUBBORN: &str = "trap \"\" TERM INT; setsid sh -c \"echo \\$\\$ > left; exec sleep 1000\" & \
                        echo $$ > pid; echo up; while :; do sleep 0.01; done";

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
struct Frame {
    id: u64,
    kind: String,
    data: Value,
}

/// Reads the events of a run until there are enough, or to the end.
async fn frames(server: &Server, run: &str, after: Option<u64>, enough: usize) -> Vec<Frame> {
    let mut request = server
        .client()
        .get(format!("{}{RUNS}/{run}/events", server.url))
        .bearer_auth(&server.key)
        .header("accept", "text/event-stream");
    if let Some(after) = after {
        request = request.header("last-event-id", after.to_string());
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let (mut stream, mut text) = (response.bytes_stream(), Vec::new());
    let mut frames = Vec::new();
    while frames.len() < enough {
        let next = tokio::time::timeout(LIMIT, stream.next()).await.unwrap();
        let Some(chunk) = next else { break };
        text.extend_from_slice(&chunk.unwrap());
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            frames.extend(parse(std::str::from_utf8(&frame).unwrap()));
        }
    }
    frames
}

fn parse(text: &str) -> Option<Frame> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Some(Frame {
        id: field("id: ")?.parse().unwrap(),
        kind: field("event: ")?.to_owned(),
        data: serde_json::from_str(field("data: ")?).unwrap(),
    })
}

async fn begin(server: &Server, task: &str) -> String {
    let (status, run) = server.post(RUNS, &json!({ "tasks": [task] })).await;
    assert_eq!((status, &run["state"]), (202, &json!("running")), "{run}");
    run["id"].as_str().unwrap().to_owned()
}

/// Waits until a run is over.
async fn over(server: &Server, run: &str) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (_, view) = server.get(&format!("{RUNS}/{run}")).await;
        if view["state"] != "running" {
            return view;
        }
        assert!(Instant::now() < deadline, "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn cancel(server: &Server, run: &str) -> u16 {
    let path = format!("{RUNS}/{run}/cancel");
    server.post(&path, &json!({})).await.0
}

/// The process whose number a task wrote down, once it did.
fn process(tasks: &Tasks, name: &str) -> String {
    let mut number = String::new();
    wait_until("it says its number", || {
        number = std::fs::read_to_string(tasks.path(name)).unwrap_or_default();
        number.ends_with('\n')
    });
    number.trim().to_owned()
}

fn is_there(process: &str) -> bool {
    Path::new("/proc").join(process).join("exe").exists()
}

/// Without what differs from run to run.
fn timeless(mut event: Value) -> Value {
    for field in ["took_ms", "began_ms", "critical_ms", "saved_ms", "seq"] {
        event.as_object_mut().unwrap().remove(field);
    }
    event
}
