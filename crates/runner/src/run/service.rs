//! A task that stays up, such as a development server: it has a thread of its own, and those behind it begin
//! once it is ready.

use super::record::{Event, Listener, Outcome, TaskRecord};
use crate::process::{self, Ended, Exit, Job, Lane, ProcessError, Stop};
use mainstay_manifest::Ready;
use mainstay_tasks::RunTaskError;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a task may take to become ready, where it does not say so.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a port may still be held by what was ended just before.
const PORT_MAX: Duration = Duration::from_secs(1);

/// What a run hears of the tasks that it starts and that stay up; each of them says one word.
#[derive(Debug)]
pub(super) enum News {
    /// Those behind it may begin.
    Ready(u32),
    /// It never became ready.
    Over(u32, Box<TaskRecord>),
    /// There is nothing more to come.
    Done,
}

/// A task that is to be started.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) number: u32,
    pub(super) job: Job,
    pub(super) ready: Ready,
    pub(super) record: TaskRecord,
    pub(super) news: Sender<News>,
}

/// A task that stays up.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) beginning: Beginning,
    stop: Stop,
    /// How often it was asked to end.
    asked: AtomicU8,
    /// Whether its process has ended; what it said may still be read.
    has_exited: AtomicBool,
    phase: Mutex<Phase>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    /// It never became ready.
    Late,
    /// Its command has ended.
    Gone,
    /// That was told.
    Over,
}

impl Service {
    pub(super) fn new(beginning: Beginning) -> std::io::Result<Self> {
        Ok(Self {
            beginning,
            stop: Stop::new()?,
            asked: AtomicU8::new(0),
            has_exited: AtomicBool::new(false),
            phase: Mutex::new(Phase::Starting),
            changed: Condvar::new(),
        })
    }

    /// Asks it to end until it was asked this often.
    pub(super) fn ask(&self, level: u8) {
        let before = self.asked.fetch_max(level, Ordering::SeqCst);
        (before..level).for_each(|_| self.stop.ask());
    }

    /// Whether it is ready, and nobody wants it to end.
    pub(super) fn is_up(&self) -> bool {
        *self.phase() == Phase::Ready && !self.stop.is_asked()
    }

    pub(super) fn is_over(&self) -> bool {
        *self.phase() == Phase::Over
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that its end was told.
    pub(super) fn close(&self) {
        self.enter(Phase::Over);
    }

    fn enter(&self, next: Phase) -> Phase {
        let before = std::mem::replace(&mut *self.phase(), next);
        self.changed.notify_all();
        before
    }

    fn wait_until_over(&self) {
        let mut phase = self.phase();
        while *phase != Phase::Over {
            let woken = self.changed.wait(phase);
            phase = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One thread: from the end of the one whose place it takes to its own. What is left is its record, where
    /// nobody else was given it.
    pub(super) fn live(
        &self,
        before: Option<&Self>,
        listener: &dyn Listener,
    ) -> Option<TaskRecord> {
        if let Some(before) = before {
            before.ask(1);
            before.wait_until_over();
        }
        let taken = self.taken_port();
        let started = Instant::now();
        let mut record = self.beginning.record.clone();
        let last = match (self.stop.is_asked(), taken) {
            (true, _) => {
                record.outcome = Outcome::Cancelled;
                record.report();
                self.enter(Phase::Gone)
            }
            (false, Some(port)) => {
                let last = self.enter(Phase::Gone);
                self.judge(&mut record, Err(RunTaskError::PortTaken { port }), last);
                last
            }
            (false, None) => {
                record.attempts = 1;
                let (ended, last) = std::thread::scope(|scope| {
                    scope.spawn(|| self.probe(listener, started));
                    let ended = self.run(listener);
                    (ended, self.enter(Phase::Gone))
                });
                self.judge(&mut record, ended, last);
                last
            }
        };
        if last != Phase::Ready {
            self.say(News::Over(self.beginning.number, Box::new(record)));
            return None;
        }
        record.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        for report in &mut record.reports {
            report.spent.ms = record.took_ms;
        }
        listener.on(&Event::Ended(&record));
        Some(record)
    }

    /// The port that is to show that it is ready, where somebody else shows that.
    fn taken_port(&self) -> Option<u16> {
        let ready = &self.beginning.ready;
        let port = ready.port.filter(|_| ready.line.is_none())?;
        let began = Instant::now();
        while accepts(port) {
            if began.elapsed() >= PORT_MAX || self.stop.wait(PAUSE, None) {
                return Some(port);
            }
        }
        None
    }

    fn run(&self, listener: &dyn Listener) -> Result<Ended, RunTaskError> {
        let Beginning { job, record, .. } = &self.beginning;
        let program = job.arguments.first().cloned().unwrap_or_default();
        let (task, attempt) = (&record.task, 1);
        listener.on(&Event::Started { task, attempt });
        let mut line = Vec::new();
        let mut take = |stream, bytes: &[u8]| {
            let is_replay = false;
            listener.on(&Event::Output {
                task,
                stream,
                bytes,
                is_replay,
            });
            if let Some(wanted) = &self.beginning.ready.line {
                line.extend(bytes);
                if contains(&line, wanted.as_bytes()) {
                    self.ready(listener);
                }
                // Only the line that is being written can still become the one.
                let end = line
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |at| at + 1);
                line.drain(..end);
            }
            Ok(())
        };
        // It may outlive the run whose jobs it would share, so it has jobs of its own.
        let lane = job.tokens.map(Lane::new).transpose();
        let ended = lane
            .map_err(|error| ProcessError::Spawn(error.into()))
            .and_then(|lane| {
                process::run_telling(job, lane.as_ref(), &self.stop, &mut take, || {
                    self.has_exited.store(true, Ordering::SeqCst);
                })
            });
        ended.map_err(|error| error.of(&program))
    }

    /// Waits until it is ready, or its time for that is over.
    fn probe(&self, listener: &dyn Listener, started: Instant) {
        let ready = &self.beginning.ready;
        let limit = ready.timeout.unwrap_or(READY_MAX);
        while *self.phase() == Phase::Starting {
            let is_ready = match (&ready.line, ready.port) {
                (None, None) => started.elapsed() >= PAUSE,
                // Who answers for a command that is gone is somebody else.
                (None, Some(port)) => accepts(port) && !self.has_exited.load(Ordering::SeqCst),
                (Some(_), _) => false,
            };
            if is_ready {
                return self.ready(listener);
            }
            if started.elapsed() >= limit {
                self.late();
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn late(&self) {
        let mut phase = self.phase();
        if *phase == Phase::Starting {
            *phase = Phase::Late;
            drop(phase);
            self.ask(1);
        }
    }

    fn ready(&self, listener: &dyn Listener) {
        {
            let mut phase = self.phase();
            if *phase != Phase::Starting {
                return;
            }
            *phase = Phase::Ready;
        }
        let task = &self.beginning.record.task;
        listener.on(&Event::Ready { task });
        self.say(News::Ready(self.beginning.number));
    }

    fn say(&self, news: News) {
        let _the_run_is_over = self.beginning.news.send(news);
    }

    /// What its end means.
    fn judge(&self, record: &mut TaskRecord, ended: Result<Ended, RunTaskError>, last: Phase) {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                record.outcome = Outcome::Errored;
                record.reports.push(error.report_of(&record.task));
                return;
            }
        };
        record.escaped = ended.escaped;
        let was_ready = last == Phase::Ready;
        record.outcome = match ended {
            _ if last == Phase::Late => {
                let limit = self.beginning.ready.timeout.unwrap_or(READY_MAX);
                let within_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                Outcome::NotReady { within_ms }
            }
            Ended {
                is_stopped: true, ..
            } if was_ready => Outcome::Ran,
            Ended {
                is_stopped: true, ..
            } => Outcome::Cancelled,
            Ended {
                exit: Exit::Code(0),
                ..
            } if was_ready => Outcome::Ran,
            Ended { exit, .. } => Outcome::Failed { exit: exit.into() },
        };
        record.report();
    }
}

/// Whether somebody accepts connections on a port of the loopback interface.
fn accepts(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, PAUSE).is_ok()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len().max(1))
        .any(|window| window == wanted)
}
