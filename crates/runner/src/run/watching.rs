//! Watching the command of a task.

use super::Run;
use super::delivery::Delivery;
use crate::files::Files;
use crate::keys::Stamps;
use crate::observe::{Seen, Undeclared, Watch, WatchOrder, Watcher, clear, order};
use crate::outputs::{self, Standing};
use crate::process::Job;
use mainstay_tasks::{Bytes, Ingredients, RunTaskError};
use std::io;

/// A command that is watched.
pub(super) struct Watching<'w> {
    watcher: &'w dyn Watcher,
    order: WatchOrder,
    declared: Ingredients,
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
        let declared = match declared {
            Some(declared) => declared.clone(),
            None => {
                let stamps = &mut Stamps::default();
                run.ingredients(number, stamps).map_err(io::Error::other)?
            }
        };
        let task = runner.task(number);
        let name = format!("{}-{number}", run.marker);
        let order = order(
            watch,
            &runner.files,
            &task.outputs,
            &task.cwd,
            &declared,
            &name,
        )?;
        Ok(Some(Self {
            watcher,
            order,
            declared,
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
        let undeclared = Undeclared::of(&seen, &runner.files, runner.sets(number), &self.declared);
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
