//! A run: threads that take one step of the schedule after the other.

mod attempt;
mod lock;
mod path;
mod record;
mod service;
mod speaker;
mod watching;
mod worker;

pub use record::{Cached, Event, ExitWord, Listener, Outcome, Summary, TaskRecord, totals};

use crate::environment::Environment;
use crate::files::Files;
use crate::keys::Sets;
use crate::observe::{Watch, Watcher};
use crate::process::{Stop, adopt, end_all};
use crate::remote::{Remote, Uploads};
use crate::restore::sweep;
use crate::state::State;
use crate::store::Store;
use crate::threads::STACK;
use crate::view::View;
use crate::workspace::{Task, Workspace};
use lock::WorkspaceLock;
use mainstay_tasks::{Ending, Limits, Schedule, Step, TaskKey};
use service::Service;
use speaker::{Speaker, Speech};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use worker::Missed;

/// How long a thread without work waits before it looks whether the run is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many jobs at once.
    pub jobs: u32,
    /// Whether commands run even where the cache has their results.
    pub is_forced: bool,
    /// Whether the rest goes on where a task fails.
    pub keeps_going: bool,
    /// How commands are watched.
    pub watch: Option<Watch>,
    /// Whether the listener keeps the outputs of tasks apart by itself.
    pub is_open_floor: bool,
}

/// A workspace with all that its runs need.
pub struct Runner<'w> {
    pub(crate) workspace: &'w Workspace,
    pub(crate) files: Files,
    pub(crate) state: State,
    pub(crate) store: &'w Store,
    pub(crate) environment: Environment,
    pub(crate) lock: WorkspaceLock,
    remote: Option<&'w dyn Remote>,
    pub(crate) watcher: Option<&'w dyn Watcher>,
    pub(crate) view: Option<&'w dyn View>,
    sets: Vec<OnceLock<Sets>>,
}

impl<'w> Runner<'w> {
    /// Opens a workspace.
    ///
    /// # Errors
    /// What the system says where the workspace's folder cannot be opened.
    pub fn new(
        workspace: &'w Workspace,
        store: &'w Store,
        environment: Environment,
    ) -> io::Result<Self> {
        let own = store.of_workspace(&workspace.root);
        Ok(Self {
            files: Files::open(&workspace.root, store.folder(), own.join("index"))?,
            state: State::open(own.join("state")),
            lock: WorkspaceLock::new(own.join("lock"), environment.marker().is_some()),
            sets: workspace.tasks.iter().map(|_| OnceLock::new()).collect(),
            workspace,
            store,
            environment,
            remote: None,
            watcher: None,
            view: None,
        })
    }

    /// Opens a private view of a workspace.
    ///
    /// # Errors
    /// What the system says where it cannot be opened.
    pub fn of_view(
        workspace: &'w Workspace,
        store: &'w Store,
        environment: Environment,
        view: &'w dyn View,
    ) -> io::Result<Self> {
        let runner = Self::new(workspace, store, environment)?;
        let own = view.folder();
        Ok(Self {
            files: runner.files.seen_by(view.open(false)?, view.owner()),
            state: State::open(own.join("state")),
            // Nobody else works there, and what this process starts must not inherit a lock.
            lock: WorkspaceLock::new(own.join("lock"), true),
            view: Some(view),
            ..runner
        })
    }

    /// Asks a remote cache, too.
    #[must_use]
    pub fn with_remote(mut self, remote: Option<&'w dyn Remote>) -> Self {
        self.remote = remote;
        self
    }

    /// Can watch commands.
    #[must_use]
    pub fn with_watcher(mut self, watcher: &'w dyn Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Runs tasks and all that has to succeed before them.
    ///
    /// # Errors
    /// What the system says where this process cannot look after what its children leave behind.
    pub fn run(
        &self,
        targets: &[u32],
        options: &Options,
        stop: &Stop,
        listener: &dyn Listener,
    ) -> io::Result<Summary> {
        self.prepare()?;
        let began = Instant::now();
        let graph = &self.workspace.graph;
        let tasks = graph.closure(targets);
        let limits = Limits {
            jobs: options.jobs,
            tags: self.workspace.tags.clone(),
            keeps_going: options.keeps_going,
        };
        let needs = self.workspace.tasks.iter().map(|task| task.needs.clone());
        let schedule = Schedule::new(graph, &tasks, needs.collect(), limits);
        let services = tasks.iter().filter(|&&task| self.task(task).is_persistent);
        let services: io::Result<Vec<Service>> = services.map(|&task| Service::new(task)).collect();
        let run = Run {
            runner: self,
            options,
            stop,
            speaker: Speaker::new(listener, options.is_open_floor),
            began,
            marker: marker(self.environment.marker()),
            notes_use: self.store.is_use_to_be_noted(&self.workspace.root),
            schedule: Mutex::new(schedule),
            woken: Condvar::new(),
            records: Mutex::new(Vec::with_capacity(tasks.len())),
            misses: Mutex::default(),
            made: Mutex::default(),
            services: services?,
        };
        let threads = usize::try_from(options.jobs)
            .unwrap_or(1)
            .clamp(1, tasks.len().max(1));
        std::thread::scope(|scope| {
            let uploads = Uploads::start(scope, self.store, self.remote);
            for service in &run.services {
                scope.spawn(|| run.serve(service));
            }
            std::thread::scope(|scope| {
                for number in 0..threads {
                    let thread = std::thread::Builder::new().stack_size(STACK);
                    let begun = thread.spawn_scoped(scope, || run.work(&uploads));
                    // Fewer threads do as well, this one if need be.
                    if begun.is_err() && number == 0 {
                        run.work(&uploads);
                    }
                }
            });
            self.lock.give_back();
            run.end_services(targets);
            uploads.finish();
        });
        let left: Vec<u32> = run.schedule().left().collect();
        for task in left {
            let outcome = match stop.is_asked() {
                true => Outcome::Cancelled,
                false => Outcome::NotStarted,
            };
            let record = TaskRecord::new(&self.task(task).id, outcome).reported();
            run.close(task, record, Speech::none());
        }
        match self.view {
            None => drop(end_all(&format!("{}-", run.marker), None)),
            Some(_) => self.files.tidy(),
        }
        self.save();
        let records = run
            .records
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let mut summary = path::summary(graph, records, began, stop.is_asked());
        summary.remote_failure = self.remote.and_then(Remote::failure);
        Ok(summary)
    }

    /// Ends and removes what dead runs left.
    fn prepare(&self) -> io::Result<()> {
        if self.view.is_none() {
            adopt()?;
            self.lock.end_what_was_left();
            sweep(&self.files);
        }
        Ok(())
    }

    pub(crate) fn task(&self, number: u32) -> &'w Task {
        &self.workspace.tasks[number as usize]
    }

    pub(crate) fn sets(&self, number: u32) -> &Sets {
        self.sets[number as usize].get_or_init(|| Sets::of(self.task(number)))
    }

    /// Writes what was learned on the way; that it was not costs only time.
    pub(crate) fn save(&self) {
        let saved = self.files.index().save().and_then(|()| self.state.tidy());
        if let Err(error) = saved {
            tracing::debug!(%error, "what was learned of files was not saved");
        }
    }
}

/// A run that is under way.
struct Run<'r, 'w> {
    runner: &'r Runner<'w>,
    options: &'r Options,
    stop: &'r Stop,
    speaker: Speaker<'r, 'w>,
    began: Instant,
    /// Names this run in the environment of its commands.
    marker: String,
    /// Whether the use of results is noted whose outputs stand in the folder already.
    notes_use: bool,
    schedule: Mutex<Schedule<'w>>,
    woken: Condvar,
    records: Mutex<Vec<TaskRecord>>,
    /// The tasks that stay up.
    services: Vec<Service>,
    /// The keys of results that were made and not yet sent to the remote cache.
    made: Mutex<Vec<TaskKey>>,
    /// What is known so far of tasks that wait for their turn to run.
    misses: Mutex<HashMap<u32, Missed>>,
}

impl<'w> Run<'_, 'w> {
    /// One thread: a step, its outcome, the next.
    fn work(&self, uploads: &Uploads<'_>) {
        while let Some(step) = self.next() {
            match step {
                Step::Look(task) => self.look(task),
                Step::Run(task) => self.execute(task, self.elapsed_ms()),
            }
            let made = std::mem::take(&mut *self.made());
            made.into_iter().for_each(|key| uploads.push(key));
        }
        self.woken.notify_all();
    }

    fn next(&self) -> Option<Step> {
        let mut schedule = self.schedule();
        loop {
            if self.stop.is_asked() {
                schedule.stop();
                self.stop_services();
            }
            if let Some(step) = schedule.poll() {
                return Some(step);
            }
            if schedule.is_over() {
                return None;
            }
            // What waits for a task to be ready hears of a stop by looking.
            let woken = self.woken.wait_timeout(schedule, LOOK_AGAIN);
            schedule = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Notes the end of a task, and of those that cannot run because of it.
    fn close(&self, task: u32, mut record: TaskRecord, speech: Speech<'w>) {
        let now = self.elapsed_ms();
        record.took_ms = now.saturating_sub(record.began_ms);
        for report in &mut record.reports {
            report.spent.ms = record.took_ms;
        }
        let kept = record.clone();
        self.speaker.finish(task, record, speech);
        self.records().push(kept);
    }

    /// Says that a task is over, and goes on with what waited for it.
    fn end(&self, task: u32, record: TaskRecord, speech: Speech<'w>) {
        let ending = match record.is_success() {
            true => Ending::Succeeded,
            false => Ending::Failed,
        };
        let id = record.task.clone();
        self.close(task, record, speech);
        let skipped = self.schedule().ended(task, ending);
        self.woken.notify_all();
        for task in skipped {
            let because = id.clone();
            let record = TaskRecord::new(&self.runner.task(task).id, Outcome::Skipped { because });
            self.close(task, record.reported(), Speech::none());
        }
    }

    /// Names the processes of one task of this run.
    fn marker_of(&self, number: u32) -> String {
        format!("{}-{number}.", self.marker)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn records(&self) -> MutexGuard<'_, Vec<TaskRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, Vec<TaskKey>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn misses(&self) -> MutexGuard<'_, HashMap<u32, Missed>> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule<'w>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names a run as no other; as part of the task that started it, where one did, so that it ends with that.
fn marker(outer: Option<&OsStr>) -> String {
    let now = crate::files::now();
    let pid = std::process::id();
    let name = blake3::hash(format!("{pid}/{now}/{:p}", &raw const now).as_bytes()).to_hex();
    let outer = outer.and_then(OsStr::to_str).unwrap_or_default();
    format!("{outer}{}", &name[..16])
}
