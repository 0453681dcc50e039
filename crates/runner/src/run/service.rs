//! Tasks that stay up, such as a development server: each has a thread of its own, those behind it begin
//! once it is ready, and it ends with the run.

use super::Run;
use super::attempt::job;
use super::record::{Event, Outcome, TaskRecord};
use super::speaker::Speech;
use super::worker::Missed;
use crate::process::{self, Ended, Exit, Stop};
use crate::workspace::Task;
use mainstay_tasks::{Ending, RunTaskError};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a task may take to become ready, where it does not say so.
const READY_MAX: Duration = Duration::from_secs(60);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// A task that stays up.
pub(super) struct Service {
    number: u32,
    stop: Stop,
    /// How often it was asked to end.
    asked: AtomicU8,
    phase: Mutex<Phase>,
    changed: Condvar,
}

enum Phase {
    /// Its turn has not come.
    Waiting,
    /// It is to be started.
    Due(Box<Missed>),
    Starting,
    Ready,
    /// It never became ready.
    Late,
    Over,
}

impl Service {
    pub(super) fn new(number: u32) -> std::io::Result<Self> {
        Ok(Self {
            number,
            stop: Stop::new()?,
            asked: AtomicU8::new(0),
            phase: Mutex::new(Phase::Waiting),
            changed: Condvar::new(),
        })
    }

    /// Asks it to end until it was asked this often.
    fn ask(&self, level: u8) {
        let before = self.asked.fetch_max(level, Ordering::SeqCst);
        (before..level).for_each(|_| self.stop.ask());
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, next: Phase) {
        *self.phase() = next;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        matches!(*self.phase(), Phase::Over)
    }
}

impl<'w> Run<'_, 'w> {
    /// Starts a task that stays up.
    pub(super) fn begin_service(&self, number: u32, missed: Missed) {
        if let Some(service) = self
            .services
            .iter()
            .find(|service| service.number == number)
        {
            service.enter(Phase::Due(Box::new(missed)));
        }
    }

    /// One thread: waits until its task is to start, and stays with it to its end.
    pub(super) fn serve(&self, service: &Service) {
        let missed = {
            let mut phase = service.phase();
            loop {
                match std::mem::replace(&mut *phase, Phase::Starting) {
                    Phase::Due(missed) => break missed,
                    Phase::Over => {
                        *phase = Phase::Over;
                        return;
                    }
                    other => *phase = other,
                }
                phase = service
                    .changed
                    .wait(phase)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let task = self.runner.task(service.number);
        let started = Instant::now();
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| self.probe(service, task, started));
            let ended = self.run_service(service, task);
            let was_ready = matches!(*service.phase(), Phase::Ready);
            let was_late = matches!(*service.phase(), Phase::Late);
            service.enter(Phase::Over);
            (ended, was_ready, was_late)
        });
        self.close_service(service, *missed, ended);
    }

    fn run_service(&self, service: &Service, task: &Task) -> Result<Ended, RunTaskError> {
        let runner = self.runner;
        let marker = self.marker_of(service.number);
        let job = job(task, &runner.environment, &runner.files, marker);
        let program = job.arguments.first().cloned().unwrap_or_default();
        let (id, attempt) = (&task.id, 1);
        self.speaker.tell(&Event::Started { task: id, attempt });
        let mut line = Vec::new();
        let mut take = |stream, bytes: &[u8]| {
            self.speaker.say(id, stream, bytes);
            if let Some(wanted) = &task.ready.line {
                line.extend(bytes);
                if contains(&line, wanted.as_bytes()) {
                    self.ready(service);
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
        let ended = process::run(&job, &service.stop, &mut take);
        ended.map_err(|error| error.of(&program))
    }

    /// Waits until a task is ready, or its time for that is over.
    fn probe(&self, service: &Service, task: &Task, started: Instant) {
        let limit = task.ready.timeout.unwrap_or(READY_MAX);
        loop {
            if !matches!(*service.phase(), Phase::Starting) {
                return;
            }
            let is_ready = match (&task.ready.line, task.ready.port) {
                (None, None) => started.elapsed() >= PAUSE,
                (None, Some(port)) => {
                    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                    TcpStream::connect_timeout(&address, PAUSE).is_ok()
                }
                (Some(_), _) => false,
            };
            if is_ready {
                return self.ready(service);
            }
            if started.elapsed() >= limit {
                service.enter(Phase::Late);
                return service.ask(1);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ready(&self, service: &Service) {
        {
            let mut phase = service.phase();
            if !matches!(*phase, Phase::Starting) {
                return;
            }
            *phase = Phase::Ready;
        }
        let task = &self.runner.task(service.number).id;
        self.speaker.tell(&Event::Ready { task });
        self.schedule().ended(service.number, Ending::Succeeded);
        self.woken.notify_all();
    }

    fn close_service(
        &self,
        service: &Service,
        missed: Missed,
        (ended, was_ready, was_late): (Result<Ended, RunTaskError>, bool, bool),
    ) {
        let mut record = missed.record;
        record.attempts = 1;
        match ended {
            Err(error) => {
                record.outcome = Outcome::Errored;
                record.reports.push(error.report_of(&record.task));
            }
            Ok(ended) => {
                record.escaped = ended.escaped;
                record.outcome = match ended {
                    _ if was_late => {
                        let limit = self.runner.task(service.number).ready.timeout;
                        let within_ms = limit.unwrap_or(READY_MAX).as_millis();
                        let within_ms = u64::try_from(within_ms).unwrap_or(u64::MAX);
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
                record = record.reported();
            }
        }
        if was_ready {
            self.close(service.number, record, Speech::none());
        } else {
            self.end(service.number, record, Speech::none());
        }
    }

    /// Passes on that the run is to end.
    pub(super) fn stop_services(&self) {
        let level = match () {
            () if self.stop.is_urgent() => 2,
            () if self.stop.is_asked() => 1,
            () => 0,
        };
        self.services.iter().for_each(|service| service.ask(level));
    }

    /// Everything that ends is over. Tasks that stay up and were asked for go on until somebody stops the
    /// run or they end; the others end now.
    pub(super) fn end_services(&self, targets: &[u32]) {
        for service in &self.services {
            let mut phase = service.phase();
            if matches!(*phase, Phase::Waiting) {
                *phase = Phase::Over;
            }
        }
        let failed = || {
            self.records()
                .iter()
                .any(|record: &TaskRecord| !record.is_success())
        };
        loop {
            self.services
                .iter()
                .for_each(|service| service.changed.notify_all());
            let mut left = self.services.iter().filter(|service| !service.is_over());
            let is_wanted = |service: &Service| targets.contains(&service.number);
            if left.clone().next().is_none() {
                return;
            }
            let is_over = !left.any(is_wanted) || failed();
            if is_over {
                self.services.iter().for_each(|service| service.ask(1));
            }
            self.stop_services();
            std::thread::sleep(PAUSE);
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len().max(1))
        .any(|window| window == wanted)
}
