//! What a person, or a program, sees of a run: the outputs of commands on stdout and stderr as they were,
//! everything else on stderr; or one JSON line for each event. The run may be here or on a node elsewhere.

use crate::output::Output;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mainstay_contract::ErrorReport;
use mainstay_runner::{Event, Listener, event_line};
use mainstay_tasks::{Change, Stream};
use serde_json::Value;
use std::io::{Write, stderr, stdout};

/// Shows a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    output: Output,
}

impl Console {
    pub(super) fn new(output: Output) -> Self {
        Self { output }
    }

    /// Shows an event of a run, as it is told in JSON.
    pub(super) fn show(self, event: &Value) {
        if self.output.is_json {
            return self.output.json(event);
        }
        let task = text(&event["task"]);
        match text(&event["event"]) {
            "started" if event["attempt"] != 1 => {
                self.output
                    .note(&format!("{task}: try {}", event["attempt"]));
            }
            "ready" => self.output.note(&format!("{task}: ready")),
            "waiting" => {
                self.output
                    .note(&format!("{task}: waits for another run in this workspace"));
            }
            "output" => say(event),
            "dropped" => {
                let (from, to) = (&event["from"], &event["to"]);
                self.output.note(&format!(
                    "events {from} to {to} are missing: the node no longer has them"
                ));
            }
            "jobserver" => {
                let failure = text(&event["failure"]);
                let line = format!("make is not asked how much may run at once: {failure}");
                self.output.note(&line);
            }
            "watching" => self.output.note("watching for changes"),
            "round" => self.round(event),
            "restless" => {
                let what = several(&event["changes"]);
                let line = format!(
                    "{task}: {what}, again while the tasks ran; that begins no further round"
                );
                self.output.note(&line);
            }
            "ended" => self.ended(task, event),
            "summary" => self.summary(event),
            _ => {}
        }
    }

    /// Shows why nothing can be run.
    pub(super) fn failure(self, report: &ErrorReport) {
        self.output.failure(report);
    }

    /// Shows why a round begins.
    fn round(self, round: &Value) {
        if round["manifests"] == true {
            self.output.note("the manifests changed");
        }
        for changed in list(&round["changed"]) {
            let task = text(&changed["task"]);
            let what = several(&changed["changes"]);
            self.output.note(&format!("{task}: {what}"));
        }
    }

    fn summary(self, summary: &Value) {
        if let Some(failure) = summary["remote_failure"].as_str() {
            self.output.note(&format!(
                "the remote cache was not used any further: {failure}"
            ));
        }
        let saved = match number(&summary["saved_ms"]) {
            0..100 => String::new(),
            ms => format!(", saved {}", seconds(ms)),
        };
        let parts = counted(summary).join(", ");
        let took = seconds(number(&summary["took_ms"]));
        self.output.note(&format!("{parts} · {took}{saved}"));
        let way: Vec<&str> = list(&summary["critical_path"]).map(text).collect();
        if number(&summary["ran"]) > 1 && way.len() > 1 {
            let took = seconds(number(&summary["critical_ms"]));
            let way = way.join(" → ");
            self.output.note(&format!("longest way: {way} ({took})"));
        }
    }

    fn ended(self, task: &str, record: &Value) {
        let outcome = text(&record["outcome"]);
        let line = match outcome {
            "restored" => Some(format!("{task}: restored, {} written", record["written"])),
            "ran" => {
                let took = seconds(number(&record["took_ms"]));
                Some(format!("{task}: ran, {took}{}", unkept(&record["cached"])))
            }
            "cancelled" => Some(format!("{task}: stopped")),
            _ => None,
        };
        if let Some(line) = line {
            self.output.note(&line);
        }
        let undeclared = &record["undeclared"];
        for (key, word) in [
            ("reads", "reads"),
            ("writes", "writes"),
            ("hidden", "asks for"),
        ] {
            for path in list(&undeclared[key]) {
                let path = text(path);
                let line = format!("{task}: {word} `{path}`, which it does not declare");
                self.output.note(&line);
            }
        }
        for path in list(&record["passed_over"]).map(text) {
            let line = format!("{task}: `{path}` is a pipe, a socket or a device, and is not kept");
            self.output.note(&line);
        }
        let escaped = number(&record["escaped"]);
        if escaped > 0 {
            self.output.note(&format!(
                "{task}: ended {escaped} process(es) that it left behind"
            ));
        }
        if outcome != "cancelled" {
            for report in list(&record["reports"]).filter_map(report) {
                self.output.failure(&report);
            }
        }
    }
}

impl Listener for Console {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Output { stream, bytes, .. } if !self.output.is_json => pass(*stream, bytes),
            // Of many thousands, most have nothing to say.
            Event::Ended(record) if !self.output.is_json && record.is_silent() => {}
            event => self.show(&event_line(event).1),
        }
    }
}

/// Passes on what a command said.
fn pass(stream: Stream, bytes: &[u8]) {
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

/// Passes on what a command said elsewhere.
fn say(event: &Value) {
    let stream = match text(&event["stream"]) {
        "stderr" => Stream::Stderr,
        _ => Stream::Stdout,
    };
    match event["base64"]
        .as_str()
        .map(|code| BASE64_STANDARD.decode(code))
    {
        None => pass(stream, text(&event["text"]).as_bytes()),
        Some(Ok(bytes)) => pass(stream, &bytes),
        Some(Err(error)) => tracing::error!(%error, "a piece of output is damaged"),
    }
}

/// A report as it was told.
pub(super) fn report(told: &Value) -> Option<ErrorReport> {
    serde_json::from_value(told.clone()).ok()
}

/// How many tasks ended in which way, where any did.
fn counted(summary: &Value) -> Vec<String> {
    let counts = [
        "ran",
        "restored",
        "up_to_date",
        "failed",
        "skipped",
        "cancelled",
        "not_started",
    ];
    counts
        .iter()
        .map(|key| (key.replace('_', " "), number(&summary[*key])))
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect()
}

/// Why a result is not in the cache, where somebody may have expected it there.
fn unkept(cached: &Value) -> String {
    match text(&cached["state"]) {
        "inputs_changed" => {
            let what = several(&cached["changes"]);
            format!("; not cached, because meanwhile {what}")
        }
        "unclear" => {
            let path = text(&cached["path"]);
            format!(
                "; not cached: `{path}` is among its outputs and was there before; remove it, or exclude it there with `!`"
            )
        }
        "undeclared" => {
            let path = text(&cached["path"]);
            format!("; not cached, because `{path}` was changed, which it does not declare")
        }
        "failed" => "; not cached".to_owned(),
        _ => String::new(),
    }
}

/// The first of some changes, and how many there are besides.
fn several(told: &Value) -> String {
    let mut changes = list(told);
    let first = changes.next().and_then(change);
    let first = first.unwrap_or("something changed".to_owned());
    match changes.count() {
        0 => first,
        count => format!("{first} (and {count} more)"),
    }
}

/// A difference as it was told.
fn change(told: &Value) -> Option<String> {
    let change: Change = serde_json::from_value(told.clone()).ok()?;
    Some(super::show::change(&change))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn seconds(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}
