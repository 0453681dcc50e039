//! One run of the agent as a process of its own, watched through what it prints.

use super::repository::Repository;
use crate::error::CliError;
use crate::output::Output;
use mainstay_contract::{ErrorReport, Event};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

const INPUT: &str = "The tests fail. Find out why, fix it, and report it.";

/// A run under way.
pub(super) struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    started: Instant,
    seen: Seen,
}

/// What has been seen of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// How often each tool step was started.
    pub(super) tools: BTreeMap<String, u32>,
    /// How often each model step was started.
    pub(super) models: BTreeMap<String, u32>,
    /// From the start of the process to the first step that it started.
    pub(super) first_step: Option<Duration>,
    /// What it was doing last.
    pub(super) last: String,
    /// What a probe said of a step in doubt.
    pub(super) probe: Option<String>,
    /// Whether a step was left in doubt.
    pub(super) is_in_doubt: bool,
    state: Option<String>,
    /// Why it did not get there.
    pub(super) error: Option<ErrorReport>,
}

/// A run that is over.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) seen: Seen,
    pub(super) wall: Duration,
    exit: Option<i32>,
}

impl Ended {
    pub(super) fn is_completed(&self) -> bool {
        self.exit == Some(0) && self.seen.state.as_deref() == Some("completed")
    }
}

impl Watched {
    pub(super) fn start(repository: &Repository, session: &str) -> Result<Self, CliError> {
        let mut command = repository.command()?;
        command
            .args(["--json", "run", "fixer", INPUT, "--session", session])
            .args(["--turn", &format!("{session}-turn")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| CliError::Runtime(error.to_string()))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| CliError::Runtime("no pipe".into()))?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self {
            child,
            lines,
            started,
            seen: Seen::default(),
        })
    }

    /// Watches until the run ends by itself.
    pub(super) async fn until_the_end(
        mut self,
        limit: Duration,
        shown: Option<Output>,
    ) -> Result<Ended, CliError> {
        let watched = tokio::time::timeout(limit, self.watch(shown)).await;
        if watched.is_err() {
            return Err(CliError::Runtime(format!(
                "a run took longer than {limit:?}"
            )));
        }
        self.finish().await
    }

    /// Watches until a moment, then kills it. Nothing is told to the process.
    pub(super) async fn kill_at(mut self, moment: Duration) -> Result<Ended, CliError> {
        let left = moment.saturating_sub(self.started.elapsed());
        let _is_over = tokio::time::timeout(left, self.watch(None)).await;
        self.child
            .start_kill()
            .map_err(|error| CliError::Runtime(error.to_string()))?;
        self.watch(None).await;
        self.finish().await
    }

    async fn watch(&mut self, shown: Option<Output>) {
        while let Ok(Some(line)) = self.lines.next_line().await {
            let Ok(event) = serde_json::from_str::<Event>(&line) else {
                self.take_result(&line);
                continue;
            };
            if let Some(output) = shown {
                show(output, &event);
            }
            self.take_event(&event);
        }
    }

    fn take_result(&mut self, line: &str) {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else {
            return;
        };
        let error = if value["kind"] == "result" {
            self.seen.state = value["data"]["state"].as_str().map(ToOwned::to_owned);
            &value["data"]["error"]
        } else {
            &value
        };
        self.seen.error = serde_json::from_value(error.clone()).ok();
    }

    fn take_event(&mut self, event: &Event) {
        let text = |key: &str| event.data[key].as_str().unwrap_or_default().to_owned();
        let seen = &mut self.seen;
        match event.kind.as_str() {
            "tool_started" => *seen.tools.entry(text("step")).or_default() += 1,
            "model_started" => *seen.models.entry(text("step")).or_default() += 1,
            "tool_in_doubt" => seen.is_in_doubt = true,
            "tool_resolved" => {
                let is_result = event.data["resolution"].get("result").is_some();
                let word = if is_result { "applied" } else { "absent" };
                seen.probe = Some(word.to_owned());
            }
            _ => {}
        }
        if matches!(event.kind.as_str(), "tool_started" | "model_started") {
            seen.first_step
                .get_or_insert_with(|| self.started.elapsed());
        }
        if event.kind == "tool_started" {
            seen.last = text("tool");
        } else if event.kind != "text_delta" && event.kind != "tool_output" {
            seen.last.clone_from(&event.kind);
        }
    }

    async fn finish(mut self) -> Result<Ended, CliError> {
        let status = self.child.wait().await;
        let status = status.map_err(|error| CliError::Runtime(error.to_string()))?;
        Ok(Ended {
            seen: self.seen,
            wall: self.started.elapsed(),
            exit: status.code(),
        })
    }
}

fn show(output: Output, event: &Event) {
    let text = |key: &str| event.data[key].as_str().unwrap_or_default();
    match event.kind.as_str() {
        "text_delta" => output.styled(&format!("  {}", text("text").trim_end())),
        "tool_started" => output.styled(&output.paint("2", &format!("  → {}", text("tool")))),
        _ => {}
    }
}
