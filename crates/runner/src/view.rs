//! A private view of a workspace, in which somebody else runs commands: an agent's tasks.
//!
//! What is looked up, brought back and kept is done here, by the same code as in the workspace itself; only
//! the command runs elsewhere, so that the cache need not be writable for it.

use crate::files::Files;
use crate::process::{Ended, Exit, Job, ProcessError, Stop, Take};
use mainstay_tasks::Bytes;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// A command to be run in a view.
#[derive(Debug)]
pub struct Order {
    /// The program and its arguments.
    pub arguments: Vec<OsString>,
    /// Where, as commands see the workspace.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The most time that it may take.
    pub timeout: Option<Duration>,
    /// Programs that its result depends on, and that it has to see.
    pub tools: Vec<PathBuf>,
}

/// How a command in a view ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// By itself.
    Exited(Exit),
    /// The limit of its memory was reached, and the system ended it.
    OutOfMemory,
    /// Its time was over.
    TimedOut,
    /// The run was stopped.
    Stopped,
}

/// A private view of a workspace. Nobody else works in it meanwhile.
pub trait View: Sync {
    /// Its root, as things are now; closed again before a command runs.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, is_writable: bool) -> io::Result<OwnedFd>;

    /// Whose its files are, where not this process's user.
    fn owner(&self) -> Option<(u32, u32)>;

    /// A private folder outside of it that lives as long as it does.
    fn folder(&self) -> PathBuf;

    /// Runs a command to its end, and passes on all that it said.
    ///
    /// # Errors
    /// What kept it from running, or from being listened to.
    fn run(&self, order: &Order, stop: &Stop, say: &mut Take<'_>) -> io::Result<Finish>;

    /// The files that differ from the workspace itself, by their paths from its root.
    ///
    /// # Errors
    /// What the system says.
    fn changes(&self) -> io::Result<Vec<Bytes>>;
}

/// Runs a command in a view, which nobody looks at meanwhile.
pub(crate) fn run(
    view: &dyn View,
    files: &Files,
    (job, tools): (&Job, Vec<PathBuf>),
    stop: &Stop,
    take: &mut Take<'_>,
) -> Result<Ended, ProcessError> {
    let failed = |error: io::Error| ProcessError::Wait(error.into());
    let order = Order {
        arguments: job.arguments.clone(),
        cwd: job.cwd.clone(),
        environment: job.environment.clone(),
        timeout: job.timeout,
        tools,
    };
    files.renew(None).map_err(|errno| failed(errno.into()))?;
    let finish = view.run(&order, stop, take).map_err(failed);
    // What was set aside before comes back, or goes.
    let again = view.open(true).map_err(failed)?;
    files
        .renew(Some(again))
        .map_err(|errno| failed(errno.into()))?;
    let finish = finish?;
    Ok(Ended {
        exit: match finish {
            Finish::Exited(exit) => exit,
            Finish::OutOfMemory | Finish::TimedOut | Finish::Stopped => {
                Exit::Signal(rustix::process::Signal::KILL.as_raw())
            }
        },
        is_timed_out: finish == Finish::TimedOut,
        is_stopped: finish == Finish::Stopped,
        escaped: 0,
    })
}
