//! The helper process: forked by the zygote, which is this program, started again by the node.
//!
//! It has one thread from beginning to end, so it may fork and then run ordinary code, which the
//! node must never do. Its standard input is a socket to the node: the job comes in, the outcome
//! goes out, and when it closes (the node died, or gave the run up) everything is killed. The init it
//! forks is process 1 of a process namespace, so nothing that the tool leaves behind outlives it.

mod init;
mod privileges;
mod root;
mod seccomp;
mod zygote;

use super::cgroup::{Cgroup, Door};
use super::job::{Ended, InitReport, Job};
use super::sys;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Our own code that can run inside: it takes a request, prints its answer and gives an exit code.
pub type InProcess = fn(serde_json::Value) -> i32;

/// The longest that one wait lasts, so that no arithmetic on it can overflow.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The whole life of the zygote and of each helper. Call it first in `main`, before any thread exists,
/// when the first argument is `__sandbox`.
pub fn sandbox_main(in_process: InProcess) -> ! {
    if zygote::become_helper().is_err() {
        sys::exit(1);
    }
    // SAFETY: descriptor 0 is the socket that the node passed; it is never closed here.
    let socket = ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(0) });
    if let Err((step, error)) = run(&socket, in_process) {
        let failed = Ended::Failed {
            step: step.to_owned(),
            error: error.to_string(),
        };
        let _the_node_is_gone = Job::send(&*socket, &failed);
    }
    sys::exit(0)
}

/// What was being done, and what the system said.
pub(crate) type Failed = (&'static str, io::Error);

/// Names the step that failed.
pub(crate) trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, Failed>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &'static str) -> Result<T, Failed> {
        self.map_err(|error| (step, error))
    }
}

fn run(socket: &UnixStream, in_process: InProcess) -> Result<(), Failed> {
    let job: Job = Job::receive(socket).step("reading the job")?;
    let (gate, opener) = io::pipe().step("making a pipe")?;
    let (outcome, reporter) = io::pipe().step("making a pipe")?;
    let cgroup = match &job.cgroup {
        Some(place) => Some(Cgroup::create(place).step("making the control group")?),
        None => None,
    };
    let (pid, door) = clone(&job, cgroup.as_ref())?;
    if pid == 0 {
        drop(opener);
        drop(outcome);
        init::run(&job, gate, reporter, door, in_process);
    }
    drop(door);
    drop(gate);
    drop(reporter);
    let ended = supervise(socket, &job, pid, opener, outcome);
    if ended.is_err() {
        let _gone = sys::kill(pid, libc::SIGKILL);
        let _reaped = sys::wait(pid);
    }
    let killed = cgroup.as_ref().is_some_and(Cgroup::has_killed);
    let ended = ended.map(|ended| match ended {
        Ended::Code(_) | Ended::Signal(_) if killed => Ended::OutOfMemory,
        ended => ended,
    });
    // The node goes on with the outcome, and waits for the rest only when it ends itself.
    let told = ended.map(|ended| Job::send(socket, &ended));
    if let Some(cgroup) = cgroup {
        cgroup.remove();
    }
    told.map(|_the_node_is_gone| ())
}

/// Clones init into its namespaces, and with it the way into its control group.
fn clone(job: &Job, cgroup: Option<&Cgroup>) -> Result<(libc::pid_t, Option<Door>), Failed> {
    let door = cgroup.map(Cgroup::door).transpose();
    let mut door = door.step("opening the control group")?;
    let group = door.as_ref().and_then(Door::group);
    let cloned = match (sys::clone_into(job.namespaces(), group), cgroup) {
        // Before Linux 5.7, or forbidden by the container that this runs in.
        (Err(error), Some(cgroup)) if group.is_some() && is_too_new(&error) => {
            door = Some(cgroup.slow_door().step("opening the control group")?);
            sys::clone_into(job.namespaces(), None)
        }
        (cloned, _) => cloned,
    };
    Ok((cloned.step("making the namespaces")?, door))
}

fn is_too_new(error: &io::Error) -> bool {
    let refused = [libc::ENOSYS, libc::EINVAL, libc::EPERM, libc::E2BIG];
    error
        .raw_os_error()
        .is_some_and(|code| refused.contains(&code))
}

fn supervise(
    socket: &UnixStream,
    job: &Job,
    pid: libc::pid_t,
    mut opener: PipeWriter,
    mut outcome: PipeReader,
) -> Result<Ended, Failed> {
    map_ids(job, pid).step("mapping users")?;
    let process = sys::pidfd_open(pid).step("watching the run")?;
    let deadline = Instant::now().checked_add(job.spec.timeout);
    opener.write_all(b"go").step("starting the run")?;
    let stopped = loop {
        let left = deadline.map_or(WAIT_MAX, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            break Some(Ended::TimedOut);
        }
        let wait = i32::try_from(left.min(WAIT_MAX).as_millis()).unwrap_or(1000) + 1;
        let [is_over, is_given_up] =
            sys::poll([process.as_fd(), socket.as_fd()], wait).step("waiting")?;
        if is_over {
            break None;
        }
        if is_given_up {
            break Some(Ended::Cancelled);
        }
    };
    if stopped.is_some() {
        sys::kill(pid, libc::SIGKILL).step("stopping the run")?;
    }
    let (_, status) = sys::wait(pid).step("waiting")?;
    let mut report = Vec::new();
    outcome
        .read_to_end(&mut report)
        .step("reading the outcome")?;
    Ok(match (stopped, InitReport::parse(&report)) {
        (Some(stopped), _) => stopped,
        (None, Some(InitReport::Ended(ended))) => ended,
        (None, None) if libc::WIFSIGNALED(status) => Ended::Signal(libc::WTERMSIG(status)),
        (None, None) => Ended::Failed {
            step: "running the tool".to_owned(),
            error: format!("init ended with {status}"),
        },
    })
}

/// Root maps every user to itself; anybody else only himself.
fn map_ids(job: &Job, pid: libc::pid_t) -> io::Result<()> {
    let (uids, gids) = if job.is_root {
        let all = format!("0 0 {}", u32::MAX);
        (all.clone(), all)
    } else {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        let (uid, gid) = (job.uid, job.gid);
        (format!("{uid} {uid} 1"), format!("{gid} {gid} 1"))
    };
    fs::write(format!("/proc/{pid}/uid_map"), uids)?;
    fs::write(format!("/proc/{pid}/gid_map"), gids)
}
