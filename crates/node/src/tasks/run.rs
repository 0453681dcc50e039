//! One run of tasks, as its node knows it.

use super::TaskRunRequest;
use super::progress::{Progress, Standing, TaskRunState};
use super::tape::Page;
use crate::clock;
use crate::error::RequestError;
use bytes::Bytes;
use mainstay_contract::{ErrorReport, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// How many bytes of events are kept of a run.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// What is known of a run of tasks.
#[derive(Debug, Clone, Serialize)]
pub struct TaskRunView {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: TaskRunState,
    /// What was asked for.
    #[serde(flatten)]
    pub request: TaskRunRequest,
    /// Whether somebody asked it to stop.
    pub stop_asked: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// What it came to.
    pub summary: Option<Value>,
    /// The failure that decides the exit code.
    pub error: Option<ErrorReport>,
    /// The place of its last event.
    pub last_seq: u64,
    /// How many of its events are gone, the oldest first.
    pub events_dropped: u64,
}

#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    pub(super) request: TaskRunRequest,
    progress: Mutex<Progress>,
    changed: watch::Sender<()>,
    /// Asks the worker to stop.
    stop: UnboundedSender<()>,
}

impl Run {
    pub(super) fn new(id: String, request: TaskRunRequest, stop: UnboundedSender<()>) -> Self {
        Self {
            id,
            request,
            progress: Mutex::new(Progress::new(clock::now(), EVENT_BYTES_MAX)),
            changed: watch::channel(()).0,
            stop,
        }
    }

    pub(super) fn hear(&self, line: Bytes) {
        self.progress().hear(clock::now(), line);
        self.changed.send_replace(());
    }

    pub(super) fn end(&self, how: &str) {
        self.progress().end(clock::now(), how);
        self.changed.send_replace(());
    }

    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The place of its last event.
    pub(crate) fn last_seq(&self) -> u64 {
        self.progress().tape.last()
    }

    /// Asks it to stop; asked again, everything is ended at once.
    pub(crate) fn stop(&self) {
        let mut progress = self.progress();
        if !progress.is_over() {
            progress.is_stop_asked = true;
            let _worker_gone = self.stop.send(());
        }
    }

    /// What is known of it; nothing before it was accepted.
    pub(crate) fn view(&self) -> Option<TaskRunView> {
        let progress = self.progress();
        let Standing::Accepted(state) = progress.standing else {
            return None;
        };
        Some(TaskRunView {
            id: self.id.clone(),
            state,
            request: self.request.clone(),
            stop_asked: progress.is_stop_asked,
            started_at: progress.started_at,
            ended_at: progress.ended_at,
            summary: progress.summary.clone(),
            error: progress.error.clone(),
            last_seq: progress.tape.last(),
            events_dropped: progress.tape.dropped(),
        })
    }

    /// Its events after a place, and whether more can come.
    pub(crate) fn page(&self, after: u64, most: usize) -> (Page, bool) {
        let progress = self.progress();
        (progress.tape.after(after, most), !progress.is_over())
    }

    /// Waits until it has begun.
    pub(super) async fn accepted(&self) -> Result<(), RequestError> {
        self.until(|progress| match &progress.standing {
            Standing::Asked => None,
            Standing::Refused(report) => Some(Err(RequestError::Task(report.clone()))),
            Standing::Accepted(_) => Some(Ok(())),
        })
        .await
    }

    /// Waits until it is over.
    pub(crate) async fn over(&self) {
        self.until(|progress| progress.is_over().then_some(()))
            .await;
    }

    /// Waits until there is an event after a place, or none can come any more.
    pub(crate) async fn news(&self, after: u64) {
        let is_new = |progress: &Progress| progress.tape.last() > after || progress.is_over();
        self.until(|progress| is_new(progress).then_some(())).await;
    }

    async fn until<T>(&self, found: impl Fn(&Progress) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = found(&self.progress()) {
                return found;
            }
            // The sender lives as long as this run.
            let _changed = changed.changed().await;
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        matches!(self.progress().standing, Standing::Accepted(_))
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.progress().standing, Standing::Refused(_))
    }

    pub(super) fn is_over(&self) -> bool {
        self.progress().is_over()
    }

    pub(super) fn bytes(&self) -> usize {
        self.progress().tape.bytes()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
