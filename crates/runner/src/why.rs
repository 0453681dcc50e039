//! Why a task would run, or would not.

use crate::keys::{Stamps, ingredients};
use crate::restore::is_right;
use crate::run::Runner;
use crate::store::Entry;
use mainstay_tasks::{BuildKeyError, Change, Ingredients, TaskId, TaskKey};
use serde::Serialize;

/// What a run would do with a task, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Why {
    /// The task.
    pub task: TaskId,
    /// The key of its result, as things are now.
    pub key: Option<TaskKey>,
    /// What would happen.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What differs from the last result that was kept, if anything does.
    pub changes: Vec<Reason>,
    /// Tasks before it that would run themselves; what they make may change the answer.
    pub pending: Vec<TaskId>,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing: the folder holds the result.
    UpToDate,
    /// Its outputs would be brought back from the cache.
    Cached,
    /// It would run: something changed since its last result.
    Changed,
    /// It would run: its result was removed from the cache to make room.
    Evicted,
    /// It would run: it never did before here, or its last result is not known any more.
    New,
    /// It always runs: its result is not kept.
    NotCached,
    /// It cannot run.
    Unbuildable {
        /// Why.
        error: BuildKeyError,
    },
}

/// A difference, and who made it where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
    /// The task that makes the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<TaskId>,
}

impl Runner<'_> {
    /// Says why a task would run, or would not; looks and writes nothing but what it learned of files.
    #[must_use]
    pub fn why(&self, number: u32) -> Why {
        let mut why = self.own_reason(number);
        let before = self.workspace.graph.closure(&[number]);
        let pending = before.into_iter().filter(|&other| other != number);
        let pending = pending.filter(|&other| {
            !matches!(
                self.own_reason(other).verdict,
                Verdict::UpToDate | Verdict::Cached
            )
        });
        why.pending = pending.map(|other| self.task(other).id.clone()).collect();
        self.save();
        why
    }

    fn own_reason(&self, number: u32) -> Why {
        let task = self.task(number);
        let mut why = Why {
            task: task.id.clone(),
            key: None,
            verdict: Verdict::NotCached,
            changes: Vec::new(),
            pending: Vec::new(),
        };
        if !task.is_cached {
            return why;
        }
        let (environment, sets) = (&self.environment, self.sets(number));
        let stamps = &mut Stamps::default();
        let now = match ingredients(&self.files, environment, task, sets, stamps) {
            Ok(now) => now,
            Err(error) => {
                why.verdict = Verdict::Unbuildable { error };
                return why;
            }
        };
        let key = now.key();
        why.key = Some(key);
        let memo = self.state.memo(&task.id);
        let last = memo.as_ref().and_then(|memo| memo.last_key);
        let stands = memo.as_ref().is_some_and(|memo| {
            let mut outputs = memo.outputs.iter();
            memo.key == Some(key)
                && outputs.all(|(path, output)| is_right(&self.files, path, output))
        });
        why.verdict = match (self.entry(&key), stands) {
            (_, true) => Verdict::UpToDate,
            (Some(Entry::Result(..)), false) => Verdict::Cached,
            (Some(Entry::Evicted(_)), false) => Verdict::Evicted,
            (None, false) if last == Some(key) => Verdict::Evicted,
            (None, false) => Verdict::New,
        };
        let before = last
            .filter(|last| *last != key)
            .and_then(|last| self.entry(&last));
        if let Some(before) = before {
            why.changes = self.reasons(&now, before.ingredients());
            if why.verdict == Verdict::New {
                why.verdict = Verdict::Changed;
            }
        }
        why
    }

    fn entry(&self, key: &TaskKey) -> Option<Entry> {
        self.store.entry(key).ok().flatten()
    }

    fn reasons(&self, now: &Ingredients, before: &Ingredients) -> Vec<Reason> {
        let changes = now.changes_since(before).into_iter();
        let reasons = changes.map(|change| {
            let made_by = match &change {
                Change::Input { path, .. } => self.maker(&path.0),
                _ => None,
            };
            Reason { change, made_by }
        });
        reasons.collect()
    }

    /// The task whose outputs a path belongs to.
    fn maker(&self, path: &[u8]) -> Option<TaskId> {
        let tasks = self.workspace.tasks.iter();
        let mut makers = tasks.filter(|task| {
            let outputs = &task.outputs;
            let is_in = |excludes: bool| {
                let mut of_kind = outputs.iter().filter(|o| o.is_exclusion() == excludes);
                of_kind.any(|output| output.is_match(path))
            };
            is_in(false) && !is_in(true)
        });
        makers.next().map(|task| task.id.clone())
    }
}
