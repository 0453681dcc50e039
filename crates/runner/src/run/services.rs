//! The tasks that stay up. They outlive the run that started them, where others follow it.

use super::lock::WorkspaceLock;
use super::record::{Listener, TaskRecord};
use super::service::{Beginning, Service};
use crate::process::{Job, Stop};
use mainstay_tasks::TaskId;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Duration;

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be started, and whose place it takes.
type Start = (Arc<Service>, Option<Arc<Service>>);

/// All that stays up. Where it goes out of scope, everything is asked to end.
#[derive(Debug)]
pub(crate) struct Services {
    /// Names what was started by these runs in its environment.
    marker: String,
    starts: Sender<Start>,
    inner: Mutex<Vec<Arc<Service>>>,
    /// Of those that were ready once.
    ended: Arc<Mutex<Vec<TaskRecord>>>,
    count: AtomicU32,
    /// What tells others of them, should this process be killed.
    note: Mutex<Option<PathBuf>>,
}

impl Services {
    pub(crate) fn new<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        listener: &'env dyn Listener,
        marker: String,
    ) -> Self {
        let (starts, started): (_, Receiver<Start>) = channel();
        let ended: Arc<Mutex<Vec<TaskRecord>>> = Arc::default();
        let records = Arc::clone(&ended);
        scope.spawn(move || {
            for (service, before) in started {
                let records = Arc::clone(&records);
                scope.spawn(move || {
                    let record = service.live(before.as_deref(), listener);
                    lock(&records).extend(record);
                    service.close();
                });
            }
        });
        Self {
            marker,
            starts,
            inner: Mutex::default(),
            ended,
            count: AtomicU32::new(0),
            note: Mutex::default(),
        }
    }

    pub(crate) fn marker(&self) -> &str {
        &self.marker
    }

    /// Starts a task, once the one is over that ran in its place. `lock`: that of the workspace.
    pub(super) fn begin(&self, mut beginning: Beginning, lock: &WorkspaceLock) -> io::Result<()> {
        self.leave_note(lock);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        beginning.job.marker = format!("{}-s{number}.", self.marker);
        let mut services = self.running();
        let same = |service: &&Arc<Service>| is_of(service, &beginning.record.task);
        let before = services.iter().rfind(same).cloned();
        let service = Arc::new(Service::new(beginning)?);
        services.push(Arc::clone(&service));
        self.starts
            .send((service, before))
            .map_err(io::Error::other)
    }

    fn leave_note(&self, workspace: &WorkspaceLock) {
        let mut note = lock(&self.note);
        if note.is_some() {
            return;
        }
        *note = workspace.note_up(&self.marker).unwrap_or_else(|error| {
            tracing::debug!(%error, "nobody will know what this run left, should it be killed");
            None
        });
    }

    /// Whether a task is up, and what it runs is what this job would run.
    pub(super) fn is_up(&self, task: &TaskId, job: &Job) -> bool {
        let services = self.running();
        let found = services.iter().rfind(|service| is_of(service, task));
        found.is_some_and(|service| service.is_up() && service.beginning.job.is_like(job))
    }

    /// Asks all to end that are none of these tasks.
    pub(crate) fn keep(&self, is_kept: impl Fn(&TaskId) -> bool) {
        let services = self.running();
        let left = services
            .iter()
            .filter(|service| !is_kept(&service.beginning.record.task));
        left.for_each(|service| service.ask(1));
    }

    /// Passes on that everything is to end.
    pub(crate) fn hear(&self, stop: &Stop) {
        let level = match () {
            () if stop.is_urgent() => 2,
            () if stop.is_asked() => 1,
            () => 0,
        };
        self.running().iter().for_each(|service| service.ask(level));
    }

    /// Waits until all are over. While one of the wanted is up, it and the others go on until somebody stops
    /// them, or one of them fails; after that they are asked to end.
    pub(crate) fn end(&self, wanted: &[&TaskId], stop: &Stop) {
        loop {
            let services = self.running().clone();
            if services.is_empty() {
                if let Some(note) = lock(&self.note).take() {
                    let _gone = std::fs::remove_file(note);
                }
                return;
            }
            let is_wanted = |service: &Arc<Service>| {
                wanted
                    .iter()
                    .any(|task| **task == service.beginning.record.task)
            };
            let has_failed = lock(&self.ended).iter().any(|record| !record.is_success());
            if has_failed || !services.iter().any(is_wanted) {
                services.iter().for_each(|service| service.ask(1));
            }
            self.hear(stop);
            std::thread::sleep(PAUSE);
        }
    }

    /// What ended since somebody asked last.
    pub(crate) fn take_ended(&self) -> Vec<TaskRecord> {
        std::mem::take(&mut *lock(&self.ended))
    }

    /// Those that are not over yet.
    fn running(&self) -> MutexGuard<'_, Vec<Arc<Service>>> {
        let mut inner = lock(&self.inner);
        inner.retain(|service| !service.is_over());
        inner
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.running().iter().for_each(|service| service.ask(1));
    }
}

fn is_of(service: &Arc<Service>, task: &TaskId) -> bool {
    service.beginning.record.task == *task
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
