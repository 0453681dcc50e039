//! `task run --watch`: one round after the other, each when something changed.

use super::Opened;
use super::console::Console;
use super::run::{Ended, conclude, jobserver, options, with_runner};
use crate::args::TaskRun;
use crate::context::Context;
use crate::error::CliError;
use mainstay_contract::{Code, Coded};
use mainstay_runner::workspace::Manifests;
use mainstay_runner::{Difference, Environment, Jobserver, Next, Options, Rounds, Stop, in_rounds};
use serde_json::json;

/// What rounds work with.
struct Watching<'a> {
    context: &'a Context,
    args: &'a TaskRun,
    stop: &'a Stop,
    console: Console,
    make: Option<Jobserver>,
}

pub(super) fn watch(context: &Context, args: &TaskRun, stop: &Stop) -> Result<Ended, CliError> {
    let console = Console::new(context.output);
    let watching = Watching {
        context,
        args,
        stop,
        console,
        make: jobserver(console),
    };
    let watched = in_rounds(&Environment::here(), stop, &console, |rounds| {
        watching.rounds(rounds)
    });
    watched.map_err(|error| CliError::Runtime(error.to_string()))?
}

impl Watching<'_> {
    /// Round after round, until somebody stops them.
    fn rounds(&self, rounds: &mut Rounds<'_>) -> Result<Ended, CliError> {
        let path = self.context.workspace_manifest()?;
        let mut is_first = true;
        loop {
            let manifests = Manifests::look(&path);
            let (ended, next) = match self.opened() {
                Ok((opened, targets)) => {
                    self.round(rounds, &manifests, &opened, &targets, is_first)?
                }
                // Whoever names no task from the start will not be understood later.
                Err(error) if is_first && error.code() != Code::ManifestInvalid => {
                    return Err(error);
                }
                Err(error) => {
                    let report = error.report();
                    self.console.failure(&report);
                    self.watching(0);
                    let ended = Ended {
                        code: Some(report.code.info().exit),
                        is_stopped: false,
                    };
                    (ended, rounds.wait(&manifests, None))
                }
            };
            is_first = false;
            match next {
                Next::Stopped => return Ok(ended),
                Next::Changed { tasks, manifests } => self
                    .console
                    .show(&json!({"event": "round", "changed": tasks, "manifests": manifests})),
            }
        }
    }

    fn opened(&self) -> Result<(Opened, Vec<u32>), CliError> {
        let opened = Opened::new(self.context)?;
        let targets = opened.targets(&self.args.targets)?;
        Ok((opened, targets))
    }

    fn watching(&self, tasks: usize) {
        self.console
            .show(&json!({"event": "watching", "tasks": tasks}));
    }

    /// One round, and the wait for the next.
    fn round(
        &self,
        rounds: &mut Rounds<'_>,
        manifests: &Manifests,
        opened: &Opened,
        targets: &[u32],
        is_first: bool,
    ) -> Result<(Ended, Next), CliError> {
        let options = options(self.args, !self.context.output.is_json).of(&opened.workspace);
        let options = Options {
            // What did not change is not forced again.
            is_forced: options.is_forced && is_first,
            ..options
        };
        with_runner(opened, self.make.as_ref(), |runner| {
            let summary = rounds.run(runner, targets, &options);
            conclude(self.args, opened, self.console, &summary)?;
            let ended = Ended::of(&summary);
            if ended.is_stopped {
                return Ok((ended, Next::Stopped));
            }
            let back = rounds.look_back(runner, targets);
            for Difference { task, changes } in &back.restless {
                let event = json!({"event": "restless", "task": task, "changes": changes});
                self.console.show(&event);
            }
            if self.stop.is_asked() {
                return Ok((ended, Next::Stopped));
            }
            let next = match back.again.is_empty() {
                true => {
                    self.watching(summary.tasks.len());
                    rounds.wait(manifests, Some((runner, targets)))
                }
                false => Next::Changed {
                    tasks: back.again,
                    manifests: false,
                },
            };
            Ok((ended, next))
        })
    }
}
