//! Keeping what a command made: in the cache only what everybody would make from the same key.

use super::Attempt;
use crate::files::Found;
use crate::keys::{Stamps, written_since};
use crate::outputs;
use crate::restore::is_right;
use crate::run::record::Cached;
use crate::run::speaker::Speech;
use crate::run::worker::memo;
use crate::state::Memo;
use crate::store::{Contents, Parcel, Small};
use mainstay_tasks::{
    Bytes, Change, Ingredients, InputChange, RunTaskError, StoreError, TaskKey, TaskResult,
};
use std::time::{SystemTime, UNIX_EPOCH};

impl<'w> Attempt<'_, '_, 'w> {
    /// Keeps what the command made.
    pub(super) fn succeeded(
        &mut self,
        ingredients: Ingredients,
        found: &[Found],
        ran_ms: u64,
    ) -> Speech<'w> {
        let runner = self.run.runner;
        let adding = match runner.store.adding() {
            Ok(adding) => adding,
            Err(error) => return self.unkept(&broken(error)),
        };
        let parcel = Parcel::default();
        let outputs = match outputs::keep(&runner.files, runner.store, &parcel, found) {
            Ok(outputs) => outputs,
            Err(error @ RunTaskError::StoreFailed { .. }) => return self.unkept(&error),
            Err(error) => return self.errored(&error),
        };
        let stdout = std::mem::replace(&mut self.stdout, runner.store.spool());
        let stderr = std::mem::replace(&mut self.stderr, runner.store.spool());
        let kept = stdout
            .keep(&parcel)
            .and_then(|out| Ok((out, stderr.keep(&parcel)?)));
        let (stdout, stderr) = match kept {
            Ok(streams) => streams,
            Err(error) => return self.unkept(&broken(error)),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let result = TaskResult {
            ingredients,
            outputs,
            stdout,
            stderr,
            ran_ms,
            made_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        };
        let small = parcel.into_small();
        let key = self.cached(&result, found, &small);
        drop(adding);
        let memo = Memo {
            unowned: self.standing.unowned(result.outputs.keys()),
            ..memo(&result, key)
        };
        self.run.remember(self.task, memo);
        let contents = Contents::new(runner.store, small);
        Speech {
            passed: self.passed,
            is_replay: false,
            ..Speech::kept(stdout, stderr, &contents)
        }
    }

    /// Adds a result to the cache, where its key is still true. Gives the key under which it is there.
    fn cached(&mut self, result: &TaskResult, found: &[Found], small: &Small) -> Option<TaskKey> {
        let key = result.ingredients.key();
        if let Some(changes) = self.changed_meanwhile(result) {
            self.record.cached = Cached::InputsChanged { changes };
            return None;
        }
        if let Some(path) = self.undeclared.take() {
            self.record.cached = Cached::Undeclared { path };
            return None;
        }
        if let Some(path) = self.standing.unclear(found, self.record.attempts) {
            self.record.cached = Cached::Unclear { path };
            return None;
        }
        match self.run.runner.store.add(&key, result, small) {
            Ok(()) => {
                self.record.cached = Cached::Stored;
                self.run.made().push(key);
            }
            Err(error) => {
                self.record.cached = Cached::Failed;
                let report = broken(error).report_of(&self.task.id);
                self.record.reports.push(report);
            }
        }
        Some(key)
    }

    /// What became of the inputs while the command ran, whether they are as they were again or not;
    /// nothing where they were left alone.
    fn changed_meanwhile(&self, result: &TaskResult) -> Option<Vec<Change>> {
        let mut stamps = Stamps::default();
        let Ok(now) = self.run.ingredients(self.number, &mut stamps) else {
            return Some(Vec::new());
        };
        let mut changes = now.changes_since(&result.ingredients);
        changes.extend(self.standing.changed_sources(&result.outputs));
        if changes.is_empty() && stamps != self.stamps {
            let change = InputChange::Touched;
            let paths = written_since(&self.run.runner.files, &now.inputs, self.since).into_iter();
            return Some(paths.map(|path| Change::Input { path, change }).collect());
        }
        (!changes.is_empty()).then_some(changes)
    }

    /// A file that differs in a view, and may have had its part in a result whose key says nothing of it: who
    /// works in the folder itself must not get that.
    pub(super) fn undeclared_change(&self) -> Option<Bytes> {
        let runner = self.run.runner;
        let changes = match runner.view?.changes() {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(%error, "what was changed in a view is not known");
                return Some(Bytes::from("."));
            }
        };
        let closure = runner.workspace.graph.closure(&[self.number]);
        let is_made = |path: &Bytes| {
            let mut memos = closure
                .iter()
                .filter_map(|&task| runner.state.memo(&runner.task(task).id));
            memos.any(|memo| {
                let output = memo.outputs.get(path);
                let is_right = |output| is_right(&runner.files, path, output);
                memo.key.is_some() && memo.owns(path) && output.is_some_and(is_right)
            })
        };
        let inputs = self.before.as_ref().map(|before| &before.inputs);
        let is_read = |path: &Bytes| inputs.is_some_and(|inputs| inputs.contains_key(path));
        changes
            .into_iter()
            .find(|path| !is_read(path) && !is_made(path))
    }

    /// The command succeeded, and its outputs stand; only the cache does not have them.
    fn unkept(&mut self, error: &RunTaskError) -> Speech<'w> {
        self.record.cached = Cached::Failed;
        self.record.reports.push(error.report_of(&self.task.id));
        self.run.forget(self.number, &self.standing);
        self.done()
    }
}

fn broken(error: std::io::Error) -> RunTaskError {
    RunTaskError::StoreFailed {
        cause: StoreError::Cache {
            source: error.into(),
        },
    }
}
