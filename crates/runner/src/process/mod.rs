//! One command: started in a group of its own, listened to, ended when its time is over, and not over
//! before everything that it started is.

mod identity;
mod jobserver;
mod orphans;
mod stop;
mod tokens;

pub(crate) use identity::Process;
pub(crate) use orphans::{adopt, end_all};
pub(crate) use tokens::{Lane, Tokens};

pub use jobserver::{Jobserver, JobserverError};
pub use stop::Stop;

use mainstay_tasks::{Bytes, Os, RunTaskError, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is read at once.
const PIECE: usize = 64 << 10;

/// How long a pipe is read that somebody holds open after everything was ended that could be found.
const DRAIN: Duration = Duration::from_millis(500);

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// The program and its arguments.
    pub(crate) arguments: Vec<OsString>,
    pub(crate) cwd: PathBuf,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    /// How many jobs the command may run at once besides itself, by GNU make's protocol.
    pub(crate) tokens: Option<u32>,
    /// The value of [`crate::environment::MARKER`] by which its processes are known.
    pub(crate) marker: String,
}

impl Job {
    /// Whether it is the same, whoever runs it.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let marker = self.marker.clone();
        *self
            == Self {
                marker,
                ..other.clone()
            }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) is_timed_out: bool,
    pub(crate) is_stopped: bool,
    /// How many processes it had left behind.
    pub(crate) escaped: u32,
}

impl Ended {
    /// Of a command that was stopped before it began.
    pub(crate) const UNBEGUN: Self = Self {
        exit: Exit::Signal(0),
        is_timed_out: false,
        is_stopped: true,
        escaped: 0,
    };
}

/// What a process says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// An exit code.
    Code(i32),
    /// The signal that ended it.
    Signal(i32),
}

/// What can go wrong with a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProcessError {
    Spawn(Os),
    Wait(Os),
    Read(Stream, Os),
}

impl ProcessError {
    /// What it means for the task whose command called this program.
    pub(crate) fn of(self, program: &OsStr) -> RunTaskError {
        match self {
            Self::Spawn(cause) => RunTaskError::SpawnFailed {
                program: Bytes::from(program.as_encoded_bytes()),
                cause,
            },
            Self::Wait(cause) => RunTaskError::WaitFailed { cause },
            Self::Read(stream, cause) => RunTaskError::CapturedStreamReadFailed { stream, cause },
        }
    }
}

/// Why a command is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    TimedOut,
    Stopped,
}

/// What somebody does with the output of a command as it comes.
pub type Take<'t> = dyn FnMut(Stream, &[u8]) -> io::Result<()> + 't;

struct Running {
    pid: Pid,
    ended: OwnedFd,
    pipes: [Option<(Stream, Pipe)>; 2],
    why: Option<Why>,
    /// When it is killed, once it was asked to end.
    kill_at: Option<Instant>,
    is_killed: bool,
}

type Pipe = File;

/// Runs a command to its end. `lane`: what it asks for jobs of its own.
pub(crate) fn run(
    job: &Job,
    lane: Option<&Lane>,
    stop: &Stop,
    take: &mut Take<'_>,
) -> Result<Ended, ProcessError> {
    run_telling(job, lane, stop, take, || {})
}

/// Runs a command to its end, and tells at once when its process has ended, before what it left has.
pub(crate) fn run_telling(
    job: &Job,
    lane: Option<&Lane>,
    stop: &Stop,
    take: &mut Take<'_>,
    ended: impl FnOnce(),
) -> Result<Ended, ProcessError> {
    let mut running = Running::start(job, lane)?;
    let outcome = running.follow(job, stop, take);
    ended();
    if outcome.is_err() {
        running.kill();
    }
    let reaped = running.reap();
    let exit = outcome.and(reaped);
    // Whatever happened, nothing of it may go on.
    let _gone = kill_process_group(running.pid, Signal::KILL);
    let escaped = end_all(&job.marker, Some(running.pid));
    let drained = running.drain(take);
    let exit = exit?;
    drained?;
    Ok(Ended {
        exit,
        is_timed_out: running.why == Some(Why::TimedOut),
        is_stopped: running.why == Some(Why::Stopped),
        escaped,
    })
}

impl Running {
    fn start(job: &Job, lane: Option<&Lane>) -> Result<Self, ProcessError> {
        let failed = |error: io::Error| ProcessError::Spawn(error.into());
        let mut arguments = job.arguments.iter();
        let program = arguments.next().cloned().unwrap_or_default();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&job.cwd)
            .env_clear()
            .envs(job.environment.iter().map(|(name, value)| (name, value)))
            .env(crate::environment::MARKER, &job.marker)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(lane) = lane {
            lane.open_to(&mut command);
        }
        let mut child = command.spawn().map_err(failed)?;
        let waits = |error: Errno| ProcessError::Wait(io::Error::from(error).into());
        let pid = Pid::from_child(&child);
        let ended = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(ended) => ended,
            Err(error) => {
                let _gone = kill_process_group(pid, Signal::KILL);
                let _reaped = child.wait();
                return Err(waits(error));
            }
        };
        let stdout = child
            .stdout
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe)));
        let stderr = child
            .stderr
            .take()
            .map(|pipe| File::from(OwnedFd::from(pipe)));
        for pipe in [&stdout, &stderr].into_iter().flatten() {
            rustix::io::ioctl_fionbio(pipe, true).map_err(waits)?;
        }
        Ok(Self {
            pid,
            ended,
            pipes: [
                stdout.map(|pipe| (Stream::Stdout, pipe)),
                stderr.map(|pipe| (Stream::Stderr, pipe)),
            ],
            why: None,
            kill_at: None,
            is_killed: false,
        })
    }

    /// Listens until the process itself has ended.
    fn follow(&mut self, job: &Job, stop: &Stop, take: &mut Take<'_>) -> Result<(), ProcessError> {
        let deadline = job
            .timeout
            .and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let asked = stop.fd_of_next(self.why == Some(Why::Stopped), self.is_killed);
            let next = [deadline.filter(|_| self.why.is_none()), self.kill_at];
            let next = next.into_iter().flatten().min();
            let mut fds = vec![PollFd::new(&self.ended, PollFlags::IN)];
            fds.extend(asked.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            let first_pipe = fds.len();
            let open = self.pipes.iter().flatten();
            fds.extend(open.map(|(_, pipe)| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
            let wait = next.map(until);
            match poll(&mut fds, wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(ProcessError::Wait(io::Error::from(error).into())),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if asked.is_some() && ready[1] {
                self.asked(job, stop);
            }
            self.read_ready(&ready[first_pipe..], take)?;
            if ready[0] {
                return Ok(());
            }
            let now = Instant::now();
            if self.why.is_none() && deadline.is_some_and(|at| at <= now) {
                self.end(Why::TimedOut, job.grace);
            }
            if self.kill_at.is_some_and(|at| at <= now) {
                self.kill();
            }
        }
    }

    /// Somebody wants the run to end; once more, and it is killed.
    fn asked(&mut self, job: &Job, stop: &Stop) {
        if stop.is_urgent() {
            self.why.get_or_insert(Why::Stopped);
            self.kill();
        } else if self.why.is_none() {
            self.end(Why::Stopped, job.grace);
        } else {
            self.why = Some(Why::Stopped);
        }
    }

    fn end(&mut self, why: Why, grace: Duration) {
        self.why = Some(why);
        let _gone = kill_process_group(self.pid, Signal::TERM);
        // A stopped process hears nothing.
        let _gone = kill_process_group(self.pid, Signal::CONT);
        self.kill_at = Instant::now().checked_add(grace);
    }

    fn kill(&mut self) {
        let _gone = kill_process_group(self.pid, Signal::KILL);
        self.kill_at = None;
        self.is_killed = true;
    }

    fn read_ready(&mut self, ready: &[bool], take: &mut Take<'_>) -> Result<(), ProcessError> {
        let mut ready = ready.iter();
        for slot in &mut self.pipes {
            if slot.is_some() && ready.next() == Some(&true) {
                read(slot, take)?;
            }
        }
        Ok(())
    }

    /// Reads what is left in the pipes. Who still holds one was not found, and is not waited for long.
    fn drain(&mut self, take: &mut Take<'_>) -> Result<(), ProcessError> {
        let until_then = Instant::now() + DRAIN;
        while self.pipes.iter().any(Option::is_some) && Instant::now() < until_then {
            let open = self.pipes.iter().flatten();
            let mut fds: Vec<PollFd<'_>> = open
                .map(|(_, pipe)| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN))
                .collect();
            let wait = until(until_then);
            if !matches!(poll(&mut fds, Some(&wait)), Ok(_) | Err(Errno::INTR)) {
                break;
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            self.read_ready(&ready, take)?;
        }
        Ok(())
    }

    fn reap(&mut self) -> Result<Exit, ProcessError> {
        let waits = |error: Errno| ProcessError::Wait(io::Error::from(error).into());
        loop {
            let status = waitid(WaitId::PidFd(self.ended.as_fd()), WaitIdOptions::EXITED);
            return match status {
                Err(Errno::INTR) => continue,
                Err(error) => Err(waits(error)),
                Ok(None) => Err(waits(Errno::CHILD)),
                Ok(Some(status)) => Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Signal(0),
                }),
            };
        }
    }
}

fn until(at: Instant) -> Timespec {
    let wait = at.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(wait.subsec_nanos()),
    }
}

/// Reads what a pipe has; forgets it at its end.
fn read(slot: &mut Option<(Stream, Pipe)>, take: &mut Take<'_>) -> Result<(), ProcessError> {
    let Some((stream, pipe)) = slot else {
        return Ok(());
    };
    let stream = *stream;
    let failed = |error: io::Error| ProcessError::Read(stream, error.into());
    let mut buffer = [0; PIECE];
    match pipe.read(&mut buffer) {
        Ok(0) => *slot = None,
        Ok(count) => take(stream, &buffer[..count]).map_err(failed)?,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(())
}
