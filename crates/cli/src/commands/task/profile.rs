//! A profile of a run in the trace event format that browsers show
//! (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>).

use crate::error::CliError;
use serde_json::{Value, json};
use std::path::Path;

/// Writes the profile of a run: its tasks as they ended, and what it came to.
pub(super) fn write(path: &Path, ended: &[Value], summary: &Value) -> Result<(), CliError> {
    let failed = |error| CliError::File {
        path: path.to_owned(),
        error,
    };
    let events = events(ended, summary);
    let value = json!({"traceEvents": events, "displayTimeUnit": "ms"});
    let text = serde_json::to_vec(&value).map_err(|error| failed(error.into()))?;
    std::fs::write(path, text).map_err(failed)
}

/// One bar for each task, in as many rows as ran beside each other.
fn events(ended: &[Value], summary: &Value) -> Vec<Value> {
    let ms = |value: &Value| value.as_u64().unwrap_or_default();
    let mut tasks: Vec<&Value> = ended.iter().collect();
    tasks.sort_by_key(|task| ms(&task["began_ms"]));
    let critical = summary["critical_path"].as_array();
    let mut rows: Vec<u64> = Vec::new();
    let bars = tasks.into_iter().map(|task| {
        let began = ms(&task["began_ms"]);
        let end = began + ms(&task["took_ms"]);
        let free = rows.iter().position(|until| *until <= began);
        let row = free.unwrap_or(rows.len());
        match rows.get_mut(row) {
            Some(until) => *until = end,
            None => rows.push(end),
        }
        let is_critical = critical.is_some_and(|path| path.contains(&task["task"]));
        json!({
            "name": task["task"], "cat": "task", "ph": "X", "pid": 1, "tid": row + 1,
            "ts": began * 1000, "dur": (end - began) * 1000,
            "args": {
                "outcome": task["outcome"], "key": task["key"], "attempts": task["attempts"],
                "critical": is_critical,
            },
        })
    });
    bars.collect()
}
