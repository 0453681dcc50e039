//! A profile of a run in the trace event format that browsers show
//! (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>).

use crate::error::CliError;
use mainstay_runner::{Summary, TaskRecord};
use serde_json::{Value, json};
use std::path::Path;

/// Writes the profile of a run.
pub(super) fn write(path: &Path, summary: &Summary) -> Result<(), CliError> {
    let failed = |error| CliError::File {
        path: path.to_owned(),
        error,
    };
    let events = events(summary);
    let value = json!({"traceEvents": events, "displayTimeUnit": "ms"});
    let text = serde_json::to_vec(&value).map_err(|error| failed(error.into()))?;
    std::fs::write(path, text).map_err(failed)
}

/// One bar for each task, in as many rows as ran beside each other.
fn events(summary: &Summary) -> Vec<Value> {
    let mut tasks: Vec<&TaskRecord> = summary.tasks.iter().collect();
    tasks.sort_by_key(|task| task.began_ms);
    let mut rows: Vec<u64> = Vec::new();
    let bars = tasks.into_iter().map(|task| {
        let end = task.began_ms + task.took_ms;
        let free = rows.iter().position(|until| *until <= task.began_ms);
        let row = free.unwrap_or(rows.len());
        match rows.get_mut(row) {
            Some(until) => *until = end,
            None => rows.push(end),
        }
        let is_critical = summary.critical_path.contains(&task.task);
        json!({
            "name": task.task, "cat": "task", "ph": "X", "pid": 1, "tid": row + 1,
            "ts": task.began_ms * 1000, "dur": task.took_ms * 1000,
            "args": {
                "outcome": task.outcome, "key": task.key, "attempts": task.attempts,
                "critical": is_critical,
            },
        })
    });
    bars.collect()
}
