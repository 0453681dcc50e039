//! How far a run is: what its worker said, taken in line by line. Decides and does nothing else.

use super::tape::Tape;
use bytes::Bytes;
use mainstay_contract::{Code, ErrorReport, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskRunState {
    /// Its tasks are being run.
    Running,
    /// Everything is as it should be.
    Succeeded,
    /// A task failed, or the run could not go on.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// Whether a run is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// Its worker reads the manifests.
    Asked,
    /// It could not begin.
    Refused(Box<ErrorReport>),
    /// It has begun.
    Accepted(TaskRunState),
}

#[derive(Debug)]
pub(super) struct Progress {
    pub(super) standing: Standing,
    /// Whether somebody asked it to stop.
    pub(super) is_stop_asked: bool,
    pub(super) tape: Tape,
    pub(super) started_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    /// What it came to.
    pub(super) summary: Option<Value>,
    /// The failure that decides the exit code.
    pub(super) error: Option<ErrorReport>,
}

impl Progress {
    pub(super) fn new(now: Timestamp, bytes_max: usize) -> Self {
        Self {
            standing: Standing::Asked,
            is_stop_asked: false,
            tape: Tape::new(bytes_max),
            started_at: now,
            ended_at: None,
            summary: None,
            error: None,
        }
    }

    /// Takes in a line of the worker.
    pub(super) fn hear(&mut self, now: Timestamp, line: Bytes) {
        let space = line.iter().position(|&byte| byte == b' ');
        let kind = line.slice(..space.unwrap_or(line.len()));
        let data = line.slice(space.map_or(line.len(), |at| at + 1)..);
        match kind.as_ref() {
            b"accepted" => {
                self.standing = Standing::Accepted(TaskRunState::Running);
                self.started_at = now;
            }
            b"refused" => self.fail(now, report(&data)),
            b"broken" => {
                let told: Value = serde_json::from_slice(&data).unwrap_or_default();
                let report = report(told["report"].to_string().as_bytes());
                self.tape.push(kind, data);
                self.fail(now, report);
            }
            b"summary" => {
                let summary: Value = serde_json::from_slice(&data).unwrap_or_default();
                self.tape.push(kind, data);
                self.conclude(now, summary);
            }
            _ => self.tape.push(kind, data),
        }
    }

    /// The worker is gone; `how` it ended.
    pub(super) fn end(&mut self, now: Timestamp, how: &str) {
        if self.is_over() {
            return;
        }
        let message = format!("the process that ran the tasks {how} before they were over");
        let report = ErrorReport::new(Code::Internal, message)
            .hint("what it left running is ended when the next run in this workspace begins");
        let told = serde_json::json!({ "event": "broken", "report": report });
        self.tape
            .push(Bytes::from_static(b"broken"), told.to_string().into());
        self.fail(now, report);
    }

    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        !matches!(
            self.standing,
            Standing::Asked | Standing::Accepted(TaskRunState::Running)
        )
    }

    fn conclude(&mut self, now: Timestamp, summary: Value) {
        self.error = serde_json::from_value(summary["failure"].clone()).ok();
        let state = match (summary["stopped"] == true, &self.error) {
            (true, _) => TaskRunState::Stopped,
            (false, Some(_)) => TaskRunState::Failed,
            (false, None) => TaskRunState::Succeeded,
        };
        self.summary = Some(summary);
        self.finish(now, Standing::Accepted(state));
    }

    fn fail(&mut self, now: Timestamp, report: ErrorReport) {
        let standing = match self.standing {
            Standing::Asked => Standing::Refused(Box::new(report.clone())),
            _ => Standing::Accepted(TaskRunState::Failed),
        };
        self.error = Some(report);
        self.finish(now, standing);
    }

    fn finish(&mut self, now: Timestamp, standing: Standing) {
        self.standing = standing;
        self.ended_at = Some(now);
    }
}

fn report(data: &[u8]) -> ErrorReport {
    serde_json::from_slice(data).unwrap_or_else(|error| {
        let message = format!("the report of the process that runs tasks is damaged: {error}");
        ErrorReport::new(Code::Internal, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_contract::Code;
    use serde_json::json;

    fn heard(lines: &[String]) -> Progress {
        let mut progress = Progress::new(Timestamp(1), 1000);
        for line in lines {
            progress.hear(Timestamp(2), line.clone().into());
        }
        progress
    }

    fn summary(is_stopped: bool, failure: &Value) -> String {
        let value = json!({ "event": "summary", "stopped": is_stopped, "failure": failure });
        format!("summary {value}")
    }

    #[test]
    fn the_last_word_says_how_it_ended() {
        let failure = json!(ErrorReport::new(Code::TaskFailed, "x"));
        for (line, state) in [
            (summary(false, &Value::Null), TaskRunState::Succeeded),
            (summary(false, &failure), TaskRunState::Failed),
            (summary(true, &failure), TaskRunState::Stopped),
            (summary(true, &Value::Null), TaskRunState::Stopped),
        ] {
            let mut progress = heard(&["accepted null".into(), "ready {}".into(), line]);
            progress.end(Timestamp(3), "exited");
            assert_eq!(progress.standing, Standing::Accepted(state));
            assert_eq!(progress.ended_at, Some(Timestamp(2)));
            assert_eq!(progress.tape.last(), 2);
        }
    }

    #[test]
    fn who_is_refused_has_not_begun() {
        let report = ErrorReport::new(Code::NotFound, "no such task");
        let progress = heard(&[format!("refused {}", json!(report))]);
        assert_eq!(progress.standing, Standing::Refused(Box::new(report)));
        assert_eq!(progress.tape.last(), 0);
    }

    #[test]
    fn a_worker_that_is_gone_has_failed() {
        let mut progress = heard(&["accepted null".into()]);
        assert!(!progress.is_over());
        progress.end(Timestamp(3), "was ended by signal 9");
        assert_eq!(progress.standing, Standing::Accepted(TaskRunState::Failed));
        assert_eq!(progress.error.map(|error| error.code), Some(Code::Internal));
        let mut early = heard(&[]);
        early.end(Timestamp(3), "exited");
        assert!(matches!(early.standing, Standing::Refused(_)));
    }
}
