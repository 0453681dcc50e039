//! What is told of a run, as JSON: the same on standard output and over HTTP.

use crate::run::{Event, Summary, totals};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// The kind of an event, and the event with all that belongs to it.
#[must_use]
pub fn event_line(event: &Event<'_>) -> (&'static str, Value) {
    match event {
        Event::Started { task, attempt } => (
            "started",
            json!({"event": "started", "task": task, "attempt": attempt}),
        ),
        Event::Ready { task } => ("ready", json!({"event": "ready", "task": task})),
        Event::Waiting { task } => ("waiting", json!({"event": "waiting", "task": task})),
        Event::Output {
            task,
            stream,
            bytes,
            is_replay,
        } => {
            let (key, text) = match std::str::from_utf8(bytes) {
                Ok(text) => ("text", text.to_owned()),
                Err(_) => ("base64", BASE64_STANDARD.encode(bytes)),
            };
            let value = json!({"event": "output", "task": task, "stream": stream, "replay": is_replay, key: text});
            ("output", value)
        }
        Event::Ended(record) => {
            let mut value = serde_json::to_value(record).unwrap_or_default();
            if let Some(fields) = value.as_object_mut() {
                fields.insert("event".to_owned(), json!("ended"));
            }
            ("ended", value)
        }
    }
}

/// What a run came to: its last event.
#[must_use]
pub fn summary_line(summary: &Summary) -> Value {
    let mut value = totals(summary);
    let saved: u64 = summary.tasks.iter().map(|task| task.saved_ms).sum();
    if let Some(fields) = value.as_object_mut() {
        let own = json!({
            "event": "summary", "took_ms": summary.took_ms, "saved_ms": saved,
            "critical_path": summary.critical_path, "critical_ms": summary.critical_ms,
            "stopped": summary.is_stopped, "remote_failure": summary.remote_failure, "failure": summary.failure(),
        });
        fields.extend(own.as_object().cloned().unwrap_or_default());
    }
    value
}
