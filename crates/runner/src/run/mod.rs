//! A run: threads that take one step of the schedule after the other.

mod attempt;
mod delivery;
mod lock;
mod notes;
mod path;
mod record;
mod service;
mod services;
mod speaker;
mod waits;
mod watching;
mod worker;

pub(crate) use services::Services;

pub use record::{Cached, Event, ExitWord, Listener, Outcome, Summary, TaskRecord, totals};

use crate::environment::Environment;
use crate::files::Files;
use crate::keys::Sets;
use crate::observe::{self, Watch, Watcher};
use crate::process::{Jobserver, Stop, Tokens, adopt, end_all};
use crate::remote::{Remote, Uploads};
use crate::restore::sweep;
use crate::rounds::Book;
use crate::state::State;
use crate::store::Store;
use crate::threads::STACK;
use crate::view::View;
use crate::workspace::{Task, Workspace};
use lock::WorkspaceLock;
use mainstay_tasks::{Ending, Limits, Needs, Schedule, Step, TaskId, TaskKey};
use service::News;
use speaker::{Speaker, Speech};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
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
    make: Option<&'w Jobserver>,
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
            lock: WorkspaceLock::shared(
                own.join("lock"),
                environment.marker(),
                store.folder().join("waits"),
            ),
            sets: workspace.tasks.iter().map(|_| OnceLock::new()).collect(),
            workspace,
            store,
            environment,
            remote: None,
            watcher: None,
            make: None,
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
            state: State::open(own.join("state")).over(&runner.state),
            // Nobody else works there, and what this process starts must not inherit a lock.
            lock: WorkspaceLock::private(own.join("lock")),
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

    /// Asks the make that started this process for every command but the first.
    #[must_use]
    pub fn with_make(mut self, make: Option<&'w Jobserver>) -> Self {
        self.make = make;
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
        let marker = marker(self.environment.marker());
        std::thread::scope(|scope| {
            let services = Services::new(scope, listener, marker);
            let setting = Setting {
                options,
                stop,
                listener,
                services: &services,
                book: None,
                number: 1,
            };
            let mut round = self.round(targets, &setting);
            let wanted: Vec<&TaskId> = match round.records.iter().all(TaskRecord::is_success) {
                true => targets.iter().map(|&task| &self.task(task).id).collect(),
                false => Vec::new(),
            };
            services.end(&wanted, stop);
            round.records.extend(services.take_ended());
            match self.view {
                None => drop(end_all(&format!("{}-", services.marker()), None)),
                Some(_) => self.files.tidy(),
            }
            Ok(self.summary(round, stop))
        })
    }

    /// Runs tasks once. What stays up is up after it.
    pub(crate) fn round(&self, targets: &[u32], setting: &Setting<'_>) -> Round {
        self.files.hear(setting.stop);
        let graph = &self.workspace.graph;
        let tasks = graph.closure(targets);
        let limits = Limits {
            jobs: setting.options.jobs,
            tags: self.workspace.tags.clone(),
            keeps_going: setting.options.keeps_going,
        };
        let schedule = Schedule::new(graph, &tasks, self.needs(), limits);
        let shares = |&task: &u32| self.shares_jobs(task);
        let is_shared = tasks.iter().any(shares);
        let (news, heard) = channel();
        let run = Run {
            runner: self,
            options: setting.options,
            stop: setting.stop,
            speaker: Speaker::new(setting.listener, setting.options.is_open_floor),
            began: Instant::now(),
            marker: format!("{}-r{}", setting.services.marker(), setting.number),
            notes_use: self.store.is_use_to_be_noted(&self.workspace.root),
            schedule: Mutex::new(schedule),
            woken: Condvar::new(),
            idle: AtomicUsize::new(0),
            records: Mutex::new(Vec::with_capacity(tasks.len())),
            misses: Mutex::default(),
            made: Mutex::default(),
            services: setting.services,
            news,
            book: setting.book,
            tokens: Tokens::new(setting.options.jobs, is_shared, self.make),
        };
        let threads = usize::try_from(setting.options.jobs)
            .unwrap_or(1)
            .clamp(1, tasks.len().max(1));
        std::thread::scope(|scope| {
            let uploads = Uploads::start(scope, self.store, self.remote);
            if tasks.iter().any(|&task| self.task(task).is_persistent) {
                scope.spawn(|| run.hear(heard));
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
            let _hears_no_more = run.news.send(News::Done);
            self.lock.give_back();
            uploads.finish();
        });
        run.close_what_is_left();
        self.save();
        let records = run.records.into_inner();
        Round {
            records: records.unwrap_or_else(PoisonError::into_inner),
            began: run.began,
        }
    }

    /// Whether the command of a task takes jobs that others could have, as it goes.
    fn shares_jobs(&self, number: u32) -> bool {
        let task = self.task(number);
        task.has_jobserver && !task.is_persistent
    }

    /// What the schedule has to see to; jobs that a command takes as it goes, it cannot.
    fn needs(&self) -> Vec<Needs> {
        let tasks = (0..).zip(&self.workspace.tasks);
        let needs = tasks.map(|(number, task)| Needs {
            weight: match self.shares_jobs(number) {
                true => 1,
                false => task.needs.weight,
            },
            ..task.needs.clone()
        });
        needs.collect()
    }

    /// What a round came to.
    pub(crate) fn summary(&self, round: Round, stop: &Stop) -> Summary {
        let graph = &self.workspace.graph;
        let mut summary = path::summary(graph, round.records, round.began, stop.is_asked());
        summary.remote_failure = self.remote.and_then(Remote::failure);
        summary
    }

    /// Ends and removes what dead runs left.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        if self.view.is_none() {
            adopt()?;
            self.lock.end_what_was_left();
            sweep(&self.files);
            observe::sweep(&self.files);
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

/// What a round works with, besides a workspace.
pub(crate) struct Setting<'r> {
    pub(crate) options: &'r Options,
    pub(crate) stop: &'r Stop,
    pub(crate) listener: &'r dyn Listener,
    pub(crate) services: &'r Services,
    /// Where rounds follow each other: what they remember.
    pub(crate) book: Option<&'r Mutex<Book>>,
    /// Which round it is, from 1.
    pub(crate) number: u32,
}

/// What a round leaves.
pub(crate) struct Round {
    pub(crate) records: Vec<TaskRecord>,
    began: Instant,
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
    /// How many threads wait for something to do; changed under the schedule's lock.
    idle: AtomicUsize,
    records: Mutex<Vec<TaskRecord>>,
    /// The tasks that stay up.
    services: &'r Services,
    /// For what is heard of those that are being started.
    news: Sender<News>,
    book: Option<&'r Mutex<Book>>,
    tokens: Tokens<'r>,
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
        self.wake();
    }

    fn next(&self) -> Option<Step> {
        let mut schedule = self.schedule();
        loop {
            if self.stop.is_asked() {
                schedule.stop();
                self.services.hear(self.stop);
            }
            if let Some(step) = schedule.poll() {
                return Some(step);
            }
            if schedule.is_over() {
                return None;
            }
            // What waits for a task to be ready hears of a stop by looking.
            self.idle.fetch_add(1, Ordering::Relaxed);
            let woken = self.woken.wait_timeout(schedule, LOOK_AGAIN);
            schedule = woken.unwrap_or_else(PoisonError::into_inner).0;
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Wakes who waits for something to do. Call it after the schedule changed under its lock, which whoever
    /// waits held when he said so; where nobody does, the system need not be asked.
    fn wake(&self) {
        if self.idle.load(Ordering::Relaxed) > 0 {
            self.woken.notify_all();
        }
    }

    /// One thread: passes on what is heard of tasks that stay up.
    fn hear(&self, heard: Receiver<News>) {
        for news in heard {
            match news {
                News::Ready(task) => {
                    self.note_success(task, None);
                    self.schedule().ended(task, Ending::Succeeded);
                    self.wake();
                }
                News::Over(task, record) => self.end(task, *record, Speech::none()),
                News::Done => return,
            }
        }
    }

    /// Closes what was not begun.
    fn close_what_is_left(&self) {
        let left: Vec<u32> = self.schedule().left().collect();
        for task in left {
            let outcome = match self.stop.is_asked() {
                true => Outcome::Cancelled,
                false => Outcome::NotStarted,
            };
            let record = TaskRecord::new(&self.runner.task(task).id, outcome).reported();
            self.close(task, record, Speech::none());
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
        match ending {
            Ending::Succeeded => self.note_success(task, Some(&record)),
            Ending::Failed => self.note_failure(task),
        }
        let because = record.task.clone();
        let behind = match record.outcome {
            Outcome::Cancelled => Outcome::Cancelled,
            _ => Outcome::Skipped { because },
        };
        self.close(task, record, speech);
        let skipped = self.schedule().ended(task, ending);
        self.wake();
        for task in skipped {
            let record = TaskRecord::new(&self.runner.task(task).id, behind.clone());
            self.close(task, record.reported(), Speech::none());
        }
    }

    /// As how many jobs the command of a task counts.
    fn weight(&self, number: u32) -> u32 {
        match self.runner.shares_jobs(number) {
            true => 1,
            false => {
                let weight = self.runner.task(number).needs.weight;
                weight.clamp(1, self.options.jobs.max(1))
            }
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
pub(crate) fn marker(outer: Option<&OsStr>) -> String {
    let now = crate::files::now();
    let pid = std::process::id();
    let name = blake3::hash(format!("{pid}/{now}/{:p}", &raw const now).as_bytes()).to_hex();
    let outer = outer.and_then(OsStr::to_str).unwrap_or_default();
    format!("{outer}{}", &name[..16])
}
