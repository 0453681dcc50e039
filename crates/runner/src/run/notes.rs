//! What a run notes for the rounds that follow it.

use super::Run;
use super::attempt::job;
use super::record::{Outcome, TaskRecord};
use super::service::Beginning;
use super::speaker::Speech;
use super::worker::Missed;
use crate::restore::is_right;
use crate::rounds::{Book, Came, sight};
use mainstay_contract::Digest;
use mainstay_tasks::{BuildKeyError, Ingredients, RunTaskError, TaskId, TaskKey};
use std::sync::{MutexGuard, PoisonError};

impl Run<'_, '_> {
    /// Starts a task that stays up.
    pub(super) fn begin_service(&self, number: u32, missed: Missed) {
        let runner = self.runner;
        let task = runner.task(number);
        let beginning = Beginning {
            number,
            job: job(task, &runner.environment, &runner.files, String::new()),
            ready: task.ready.clone(),
            record: missed.record,
            news: self.news.clone(),
        };
        if let Err(error) = self.services.begin(beginning, &runner.lock) {
            let cause = error.into();
            let error = RunTaskError::WaitFailed { cause };
            self.end(
                number,
                TaskRecord::errored(&task.id, &error),
                Speech::none(),
            );
        }
    }

    /// Whether a task whose result no cache keeps is done already: in an earlier round, for the same reasons.
    pub(super) fn stands(&self, number: u32) -> bool {
        if self.book.is_none() {
            return false;
        }
        let runner = self.runner;
        let task = runner.task(number);
        let sight = sight(runner, number);
        let graph = &runner.workspace.graph;
        let needs: Vec<&TaskId> = graph.after(number).iter().map(|&n| graph.id(n)).collect();
        let is_same = self.book().is_some_and(|mut book| {
            let is_same = book.is_same(&task.id, &sight, &needs);
            book.see(&task.id, sight);
            is_same
        });
        is_same && !self.options.is_forced && self.is_as_it_was(number)
    }

    /// Whether what stays up is up, and what was made is there.
    fn is_as_it_was(&self, number: u32) -> bool {
        let runner = self.runner;
        let task = runner.task(number);
        if task.is_persistent {
            let job = job(task, &runner.environment, &runner.files, String::new());
            return self.services.is_up(&task.id, &job);
        }
        let memo = runner.state.memo(&task.id);
        memo.is_some_and(|memo| {
            let mut outputs = memo.outputs.iter();
            outputs.all(|(path, output)| is_right(&runner.files, path, output))
        })
    }

    /// What a hit says, where it was not said in the round before.
    pub(super) fn unsaid<'w>(
        &self,
        task: &TaskId,
        key: &TaskKey,
        speech: Speech<'w>,
    ) -> Speech<'w> {
        match self.book().is_some_and(|book| book.was_said(task, key)) {
            true => Speech::none(),
            false => speech,
        }
    }

    /// Notes what a task reads now that its turn has come.
    pub(super) fn note_sight(&self, number: u32, sight: &Result<Ingredients, BuildKeyError>) {
        if let Some(mut book) = self.book() {
            book.see(&self.runner.task(number).id, sight.clone());
        }
    }

    /// Notes what a task came to. `record`: of one that does not stay up.
    pub(super) fn note_success(&self, number: u32, record: Option<&TaskRecord>) {
        let task = self.runner.task(number);
        if self.book.is_none() {
            return;
        }
        let is_done_before =
            |record: &TaskRecord| record.outcome == Outcome::UpToDate && !task.is_cached;
        if record.is_some_and(is_done_before) {
            return;
        }
        let came = record.and_then(|record| self.came(number, record));
        let key = record.and_then(|record| record.key);
        if let Some(mut book) = self.book() {
            book.succeeded(&task.id, came);
            key.into_iter().for_each(|key| book.keyed(&task.id, key));
        }
    }

    pub(super) fn note_failure(&self, number: u32) {
        if let Some(mut book) = self.book() {
            book.failed(&self.runner.task(number).id);
        }
    }

    /// What a task came to; nothing where that cannot be told from another time.
    fn came(&self, number: u32, record: &TaskRecord) -> Option<Came> {
        let task = self.runner.task(number);
        if task.outputs.is_empty() {
            return record.key.map(Came::Key);
        }
        let memo = self.runner.state.memo(&task.id)?;
        let outputs = postcard::to_stdvec(&memo.outputs).ok()?;
        Some(Came::Made(Digest(*blake3::hash(&outputs).as_bytes())))
    }

    fn book(&self) -> Option<MutexGuard<'_, Book>> {
        let book = self.book?;
        Some(book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
