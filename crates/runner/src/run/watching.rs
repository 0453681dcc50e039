//! Watching the command of a task.

use super::Run;
use crate::files::Files;
use crate::keys::Stamps;
use crate::observe::{Seen, Undeclared, Watch, WatchOrder, Watcher, clear, order};
use crate::outputs;
use crate::process::Job;
use mainstay_tasks::{Bytes, Ingredients, Os, RunTaskError};
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

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
    pub(super) fn deliver(&self, run: &Run<'_, 'w>, number: u32) -> Result<(), RunTaskError> {
        if self.order.watch == Watch::Trace {
            return Ok(());
        }
        let stage = &self.order.stage;
        let failed = |path: &Bytes, error: io::Error| RunTaskError::OutputPatternResolutionFailed {
            root: path.clone(),
            cause: Os::from(error),
        };
        let cache = run.runner.store.folder();
        let files = Files::open(stage, cache, self.order.scratch.join("index"))
            .map_err(|errno| failed(&Bytes::from("."), errno.into()))?;
        for found in outputs::resolve(&files, run.runner.sets(number))?.found {
            let path = OsStr::from_bytes(&found.path.0);
            let to = self.order.root.join(path);
            let moved = match found.stat.kind {
                FileType::Directory => std::fs::create_dir_all(&to),
                _ => to
                    .parent()
                    .map_or(Ok(()), std::fs::create_dir_all)
                    .and_then(|()| std::fs::rename(stage.join(path), &to)),
            };
            moved.map_err(|error| failed(&found.path, error))?;
        }
        Ok(())
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        clear(&self.order.scratch);
    }
}
