//! The process that stands in the command's place.

use super::error::ObserveError;
use super::observer;
use super::spec::ObserveSpec;
use super::sys::{Signals, reset_signal};
use crate::sandbox::sys;
use crate::socket::Socket;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

/// The wrapper's exit code where the command was not observed. The report, or else standard error, says
/// why; a command may end with the same code by itself.
pub const EXIT_UNOBSERVED: i32 = 125;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    /// The report could not be written.
    Unreported {
        errno: i32,
    },
}

/// What the observer tells the wrapper at the end.
#[derive(Serialize, Deserialize)]
pub(super) struct Over {
    pub(super) ended: Ended,
    /// Whether the command left no process behind, so that the observer ends too.
    pub(super) is_alone: bool,
}

/// Tells the observer that the wrapper ends of its own accord, so that what the command left behind may
/// go on.
#[derive(Serialize, Deserialize)]
pub(super) struct Taken;

impl Ended {
    /// Reads a raw status.
    pub(super) fn of(status: libc::c_int) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// The whole life of the wrapper. Call it first in `main`, before any thread exists, when the first
/// argument is `__observe`.
pub fn observe_main() -> ! {
    let ended = run(std::env::args_os().skip(2).collect());
    match ended {
        Ok(Ended::Signal(signal)) => die_by(signal),
        Ok(Ended::Code(code)) => sys::exit(code),
        Ok(Ended::Unreported { errno }) => {
            let error = io::Error::from_raw_os_error(errno);
            fail(&format!("the report cannot be written: {error}"))
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ! {
    let _nobody_listens = writeln!(io::stderr(), "observe: {why}");
    sys::exit(EXIT_UNOBSERVED)
}

fn run(arguments: Vec<OsString>) -> Result<Ended, ObserveError> {
    let mut arguments = arguments.into_iter();
    let (Some(file), Some(dashes)) = (arguments.next(), arguments.next()) else {
        return Err(ObserveError::Usage);
    };
    let argv: Vec<OsString> = arguments.collect();
    if dashes != "--" || argv.is_empty() {
        return Err(ObserveError::Usage);
    }
    let spec = ObserveSpec::read(&PathBuf::from(file))?;
    let setup = |error| ObserveError::Setup {
        step: "starting the observer".to_owned(),
        error,
    };
    let (observer, wrapper) = Socket::pair().map_err(setup)?;
    let observer_id = sys::clone_into(0, None).map_err(setup)?;
    if observer_id == 0 {
        drop(observer);
        observer::run(&spec, &argv, &wrapper);
    }
    drop(wrapper);
    // They are for the command, which is in the same process group. Before this one they end the wrapper,
    // and by that the observer.
    Signals::all().block().map_err(setup)?;
    let Some((over, _)) = observer.receive::<Over>().map_err(setup)? else {
        return Err(ObserveError::Killed);
    };
    observer.send(&Taken, None).map_err(setup)?;
    if over.is_alone {
        // Nobody else may be there to reap it, and what the command used is counted as ours by this.
        sys::wait(observer_id).map_err(setup)?;
    }
    Ok(over.ended)
}

/// Ends by the signal that the command ended by, without a core of our own.
fn die_by(signal: i32) -> ! {
    let _as_well = sys::set_limit(libc::RLIMIT_CORE, 0);
    reset_signal(signal);
    let _deadly = sys::kill(rustix::process::getpid().as_raw_nonzero().get(), signal);
    let _arrives_now = Signals::none().block();
    // Not reached: what a command ended by ends us too.
    sys::exit(128 + signal)
}
