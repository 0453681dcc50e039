//! Watching the command of a task.

use super::Run;
use super::delivery::Delivery;
use crate::declared::readable;
use crate::files::Files;
use crate::keys::Stamps;
use crate::observe::{Seen, Undeclared, Watch, WatchOrder, Watcher, clear, order};
use crate::outputs::{self, Standing};
use crate::process::Job;
use mainstay_tasks::{Bytes, Ingredients, RunTaskError};
use std::collections::BTreeSet;
use std::io;

/// A command that is watched.
pub(super) struct Watching<'w> {
    watcher: &'w dyn Watcher,
    order: WatchOrder,
    readable: BTreeSet<Bytes>,
}

impl<'w> Watching<'w> {
    /// What the run wants of a task, if anything.
    pub(super) fn of(
        run: &Run<'_, 'w>,
        number: u32,
        declared: Option<&Ingredients>,
    ) -> io::Result<Option<Self>> {
        let runner = run.runner;
        let (Some(watch), Some(watcher)) = (run.options.watch, runner.watcher) else {
            return Ok(None);
        };
        let (files, sets) = (&runner.files, runner.sets(number));
        let readable = match declared {
            Some(declared) => readable(files, sets, declared),
            None => run
                .ingredients(number, &mut Stamps::default())
                .and_then(|declared| readable(files, sets, &declared)),
        };
        let readable = readable.map_err(io::Error::other)?;
        let task = runner.task(number);
        let order = order(watch, files, &task.outputs, &task.cwd, &readable)?;
        Ok(Some(Self {
            watcher,
            order,
            readable,
        }))
    }

    /// Puts the watcher before a command.
    pub(super) fn wrap(&self, job: &mut Job) -> io::Result<()> {
        let mut words = self.watcher.wrap(&self.order)?;
        words.append(&mut job.arguments);
        job.arguments = words;
        Ok(())
    }

    /// What was seen, and what of it is not declared.
    pub(super) fn seen(&self, run: &Run<'_, 'w>, number: u32) -> io::Result<(Seen, Undeclared)> {
        let seen = self.watcher.seen(&self.order)?;
        let runner = run.runner;
        let undeclared = Undeclared::of(&seen, &runner.files, runner.sets(number), &self.readable);
        Ok((seen, undeclared))
    }

    /// Brings what the command made from its stage to where it belongs.
    pub(super) fn deliver(
        &self,
        run: &Run<'_, 'w>,
        number: u32,
        standing: &Standing,
    ) -> Result<(), RunTaskError> {
        if self.order.watch == Watch::Trace {
            return Ok(());
        }
        let runner = run.runner;
        let (cache, index) = (runner.store.folder(), self.order.scratch.join("index"));
        let stage = Files::open(&self.order.stage, cache, index).map_err(|errno| {
            RunTaskError::OutputPatternResolutionFailed {
                root: Bytes::from("."),
                cause: io::Error::from(errno).into(),
            }
        })?;
        let made = outputs::resolve(&stage, runner.sets(number))?;
        let delivery = Delivery {
            stage: &stage,
            files: &runner.files,
            standing,
        };
        delivery.run(&made.found)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        clear(&self.order.scratch);
    }
}
