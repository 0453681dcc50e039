//! One task, from its key to its end.

use super::Run;
use super::attempt::Attempt;
use super::lock::{self, Held, Share};
use super::record::{Cached, Event, Outcome, TaskRecord};
use super::speaker::Speech;
use crate::keys::ingredients;
use crate::restore::{Restoration, is_right, remove};
use crate::state::Memo;
use crate::workspace::Task;
use mainstay_tasks::{Content, Ingredients, RestoreError, RunTaskError, TaskKey, TaskResult};
use std::collections::BTreeMap;
use std::io;

/// What looking at a task came to.
enum Looked {
    /// The cache has an answer, and the folder holds it.
    Hit(TaskRecord, Content, Content),
    /// It has to run.
    Miss(TaskRecord),
    Failed(TaskRecord),
}

impl<'w> Run<'_, 'w> {
    /// Builds the key of a task and asks the cache; runs it at once where it has to and may.
    pub(super) fn look(&self, number: u32) {
        let began_ms = self.elapsed_ms();
        let mut looked = self.looked(number);
        let (Looked::Hit(record, ..) | Looked::Miss(record) | Looked::Failed(record)) = &mut looked;
        record.began_ms = began_ms;
        match looked {
            Looked::Hit(record, stdout, stderr) => {
                self.end(number, record, Speech::kept(stdout, stderr));
            }
            Looked::Failed(record) => self.end(number, record, Speech::none()),
            Looked::Miss(record) => {
                self.misses().insert(number, record);
                if self.schedule().looked(number) {
                    self.execute(number);
                }
            }
        }
    }

    fn looked(&self, number: u32) -> Looked {
        let runner = self.runner;
        let task = runner.task(number);
        let mut record = TaskRecord::new(&task.id, Outcome::Ran);
        if !task.is_cached {
            record.cached = Cached::Off;
            return Looked::Miss(record);
        }
        let built = ingredients(
            &runner.files,
            &runner.environment,
            task,
            runner.sets(number),
        );
        let key = match built {
            Ok(ingredients) => ingredients.key(),
            Err(cause) => {
                let error = RunTaskError::BuildKeyFailed { cause };
                return Looked::Failed(TaskRecord::errored(&task.id, &error));
            }
        };
        record.key = Some(key);
        if self.options.is_forced {
            return Looked::Miss(record);
        }
        if let Some(memo) = self.up_to_date(task, &key) {
            runner.store.used(&key);
            record.outcome = Outcome::UpToDate;
            record.cached = Cached::Hit;
            record.saved_ms = memo.ran_ms;
            return Looked::Hit(record, memo.stdout, memo.stderr);
        }
        match self.lookup(task, &key) {
            Ok(None) => Looked::Miss(record),
            Ok(Some((result, written))) => {
                record.outcome = match written {
                    0 => Outcome::UpToDate,
                    written => Outcome::Restored { written },
                };
                record.cached = Cached::Hit;
                record.saved_ms = result.ran_ms;
                Looked::Hit(record, result.stdout, result.stderr)
            }
            // What cannot be restored is made again, and both are told.
            Err(cause) => {
                let error = RunTaskError::RestoreFailed { cause };
                record.reports.push(error.report_of(&task.id));
                Looked::Miss(record)
            }
        }
    }

    /// Whether the folder holds the result of a key already, by what is remembered.
    fn up_to_date(&self, task: &Task, key: &TaskKey) -> Option<std::sync::Arc<Memo>> {
        let memo = self.runner.state.memo(&task.id)?;
        let files = &self.runner.files;
        let is_so = memo.key.as_ref() == Some(key)
            && memo
                .outputs
                .iter()
                .all(|(path, output)| is_right(files, path, output))
            && self.has_said(&memo.stdout)
            && self.has_said(&memo.stderr);
        is_so.then_some(memo)
    }

    /// Whether what a task said can be said again.
    fn has_said(&self, content: &Content) -> bool {
        content.bytes == 0
            || self
                .runner
                .store
                .read_pieces(content, &mut |_| Ok(()))
                .is_ok()
    }

    /// Asks the cache, and brings the outputs back.
    fn lookup(
        &self,
        task: &Task,
        key: &TaskKey,
    ) -> Result<Option<(TaskResult, u64)>, RestoreError> {
        let runner = self.runner;
        let found = runner.store.find(key);
        let Some(result) = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the cache cannot be read");
            None
        }) else {
            return Ok(None);
        };
        if !self.has_said(&result.stdout) || !self.has_said(&result.stderr) {
            runner.store.remove(key);
            let path = mainstay_tasks::Bytes::from("output of the command");
            return Err(RestoreError::BlobLost { path });
        }
        let _held = self.hold(task, false);
        let memo = runner.state.memo(&task.id);
        let nothing = BTreeMap::new();
        let owned = memo.as_ref().map_or(&nothing, |memo| &memo.outputs);
        let restoration = Restoration {
            files: &runner.files,
            store: runner.store,
            how: runner.workspace.cache.restore,
            owned,
        };
        let restored = restoration.run(&result.outputs);
        if let Err(RestoreError::BlobLost { .. } | RestoreError::BlobDamaged { .. }) = &restored {
            // Without its blobs it would be found and refused for ever.
            runner.store.remove(key);
        }
        let written = restored?;
        remove(&runner.files, owned, &result.outputs);
        runner.store.used(key);
        self.remember(task, Some(*key), &result);
        Ok(Some((result, written)))
    }

    /// Runs a task whose result nobody has.
    pub(super) fn execute(&self, number: u32) {
        let task = self.runner.task(number);
        let found = self.misses().remove(&number);
        let record = found.unwrap_or_else(|| TaskRecord::new(&task.id, Outcome::Ran));
        let held = match self.hold(task, true) {
            Ok(Some(held)) => held,
            Ok(None) => {
                let record = TaskRecord {
                    outcome: Outcome::Cancelled,
                    ..record
                };
                return self.end(number, record.reported(), Speech::none());
            }
            Err(error) => {
                tracing::debug!(%error, "the locks of the workspace cannot be used");
                Held::default()
            }
        };
        let (record, speech) = Attempt::new(self, number, record).run();
        drop(held);
        self.end(number, record, speech);
    }

    /// Keeps other runs of this workspace away from what a task writes and holds.
    fn hold(&self, task: &Task, runs: bool) -> io::Result<Option<Held>> {
        let mut names = vec![(format!("task-{}", task.id), Share::Alone)];
        if runs {
            let name = |name: &String| format!("mutex-{}", blake3::hash(name.as_bytes()).to_hex());
            let alone = task.needs.mutex.iter().map(|n| (name(n), Share::Alone));
            let together = task
                .needs
                .mutex_shared
                .iter()
                .map(|n| (name(n), Share::Together));
            names.extend(alone.chain(together));
        }
        let mut waits = |what: &str| {
            let id = &task.id;
            self.speaker.tell(&Event::Waiting { task: id, what });
        };
        lock::take(&self.runner.locks, &names, self.stop, &mut waits)
    }

    /// Remembers what stands in the folder now.
    pub(super) fn remember(&self, task: &Task, key: Option<TaskKey>, result: &TaskResult) {
        let before = self.runner.state.memo(&task.id);
        let memo = Memo {
            key,
            last_key: key.or_else(|| before.and_then(|memo| memo.last_key)),
            outputs: result.outputs.clone(),
            stdout: result.stdout,
            stderr: result.stderr,
            ran_ms: result.ran_ms,
        };
        if let Err(error) = self.runner.state.remember(&task.id, memo) {
            tracing::debug!(%error, "what a task left behind was not noted");
        }
    }

    /// The ingredients again, after the command ran.
    pub(super) fn ingredients(&self, number: u32) -> Option<Ingredients> {
        let runner = self.runner;
        let task = runner.task(number);
        ingredients(
            &runner.files,
            &runner.environment,
            task,
            runner.sets(number),
        )
        .ok()
    }
}
