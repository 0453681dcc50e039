//! Rounds: runs of the same targets that follow each other, each when something changed that its tasks read.
//! What stays up goes on from one to the next.
//!
//! Between two rounds nothing is held and nothing runs but what stays up. Whether something changed is told by
//! looking at the tasks' ingredients, as a run does; a bell tells when to look.

mod bell;
mod book;
mod look;

pub(crate) use book::{Book, Came};
pub use book::{Difference, LookBack};
pub(crate) use look::sight;

use crate::environment::Environment;
use crate::process::{Stop, adopt, end_all};
use crate::run::{Listener, Options, Runner, Services, Setting, Summary, marker};
use crate::workspace::Manifests;
use bell::Bell;
use book::{Sights, differences};
use look::{folders, pause_after, sights};
use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing may change before a round begins, so that a burst of changes makes one.
const SETTLE: Duration = Duration::from_millis(60);

/// How long it is waited for that at most.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// After the bell rang, it is not heard again for this many times as long as a look takes.
const REST: u32 = 10;

/// Rounds of one workspace, whatever becomes of its manifests meanwhile.
pub struct Rounds<'r> {
    stop: &'r Stop,
    listener: &'r dyn Listener,
    services: Services,
    book: Mutex<Book>,
    /// What the tasks read at the last look; nothing where there are none.
    last: Sights,
    number: u32,
}

/// What ended a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The run is to stop.
    Stopped,
    /// Something changed.
    Changed {
        /// The tasks that read it.
        tasks: Vec<Difference>,
        /// Whether a manifest changed, so that the workspace has to be loaded again.
        manifests: bool,
    },
}

/// Does something with rounds, and then ends what stays up.
///
/// # Errors
/// What the system says where this process cannot look after what its children leave behind.
pub fn in_rounds<T>(
    environment: &Environment,
    stop: &Stop,
    listener: &dyn Listener,
    body: impl FnOnce(&mut Rounds<'_>) -> T,
) -> io::Result<T> {
    adopt()?;
    std::thread::scope(|scope| {
        let services = Services::new(scope, listener, marker(environment.marker()));
        let mut rounds = Rounds {
            stop,
            listener,
            services,
            book: Mutex::default(),
            last: Sights::new(),
            number: 0,
        };
        let answer = body(&mut rounds);
        rounds.services.end(&[], stop);
        let _none_left = end_all(&format!("{}-", rounds.services.marker()), None);
        Ok(answer)
    })
}

impl Rounds<'_> {
    /// Runs tasks and all that has to succeed before them, as far as that was not done in an earlier round.
    /// What stays up and is none of them ends.
    pub fn run(&mut self, runner: &Runner<'_>, targets: &[u32], options: &Options) -> Summary {
        self.number += 1;
        self.book().begin();
        let graph = &runner.workspace.graph;
        let closure: HashSet<_> = graph.closure(targets).into_iter().collect();
        let is_part = |task: &_| {
            let number = graph.find(task).filter(|number| closure.contains(number));
            number.is_some_and(|number| runner.task(number).is_persistent)
        };
        self.services.keep(is_part);
        // Those that ended between two rounds were told, and are part of neither.
        let _told = self.services.take_ended();
        let setting = Setting {
            options,
            stop: self.stop,
            listener: self.listener,
            services: &self.services,
            book: Some(&self.book),
            number: self.number,
        };
        if let Err(error) = runner.prepare() {
            tracing::warn!(%error, "what dead runs left was not looked for");
        }
        let mut round = runner.round(targets, &setting);
        let marker = format!("{}-r{}-", self.services.marker(), self.number);
        let _none_left = end_all(&marker, None);
        // Who made room for its successor did no work of this round.
        let ended = self.services.take_ended().into_iter();
        let died = ended.filter(|record| !record.is_success());
        round.records.extend(died);
        runner.summary(round, self.stop)
    }

    /// Looks what changed while the round was under way.
    pub fn look_back(&mut self, runner: &Runner<'_>, targets: &[u32]) -> LookBack {
        self.last = sights(runner, targets);
        let back = self.book().look_back(&self.last);
        if !back.again.is_empty() {
            self.settle(|| sights(runner, targets));
        }
        back
    }

    /// Waits until something changes: something that the tasks read that were looked at last, or a manifest.
    /// `round`: what was run; nothing where the workspace cannot be loaded.
    pub fn wait(&mut self, manifests: &Manifests, round: Option<(&Runner<'_>, &[u32])>) -> Next {
        let look = || round.map_or_else(Sights::new, |(runner, targets)| sights(runner, targets));
        if round.is_none() {
            self.last.clear();
        }
        let mut bell = Bell::new();
        let mut is_to_hang = true;
        loop {
            let began = Instant::now();
            let mut now = look();
            let mut is_reloaded = manifests.again() != *manifests;
            if is_reloaded || now != self.last {
                now = self.settle(look);
                is_reloaded = manifests.again() != *manifests;
            }
            // A look that was broken off shows differences that are none.
            if self.stop.is_asked() {
                return Next::Stopped;
            }
            let tasks = differences(&self.last, &now);
            if is_reloaded || !tasks.is_empty() {
                if let Some((runner, _)) = round {
                    runner.save();
                }
                return Next::Changed {
                    tasks,
                    manifests: is_reloaded,
                };
            }
            let took = began.elapsed();
            if std::mem::take(&mut is_to_hang) {
                let mut places = manifests.folders();
                places.extend(
                    round
                        .into_iter()
                        .flat_map(|(runner, targets)| folders(runner, targets, &now)),
                );
                if bell.hang(&places) {
                    continue;
                }
            }
            if self
                .stop
                .wait(pause_after(took, bell.fd().is_some()), bell.fd())
            {
                return Next::Stopped;
            }
            is_to_hang = bell.silence();
            // Where much happens that is none of these tasks' business, looking still takes but a part.
            if is_to_hang && self.stop.wait((took * REST).min(SETTLE_MAX), None) {
                return Next::Stopped;
            }
        }
    }

    /// Waits until two looks show the same, and gives the last.
    fn settle(&self, look: impl Fn() -> Sights) -> Sights {
        let began = Instant::now();
        let mut before = look();
        loop {
            let is_stopped = self.stop.wait(SETTLE, None);
            let now = look();
            if is_stopped || now == before || began.elapsed() >= SETTLE_MAX {
                return now;
            }
            before = now;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
