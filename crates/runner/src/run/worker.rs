//! One task, from its key to its end.

use super::Run;
use super::attempt::Attempt;
use super::lock::{Taken, Turn};
use super::record::{Cached, Event, Outcome, TaskRecord};
use super::speaker::Speech;
use crate::files::now;
use crate::keys::{Stamps, ingredients};
use crate::outputs::{self, Standing, leave_aside};
use crate::process::Process;
use crate::remote::pull;
use crate::restore::{Aside, Restoration, is_right};
use crate::state::{Memo, UnderWay};
use crate::store::{Contents, Kept};
use crate::workspace::Task;
use mainstay_tasks::{
    BuildKeyError, Bytes, Ingredients, Output, Pattern, PatternSet, RestoreError, RunTaskError,
    TaskKey, TaskResult,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Instant;

/// What looking at a task came to.
enum Looked<'w> {
    /// The cache has an answer, and the folder holds it.
    Hit(TaskRecord, Speech<'w>),
    /// It has to run.
    Miss(Missed),
    Failed(TaskRecord),
}

/// A task that has to run.
pub(super) struct Missed {
    pub(super) record: TaskRecord,
    /// What its key was made of, where its result is to be kept.
    pub(super) ingredients: Option<Ingredients>,
    /// What the stamps of its inputs came to then.
    pub(super) stamps: Stamps,
    looked_at: Instant,
    /// The same moment, by the clock that stamps files.
    pub(super) looked_ns: i64,
}

impl<'w> Run<'_, 'w> {
    /// Builds the key of a task and asks the cache; runs it at once where it has to and may.
    pub(super) fn look(&self, number: u32) {
        let began_ms = self.elapsed_ms();
        match self.looked(number, began_ms) {
            Looked::Hit(record, speech) => self.end(number, record, speech),
            Looked::Failed(record) => self.end(number, record, Speech::none()),
            Looked::Miss(missed) => {
                self.misses().insert(number, missed);
                if self.schedule().looked(number) {
                    self.execute(number, began_ms);
                }
            }
        }
    }

    fn looked(&self, number: u32, began_ms: u64) -> Looked<'w> {
        let runner = self.runner;
        let task = runner.task(number);
        let looked_at = Instant::now();
        let looked_ns = now();
        let mut record = TaskRecord::new(&task.id, Outcome::Ran);
        record.began_ms = began_ms;
        if !task.is_cached {
            record.cached = Cached::Off;
            if self.stands(number) {
                record.outcome = Outcome::UpToDate;
                return Looked::Hit(record, Speech::none());
            }
            return Looked::Miss(Missed {
                record,
                ingredients: None,
                stamps: Stamps::default(),
                looked_at,
                looked_ns,
            });
        }
        let mut stamps = Stamps::default();
        let ingredients = self.ingredients(number, &mut stamps);
        self.note_sight(number, &ingredients);
        let ingredients = match ingredients {
            Ok(ingredients) => ingredients,
            Err(cause) => return Looked::Failed(self.keyless(record, cause)),
        };
        let key = ingredients.key();
        record.key = Some(key);
        let found = match self.options.is_forced {
            true => Ok(None),
            false => self.found(number, &key),
        };
        match found {
            Ok(Some(Found {
                written,
                ran_ms,
                speech,
            })) => {
                record.outcome = match written {
                    0 => Outcome::UpToDate,
                    written => Outcome::Restored { written },
                };
                record.cached = Cached::Hit;
                record.saved_ms = ran_ms;
                return Looked::Hit(record, self.unsaid(&task.id, &key, speech));
            }
            Ok(None) => {}
            // What cannot be restored is made again, and both are told.
            Err(cause) => {
                let error = RunTaskError::RestoreFailed { cause };
                record.reports.push(error.report_of(&task.id));
            }
        }
        Looked::Miss(Missed {
            record,
            ingredients: Some(ingredients),
            stamps,
            looked_at,
            looked_ns,
        })
    }

    /// The end of a task without a key.
    fn keyless(&self, mut record: TaskRecord, cause: BuildKeyError) -> TaskRecord {
        if self.stop.is_asked() {
            record.outcome = Outcome::Cancelled;
            return record.reported();
        }
        let error = RunTaskError::BuildKeyFailed { cause };
        TaskRecord {
            began_ms: record.began_ms,
            ..TaskRecord::errored(&record.task, &error)
        }
    }

    /// The result of a key, in the folder.
    fn found(&self, number: u32, key: &TaskKey) -> Result<Option<Found<'w>>, RestoreError> {
        if let Some(found) = self.up_to_date(self.runner.task(number), key) {
            if self.notes_use {
                self.runner.store.used(key);
            }
            return Ok(Some(found));
        }
        self.lookup(number, key)
    }

    /// Whether the folder holds the result of a key already, by what is remembered.
    fn up_to_date(&self, task: &Task, key: &TaskKey) -> Option<Found<'w>> {
        let memo = self.runner.state.memo(&task.id)?;
        let files = &self.runner.files;
        let mut outputs = memo.outputs.iter();
        if memo.key.as_ref() != Some(key) || !outputs.all(|(path, o)| is_right(files, path, o)) {
            return None;
        }
        let is_mute = memo.stdout.bytes == 0 && memo.stderr.bytes == 0;
        let speech = if is_mute {
            Speech::none()
        } else {
            let kept = self.runner.store.find(key).ok().flatten()?;
            speech(&memo, &kept.contents)?
        };
        Some(Found {
            written: 0,
            ran_ms: memo.ran_ms,
            speech,
        })
    }

    /// Asks the cache, and brings the outputs back.
    fn lookup(&self, number: u32, key: &TaskKey) -> Result<Option<Found<'w>>, RestoreError> {
        let runner = self.runner;
        let task = runner.task(number);
        let Kept { result, contents } = match runner.store.find(key) {
            Ok(Some(kept)) => kept,
            Ok(None) => match self.pulled(key) {
                Some(kept) => kept,
                None => return Ok(None),
            },
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(RestoreError::ResultDamaged);
            }
            Err(error) => {
                tracing::warn!(%error, "the cache cannot be read");
                return Ok(None);
            }
        };
        let mut memo = memo(&result, Some(*key));
        let Some(speech) = speech(&memo, &contents) else {
            runner.store.remove(key);
            let path = Bytes::from("output of the command");
            return Err(RestoreError::BlobLost { path });
        };
        if !matches!(self.hold(task), Taken::Ours { .. }) {
            return Ok(None);
        }
        self.clear(number);
        let before = runner.state.memo(&task.id);
        if before
            .as_deref()
            .is_some_and(|before| !self.is_untouched(before))
        {
            return Ok(None);
        }
        let nothing = BTreeMap::new();
        let known = before.as_ref().map_or(&nothing, |before| &before.outputs);
        memo.unowned = self.unowned(before.as_deref(), &result.outputs);
        if let Some(before) = &before {
            Aside::take(&runner.files, before, &result.outputs).discard(&runner.files);
        }
        // Said before it is so: whoever dies in between has said which files are the task's.
        self.remember(task, memo);
        let restoration = Restoration {
            files: &runner.files,
            contents: &contents,
            how: runner.workspace.cache.restore,
            known,
        };
        let restored = restoration.run(&result.outputs);
        if let Err(RestoreError::BlobLost { .. } | RestoreError::BlobDamaged { .. }) = &restored {
            // Without its blobs it would be found and refused for ever.
            runner.store.remove(key);
        }
        let written = restored?;
        runner.store.used(key);
        Ok(Some(Found {
            written,
            ran_ms: result.ran_ms,
            speech,
        }))
    }

    /// Whether what was there before the task still is what it was when the task ended: otherwise it has
    /// to see for itself.
    fn is_untouched(&self, before: &Memo) -> bool {
        let files = &self.runner.files;
        let output = |path| before.outputs.get(path);
        let mut unowned = before.unowned.iter();
        unowned.all(|path| output(path).is_none_or(|output| is_right(files, path, output)))
    }

    /// What stands already where outputs are to be, and not because of the task.
    fn unowned(&self, before: Option<&Memo>, outputs: &BTreeMap<Bytes, Output>) -> BTreeSet<Bytes> {
        let is_there = |path: &Bytes| matches!(self.runner.files.look(&path.0), Ok(Some(_)));
        let is_owned = |path: &Bytes| before.is_some_and(|before| before.owns(path));
        let unowned = outputs
            .keys()
            .filter(|path| !is_owned(path) && is_there(path));
        unowned.cloned().collect()
    }

    /// Sets aside what a command left that was killed with its run; one whose result is not kept may go on from
    /// there.
    pub(super) fn clear(&self, number: u32) {
        let runner = self.runner;
        let task = runner.task(number);
        let memo = runner.state.memo(&task.id).filter(|_| task.is_cached);
        let Some(memo) = memo.as_ref() else { return };
        // A run that this one is part of may be running it now.
        let killed = memo
            .under_way
            .as_ref()
            .filter(|under_way| !under_way.process.lives());
        let Some(under_way) = killed else { return };
        let root = Bytes::default();
        let texts = under_way.outputs.iter();
        let patterns = texts.filter_map(|text| Pattern::parse(&root, text).ok());
        let count = leave_aside(&runner.files, &PatternSet::new(patterns), &memo.unowned);
        if count > 0 {
            tracing::warn!(task = %task.id, count, "what a killed run left is in .mainstay/left now");
        }
    }

    /// The result of a key, brought over from the remote cache.
    fn pulled(&self, key: &TaskKey) -> Option<Kept<'w>> {
        let runner = self.runner;
        let is_there = pull(runner.store, runner.remote?, key);
        runner.store.find(key).ok().flatten().filter(|_| is_there)
    }

    /// Runs a task whose result nobody has. `began_ms`: when its turn came.
    pub(super) fn execute(&self, number: u32, began_ms: u64) {
        let task = self.runner.task(number);
        let found = self.misses().remove(&number);
        let mut missed = found.unwrap_or_else(|| Missed {
            record: TaskRecord::new(&task.id, Outcome::Ran),
            ingredients: None,
            stamps: Stamps::default(),
            looked_at: Instant::now(),
            looked_ns: now(),
        });
        missed.record.began_ms = began_ms;
        if task.is_persistent {
            return self.begin_service(number, missed);
        }
        let asked = Instant::now();
        let waited_until = match self.hold(task) {
            Taken::Ours { waited_until } => waited_until,
            Taken::Stopped => {
                missed.record.outcome = Outcome::Cancelled;
                return self.end(number, missed.record.reported(), Speech::none());
            }
            Taken::Stuck => {
                let record = TaskRecord::errored(&task.id, &RunTaskError::Deadlock);
                return self.end(number, record, Speech::none());
            }
        };
        if waited_until.is_some_and(|until| until > asked) {
            missed.record.began_ms = self.elapsed_ms();
        }
        // Whoever had the lock may have made what is missing.
        if waited_until.is_some_and(|until| missed.looked_at < until) {
            match self.looked(number, missed.record.began_ms) {
                Looked::Hit(record, speech) => return self.end(number, record, speech),
                Looked::Failed(record) => return self.end(number, record, Speech::none()),
                Looked::Miss(again) => missed = again,
            }
        }
        let (record, speech) = Attempt::new(self, number, missed).run();
        self.end(number, record, speech);
    }

    /// Keeps other runs of this workspace away from its files.
    fn hold(&self, task: &Task) -> Taken {
        let mut on = |turn| match turn {
            Turn::Waits => self.speaker.tell(&Event::Waiting { task: &task.id }),
            Turn::Begins => self.runner.state.refresh(),
        };
        if let Some(view) = self.runner.view
            && let Err(error) = self.runner.files.make_writable(|| view.open(true))
        {
            tracing::warn!(%error, "a view cannot be written");
        }
        let taken = self
            .runner
            .lock
            .take(self.services.marker(), self.stop, &mut on);
        taken.unwrap_or_else(|error| {
            tracing::debug!(%error, "the lock of the workspace cannot be used");
            Taken::Ours { waited_until: None }
        })
    }

    /// Remembers what stands in the folder now.
    pub(super) fn remember(&self, task: &Task, mut memo: Memo) {
        let state = &self.runner.state;
        if memo.last_key.is_none() {
            memo.last_key = state.memo(&task.id).and_then(|before| before.last_key);
        }
        if let Err(error) = state.remember(&task.id, memo) {
            tracing::debug!(%error, "what a task left behind was not noted");
        }
    }

    /// Remembers that the command of a task begins; `standing` is what was there before.
    pub(super) fn begin(&self, number: u32, standing: &Standing) {
        let task = self.runner.task(number);
        let memo = Memo {
            under_way: Some(UnderWay {
                process: Process::this(),
                outputs: task.outputs.iter().map(ToString::to_string).collect(),
            }),
            ..Memo::of_no_result(BTreeMap::new(), standing.all())
        };
        self.remember(task, memo);
    }

    /// What stands in the folder now is nobody's result, but some of it is still what this task made.
    pub(super) fn forget(&self, number: u32, standing: &Standing) {
        let runner = self.runner;
        let found = outputs::present(&runner.files, &runner.sets(number).outputs);
        let outputs = outputs::described(&runner.files, &found);
        let unowned = standing.unowned(outputs.keys());
        self.remember(runner.task(number), Memo::of_no_result(outputs, unowned));
    }

    /// The ingredients of a task, as things are now, and the stamps of its inputs.
    pub(super) fn ingredients(
        &self,
        number: u32,
        stamps: &mut Stamps,
    ) -> Result<Ingredients, BuildKeyError> {
        let runner = self.runner;
        let task = runner.task(number);
        ingredients(
            &runner.files,
            &runner.environment,
            task,
            runner.sets(number),
            stamps,
        )
    }
}

/// A result that was found and stands in the folder.
struct Found<'w> {
    /// How many outputs had to be written for it.
    written: u64,
    ran_ms: u64,
    speech: Speech<'w>,
}

/// What a task said, where all of it can be said again.
fn speech<'w>(memo: &Memo, contents: &Contents<'w>) -> Option<Speech<'w>> {
    let is_sound = contents.is_sound(&memo.stdout) && contents.is_sound(&memo.stderr);
    is_sound.then(|| Speech::kept(memo.stdout, memo.stderr, contents))
}

/// What is remembered of a result.
pub(super) fn memo(result: &TaskResult, key: Option<TaskKey>) -> Memo {
    Memo {
        key,
        last_key: key,
        stdout: result.stdout,
        stderr: result.stderr,
        ran_ms: result.ran_ms,
        ..Memo::of_no_result(result.outputs.clone(), BTreeSet::new())
    }
}
