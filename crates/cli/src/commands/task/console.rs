//! What a person, or a program, sees of a run: the outputs of commands on stdout and stderr as they were,
//! everything else on stderr; or one JSON line for each event.

use crate::output::Output;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mainstay_runner::{Cached, Event, Listener, Outcome, Summary, TaskRecord, totals};
use mainstay_tasks::Stream;
use serde_json::{Value, json};
use std::io::{Write, stderr, stdout};

/// Shows a run.
#[derive(Debug)]
pub(super) struct Console {
    output: Output,
}

impl Console {
    pub(super) fn new(output: Output) -> Self {
        Self { output }
    }

    /// Shows what a run came to.
    pub(super) fn summary(&self, summary: &Summary) {
        if self.output.is_json {
            let mut value = totals(summary);
            if let Some(fields) = value.as_object_mut() {
                let own = json!({
                    "event": "summary", "took_ms": summary.took_ms,
                    "critical_path": summary.critical_path, "critical_ms": summary.critical_ms,
                    "stopped": summary.is_stopped, "remote_failure": summary.remote_failure, "failure": summary.failure(),
                });
                fields.extend(own.as_object().cloned().unwrap_or_default());
            }
            return self.output.json(&value);
        }
        if let Some(failure) = &summary.remote_failure {
            self.output.note(&format!(
                "the remote cache was not used any further: {failure}"
            ));
        }
        let parts = counted(summary);
        let saved: u64 = summary.tasks.iter().map(|task| task.saved_ms).sum();
        let saved = match saved {
            0..100 => String::new(),
            ms => format!(", saved {}", seconds(ms)),
        };
        let took = seconds(summary.took_ms);
        self.output
            .note(&format!("{} · {took}{saved}", parts.join(", ")));
        if summary.count(|o| matches!(o, Outcome::Ran)) > 1 && summary.critical_path.len() > 1 {
            let names: Vec<String> = summary
                .critical_path
                .iter()
                .map(ToString::to_string)
                .collect();
            let way = names.join(" → ");
            let took = seconds(summary.critical_ms);
            self.output.note(&format!("longest way: {way} ({took})"));
        }
    }

    fn ended(&self, record: &TaskRecord) {
        let task = &record.task;
        let took = seconds(record.took_ms);
        let line = match &record.outcome {
            Outcome::UpToDate | Outcome::NotStarted => None,
            Outcome::Restored { written } => Some(format!("{task}: restored, {written} written")),
            Outcome::Ran => Some(format!("{task}: ran, {took}{}", unkept(record))),
            Outcome::Cancelled => Some(format!("{task}: stopped")),
            Outcome::Failed { .. }
            | Outcome::TimedOut
            | Outcome::NotReady { .. }
            | Outcome::Errored
            | Outcome::Skipped { .. } => None,
        };
        if let Some(line) = line {
            self.output.note(&line);
        }
        if let Some(undeclared) = &record.undeclared {
            for (word, paths) in [
                ("reads", &undeclared.reads),
                ("writes", &undeclared.writes),
                ("asks for", &undeclared.hidden),
            ] {
                for path in paths {
                    let line = format!("{task}: {word} `{path}`, which it does not declare");
                    self.output.note(&line);
                }
            }
        }
        for path in &record.passed_over {
            let line = format!("{task}: `{path}` is a pipe, a socket or a device, and is not kept");
            self.output.note(&line);
        }
        if record.escaped > 0 {
            let count = record.escaped;
            self.output.note(&format!(
                "{task}: ended {count} process(es) that it left behind"
            ));
        }
        if !matches!(record.outcome, Outcome::Cancelled) {
            for report in &record.reports {
                self.output.failure(report);
            }
        }
    }
}

/// How many tasks ended in which way, where any did.
fn counted(summary: &Summary) -> Vec<String> {
    let counts = [
        ("ran", summary.count(|o| matches!(o, Outcome::Ran))),
        (
            "restored",
            summary.count(|o| matches!(o, Outcome::Restored { .. })),
        ),
        (
            "up to date",
            summary.count(|o| matches!(o, Outcome::UpToDate)),
        ),
        ("failed", summary.count(Outcome::is_failure)),
        (
            "skipped",
            summary.count(|o| matches!(o, Outcome::Skipped { .. })),
        ),
        (
            "cancelled",
            summary.count(|o| matches!(o, Outcome::Cancelled)),
        ),
        (
            "not started",
            summary.count(|o| matches!(o, Outcome::NotStarted)),
        ),
    ];
    counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect()
}

/// Why a result is not in the cache, where somebody may have expected it there.
fn unkept(record: &TaskRecord) -> String {
    match &record.cached {
        Cached::InputsChanged { changes } => {
            let first = changes
                .first()
                .map_or("something changed".to_owned(), super::show::change);
            let more = match changes.len() {
                0 | 1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            format!("; not cached, because meanwhile {first}{more}")
        }
        Cached::Undeclared { path } => {
            format!("; not cached, because `{path}` was changed, which it does not declare")
        }
        Cached::Failed => "; not cached".to_owned(),
        _ => String::new(),
    }
}

fn seconds(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

impl Listener for Console {
    fn on(&self, event: &Event<'_>) {
        if self.output.is_json {
            return self.output.json(&line(event));
        }
        match event {
            Event::Started { attempt: 1, .. } => {}
            Event::Started { task, attempt } => {
                self.output.note(&format!("{task}: try {attempt}"));
            }
            Event::Ready { task } => self.output.note(&format!("{task}: ready")),
            Event::Waiting { task } => {
                self.output
                    .note(&format!("{task}: waits for another run in this workspace"));
            }
            Event::Output { stream, bytes, .. } => {
                let written = match stream {
                    Stream::Stdout => {
                        let mut out = stdout().lock();
                        out.write_all(bytes).and_then(|()| out.flush())
                    }
                    Stream::Stderr => stderr().lock().write_all(bytes),
                };
                // Whoever reads no more does not keep the work from going on.
                let _closed = written;
            }
            Event::Ended(record) => self.ended(record),
        }
    }
}

/// An event as a line.
fn line(event: &Event<'_>) -> Value {
    match event {
        Event::Started { task, attempt } => {
            json!({"event": "started", "task": task, "attempt": attempt})
        }
        Event::Ready { task } => json!({"event": "ready", "task": task}),
        Event::Waiting { task } => json!({"event": "waiting", "task": task}),
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
            json!({"event": "output", "task": task, "stream": stream, "replay": is_replay, key: text})
        }
        Event::Ended(record) => {
            let mut value = serde_json::to_value(record).unwrap_or_default();
            if let Some(fields) = value.as_object_mut() {
                fields.insert("event".to_owned(), json!("ended"));
            }
            value
        }
    }
}
