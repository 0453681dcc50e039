//! What is told of a run, while it goes on and at its end.

use crate::observe::Undeclared;
use crate::process::Exit;
use mainstay_contract::{Code, Coded, EffectState, ErrorReport};
use mainstay_tasks::{Bytes, Change, RunTaskError, Stream, TaskId, TaskKey};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// Something that happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// The command of a task was started.
    Started {
        /// The task.
        task: &'a TaskId,
        /// Which try this is, from 1.
        attempt: u32,
    },
    /// A task waits for another run that works in the same workspace.
    Waiting {
        /// The task.
        task: &'a TaskId,
    },
    /// A task that stays up is ready.
    Ready {
        /// The task.
        task: &'a TaskId,
    },
    /// A command said something.
    Output {
        /// The task.
        task: &'a TaskId,
        /// Where it said it.
        stream: Stream,
        /// What.
        bytes: &'a [u8],
        /// Whether it comes from the cache.
        is_replay: bool,
    },
    /// A task is over.
    Ended(&'a TaskRecord),
}

/// Who wants to know what happens. Called from several threads, one call at a time for the output of
/// grouped tasks.
pub trait Listener: Sync {
    /// Something happens.
    fn on(&self, event: &Event<'_>);
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was right already; nothing was written.
    UpToDate,
    /// Its outputs were brought back from the cache.
    Restored {
        /// How many had to be written.
        written: u64,
    },
    /// Its command ran and succeeded.
    Ran,
    /// Its command failed.
    Failed {
        /// How it ended.
        exit: ExitWord,
    },
    /// Its command took longer than it may.
    TimedOut,
    /// It stays up, and was not ready in time.
    NotReady {
        /// The time that it had, in milliseconds.
        within_ms: u64,
    },
    /// Something around the command failed.
    Errored,
    /// It did not run, because another failed.
    Skipped {
        /// The task that failed first.
        because: TaskId,
    },
    /// It was stopped, or not begun, because the run was.
    Cancelled,
    /// It was not begun, because the run ended at the first failure.
    NotStarted,
}

impl Outcome {
    /// Whether the task itself failed.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::TimedOut | Self::NotReady { .. } | Self::Errored
        )
    }
}

/// How a process ended, for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitWord {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<Exit> for ExitWord {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
        }
    }
}

/// Whether a result is in the cache now, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Cached {
    /// It was there.
    Hit,
    /// It was put there.
    Stored,
    /// The task is not to be cached.
    Off,
    /// Inputs changed while the command ran.
    InputsChanged {
        /// What.
        changes: Vec<Change>,
    },
    /// A file was changed in the agent's view that the task does not declare.
    Undeclared {
        /// Which.
        path: Bytes,
    },
    /// A file under the output patterns was there before, and the command left it alone, or a try that failed
    /// may have changed it: whether it belongs to the result is unclear.
    Unclear {
        /// Which.
        path: Bytes,
    },
    /// It could not be put there; see the report.
    Failed,
    /// There is nothing to keep.
    No,
}

/// A task of a run, at its end.
#[derive(Debug, Clone, Serialize)]
pub struct TaskRecord {
    /// The task.
    pub task: TaskId,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The key of its result.
    pub key: Option<TaskKey>,
    /// Whether its result is in the cache.
    pub cached: Cached,
    /// How often its command was started.
    pub attempts: u32,
    /// When it began, in milliseconds since the run did.
    pub began_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How long its command had run when the result was made, where it comes from the cache.
    pub saved_ms: u64,
    /// Processes that it had left behind, and that were ended.
    pub escaped: u32,
    /// Pipes, sockets and devices among its outputs, which no cache keeps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<Bytes>,
    /// What its command did that is not declared, where it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undeclared: Option<Undeclared>,
    /// Its failure; or what went wrong on the way to its success.
    pub reports: Vec<ErrorReport>,
}

impl TaskRecord {
    /// Whether its outputs are there.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::UpToDate | Outcome::Restored { .. } | Outcome::Ran
        )
    }

    /// Whether there is nothing to say of it: nothing was to be done.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self.outcome, Outcome::UpToDate | Outcome::NotStarted) && self.reports.is_empty()
    }

    pub(super) fn new(task: &TaskId, outcome: Outcome) -> Self {
        Self {
            task: task.clone(),
            outcome,
            key: None,
            cached: Cached::No,
            attempts: 0,
            began_ms: 0,
            took_ms: 0,
            saved_ms: 0,
            escaped: 0,
            passed_over: Vec::new(),
            undeclared: None,
            reports: Vec::new(),
        }
    }

    pub(super) fn errored(task: &TaskId, error: &RunTaskError) -> Self {
        Self {
            reports: vec![error.report_of(task)],
            ..Self::new(task, Outcome::Errored)
        }
    }

    /// With the report that follows from the outcome alone.
    pub(super) fn reported(mut self) -> Self {
        self.report();
        self
    }

    /// Adds the report that follows from the outcome alone.
    pub(super) fn report(&mut self) {
        let task = &self.task;
        let (code, message, effect) = match &self.outcome {
            Outcome::Failed { exit } => {
                let how = match exit {
                    ExitWord::Code(code) => format!("ended with exit code {code}"),
                    ExitWord::Signal(signal) => format!("was ended by signal {signal}"),
                };
                (Code::TaskFailed, format!("{task}: its command {how}"), true)
            }
            Outcome::TimedOut => {
                let message = format!("{task}: its command ran out of time and was stopped");
                (Code::TaskTimedOut, message, true)
            }
            Outcome::NotReady { within_ms } => {
                let seconds = Duration::from_millis(*within_ms).as_secs_f64();
                let message =
                    format!("{task}: it was not ready within {seconds} s, and was stopped");
                (Code::TaskTimedOut, message, true)
            }
            Outcome::Skipped { because } => {
                let message = format!("{task}: not run, because {because} failed");
                (Code::TaskSkipped, message, false)
            }
            Outcome::Cancelled => {
                let message = format!("{task}: stopped with its run");
                (Code::TaskCancelled, message, self.attempts > 0)
            }
            _ => return,
        };
        let mut report = ErrorReport::new(code, message).about("task", task.to_string());
        let mut data = serde_json::to_value(&self.outcome).unwrap_or_default();
        if let Some(fields) = data.as_object_mut()
            && let Some(kind) = fields.remove("outcome")
        {
            fields.insert("kind".to_owned(), kind);
        }
        report = report.data(data);
        if let Outcome::NotReady { .. } = self.outcome {
            report = report
                .hint("`ready` says what shows that it is; `ready.timeout` gives it more time");
        }
        if effect {
            report = report.effect(EffectState::Applied);
        }
        report.spent.ms = self.took_ms;
        self.reports.push(report);
    }
}

/// A whole run, at its end.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Its tasks, in the order in which they ended.
    pub tasks: Vec<TaskRecord>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The tasks on the longest way through the run, in order.
    pub critical_path: Vec<TaskId>,
    /// How long those took together, in milliseconds.
    pub critical_ms: u64,
    /// Whether somebody stopped it.
    pub is_stopped: bool,
    /// Why the remote cache gave no answers, or not all.
    pub remote_failure: Option<String>,
}

impl Summary {
    /// How many tasks ended in a certain way.
    #[must_use]
    pub fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.tasks
            .iter()
            .filter(|record| is(&record.outcome))
            .count()
    }

    /// The report that decides the exit code: that of the first task that failed by itself.
    #[must_use]
    pub fn failure(&self) -> Option<&ErrorReport> {
        let failed = self.tasks.iter().filter(|record| !record.is_success());
        let mut own = failed.clone().filter(|record| {
            !matches!(
                record.outcome,
                Outcome::Skipped { .. } | Outcome::NotStarted
            )
        });
        let first = own.next().or_else(|| failed.clone().next())?;
        first.reports.last()
    }
}

/// What the numbers of a run come to, for readers.
#[must_use]
pub fn totals(summary: &Summary) -> serde_json::Value {
    let count = |is: fn(&Outcome) -> bool| summary.count(is);
    json!({
        "up_to_date": count(|o| matches!(o, Outcome::UpToDate)),
        "restored": count(|o| matches!(o, Outcome::Restored { .. })),
        "ran": count(|o| matches!(o, Outcome::Ran)),
        "failed": count(Outcome::is_failure),
        "skipped": count(|o| matches!(o, Outcome::Skipped { .. })),
        "cancelled": count(|o| matches!(o, Outcome::Cancelled)),
        "not_started": count(|o| matches!(o, Outcome::NotStarted)),
    })
}

impl Coded for crate::workspace::LoadError {
    fn code(&self) -> Code {
        match self {
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Code::ManifestNotFound
            }
            Self::Unreadable { .. } | Self::Invalid(_) => Code::ManifestInvalid,
        }
    }

    fn report(&self) -> ErrorReport {
        match self {
            Self::Unreadable { .. } => ErrorReport::new(self.code(), self.to_string()),
            Self::Invalid(invalid) => invalid.report(),
        }
    }
}
