//! Running the command of a task: as often as it may fail, and then keeping what it made.

mod keep;

use super::Run;
use super::record::{Cached, Event, Outcome, TaskRecord};
use super::speaker::{Said, Speech};
use super::watching::Watching;
use super::worker::Missed;
use crate::environment::Environment;
use crate::files::Files;
use crate::keys::Stamps;
use crate::outputs::{self, Standing, remove_but};
use crate::process::{self, Ended, Exit, Job, Lane, ProcessError};
use crate::restore::{Aside, Known};
use crate::store::Spool;
use crate::view;
use crate::workspace::Task;
use mainstay_contract::{Code, ErrorReport};
use mainstay_manifest::Program;
use mainstay_tasks::{Bytes, Ingredients, RunTaskError, Stream};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

/// A task that runs.
pub(super) struct Attempt<'a, 'r, 'w> {
    run: &'a Run<'r, 'w>,
    number: u32,
    task: &'w Task,
    record: TaskRecord,
    stdout: Spool<'w>,
    stderr: Spool<'w>,
    /// How much of both was passed on.
    passed: [u64; 2],
    watching: Option<Watching<'w>>,
    /// What its key was made of, where its result is to be kept.
    before: Option<Ingredients>,
    /// What the stamps of its inputs came to then.
    stamps: Stamps,
    /// When that was, by the clock that stamps files.
    since: i64,
    standing: Standing,
    /// A file of a view that may have its part in the result, and is not in the key.
    undeclared: Option<Bytes>,
}

/// Why a command did not come to an end that counts.
enum Failure {
    Task(RunTaskError),
    /// It could not be watched as was asked.
    Unwatched(std::io::Error),
}

impl<'a, 'r, 'w> Attempt<'a, 'r, 'w> {
    pub(super) fn new(run: &'a Run<'r, 'w>, number: u32, missed: Missed) -> Self {
        let store = run.runner.store;
        Self {
            run,
            number,
            task: run.runner.task(number),
            record: missed.record,
            stdout: store.spool(),
            stderr: store.spool(),
            passed: [0, 0],
            watching: None,
            before: missed.ingredients,
            stamps: missed.stamps,
            since: missed.looked_ns,
            standing: Standing::default(),
            undeclared: None,
        }
    }

    /// Runs the command to an end that counts.
    pub(super) fn run(mut self) -> (TaskRecord, Speech<'w>) {
        let (run, runner, number) = (self.run, self.run.runner, self.number);
        run.clear(number);
        let memo = runner.state.memo(&self.task.id);
        self.undeclared = self.undeclared_change();
        // What it made before must not be taken for what it makes now.
        let aside = memo.as_ref().filter(|_| self.task.is_cached);
        let aside = aside.map(|memo| Aside::take(&runner.files, memo, &Known::new()));
        let aside = aside.unwrap_or_default();
        let owns = |path: &Bytes| memo.as_ref().is_some_and(|memo| memo.owns(path));
        self.standing = Standing::look(&runner.files, runner.sets(number), owns);
        run.begin(number, &self.standing);
        let speech = self.command();
        match self.record.is_success() {
            true => aside.discard(&runner.files),
            false => {
                aside.put_back(&runner.files);
                run.forget(number, &self.standing);
            }
        }
        (self.record, speech)
    }

    fn command(&mut self) -> Speech<'w> {
        let runner = self.run.runner;
        self.watching = match Watching::of(self.run, self.number, self.before.as_ref()) {
            Ok(watching) => watching,
            Err(error) => return self.unwatched(&error),
        };
        let began = Instant::now();
        let ended = self.attempts();
        let ran_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ended = match ended {
            Ok(ended) => ended,
            Err(Failure::Task(error)) => return self.errored(&error),
            Err(Failure::Unwatched(error)) => return self.unwatched(&error),
        };
        self.record.escaped += ended.escaped;
        self.record.outcome = match ended {
            Ended {
                is_stopped: true, ..
            } => Outcome::Cancelled,
            Ended {
                is_timed_out: true, ..
            } => Outcome::TimedOut,
            Ended {
                exit: Exit::Code(0),
                ..
            } => Outcome::Ran,
            Ended { exit, .. } => Outcome::Failed { exit: exit.into() },
        };
        if self.record.outcome != Outcome::Ran {
            self.record.report();
            return self.done();
        }
        if let Some(watching) = self.watching.take()
            && let Err(error) = watching.deliver(self.run, self.number, &self.standing)
        {
            return self.errored(&error);
        }
        let made = match outputs::resolve(&runner.files, runner.sets(self.number)) {
            Ok(made) => made,
            Err(error) => return self.errored(&error),
        };
        self.record.passed_over = made.passed_over;
        match self.before.take() {
            Some(before) => self.succeeded(before, &made.found, ran_ms),
            None => {
                self.run.forget(self.number, &self.standing);
                self.done()
            }
        }
    }

    fn attempts(&mut self) -> Result<Ended, Failure> {
        loop {
            let stop = self.run.stop;
            let Some(held) = self.run.tokens.take(self.run.weight(self.number), stop) else {
                return Ok(Ended::UNBEGUN);
            };
            self.record.attempts += 1;
            let attempt = self.record.attempts;
            let task = &self.task.id;
            self.run.speaker.tell(&Event::Started { task, attempt });
            let ended = self.once()?;
            drop(held);
            let is_over = ended.exit == Exit::Code(0) && !ended.is_timed_out;
            if is_over
                || ended.is_stopped
                || attempt > self.task.retries
                || self.run.stop.is_asked()
            {
                return Ok(ended);
            }
            self.record.escaped += ended.escaped;
            // The next try begins as this one did.
            let runner = self.run.runner;
            if self.task.is_cached {
                remove_but(
                    &runner.files,
                    runner.sets(self.number),
                    &self.standing.all(),
                );
            }
        }
    }

    fn once(&mut self) -> Result<Ended, Failure> {
        let runner = self.run.runner;
        let marker = self.run.marker_of(self.number);
        let mut job = job(self.task, &runner.environment, &runner.files, marker);
        let program = job.arguments.first().cloned().unwrap_or_default();
        if let Some(watching) = &self.watching {
            watching.wrap(&mut job).map_err(Failure::Unwatched)?;
        }
        let (run, number) = (self.run, self.number);
        let tools = self.tools();
        let mut take = |stream, bytes: &[u8]| self.take(stream, bytes);
        let ended = match (runner.view, job.tokens) {
            (Some(view), _) => view::run(view, &runner.files, (&job, tools), run.stop, &mut take),
            (None, None) => process::run(&job, None, run.stop, &mut take),
            (None, Some(most)) => Lane::new(0)
                .map_err(|error| ProcessError::Spawn(error.into()))
                .and_then(|lane| {
                    run.tokens.supplying(number, &lane, most, || {
                        process::run(&job, Some(&lane), run.stop, &mut take)
                    })
                }),
        };
        let ended = ended.map_err(|error| Failure::Task(error.of(&program)))?;
        let Some(watching) = &self.watching else {
            return Ok(ended);
        };
        let seen = watching.seen(self.run, self.number);
        let (seen, undeclared) = match seen {
            Ok(seen) => seen,
            // Whoever is stopped in the middle has seen nothing.
            Err(_) if ended.is_stopped || ended.is_timed_out => return Ok(ended),
            Err(error) => return Err(Failure::Unwatched(error)),
        };
        self.record.undeclared = Some(undeclared);
        match seen.spawn_errno {
            None => Ok(ended),
            Some(errno) => {
                let cause = std::io::Error::from_raw_os_error(errno).into();
                Err(Failure::Task(ProcessError::Spawn(cause).of(&program)))
            }
        }
    }

    /// Programs that its result depends on.
    fn tools(&self) -> Vec<PathBuf> {
        let runner = self.run.runner;
        let tools = self.task.tools.iter();
        let find = |name: &String| runner.environment.program(self.task, &runner.files, name);
        tools.filter_map(find).collect()
    }

    /// Takes what the command says: keeps it, and passes it on where this task has the floor.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        let (side, spool) = match stream {
            Stream::Stdout => (0, &mut self.stdout),
            Stream::Stderr => (1, &mut self.stderr),
        };
        let before = spool.len();
        spool.push(bytes)?;
        if !self.run.speaker.has_floor(self.number) {
            return Ok(());
        }
        let task = &self.task.id;
        if self.passed[side] == before {
            self.run.speaker.say(task, stream, bytes);
        } else {
            spool.replay(self.passed[side], &mut |bytes| {
                self.run.speaker.say(task, stream, bytes);
                Ok(())
            })?;
        }
        self.passed[side] = spool.len();
        Ok(())
    }

    /// The command was not, or not rightly, watched as was asked: nothing of it counts.
    fn unwatched(&mut self, error: &std::io::Error) -> Speech<'w> {
        let task = &self.task.id;
        let message = format!("{task}: its command cannot be watched: {error}");
        let report = ErrorReport::new(Code::SandboxUnsupported, message);
        self.record.outcome = Outcome::Errored;
        self.record.cached = Cached::No;
        let report = report.about("task", task.to_string());
        self.record
            .reports
            .push(report.hint("leave `--sandbox` out"));
        self.done()
    }

    fn errored(&mut self, error: &RunTaskError) -> Speech<'w> {
        self.record.outcome = Outcome::Errored;
        self.record.cached = Cached::No;
        self.record.reports.push(error.report_of(&self.task.id));
        self.done()
    }

    fn done(&mut self) -> Speech<'w> {
        let store = self.run.runner.store;
        let said =
            |spool: &mut Spool<'w>| Said::Spool(Box::new(std::mem::replace(spool, store.spool())));
        Speech {
            stdout: said(&mut self.stdout),
            stderr: said(&mut self.stderr),
            passed: self.passed,
            is_replay: false,
        }
    }
}

pub(super) fn job(task: &Task, environment: &Environment, files: &Files, marker: String) -> Job {
    let mut arguments: Vec<OsString> = match &task.program {
        Program::Command(arguments) => arguments.iter().map(OsString::from).collect(),
        Program::Shell(script) => ["-c", script].iter().map(OsString::from).collect(),
    };
    if let Program::Shell(_) = task.program {
        arguments.insert(0, OsString::from(crate::environment::SHELL));
    }
    // The system looks a bare name up on the caller's PATH, which is not the task's.
    if let Some(first) = arguments.first_mut()
        && let Some(path) = first
            .to_str()
            .and_then(|name| environment.program(task, files, name))
    {
        *first = path.into_os_string();
    }
    Job {
        arguments,
        cwd: files.path().join(OsStr::from_bytes(&task.cwd.0)),
        environment: environment.of_command(task),
        timeout: task.timeout,
        // One job is the command itself.
        tokens: task
            .has_jobserver
            .then_some(task.needs.weight.saturating_sub(1)),
        grace: task.grace,
        marker,
    }
}
