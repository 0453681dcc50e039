//! The process that becomes the command: enters its view of the workspace, has itself observed, and
//! executes.

use super::listener::Listener;
use super::report::SetupFailure;
use super::spec::ObserveSpec;
use super::sys::{Signals, execute, reset_signal};
use super::{EXIT_UNOBSERVED, stage};
use crate::sandbox::{Failed, Step, sys};
use crate::socket::Socket;
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where programs are looked up without a `PATH`, as the C library has it.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What the observer tells it.
#[derive(Serialize, Deserialize)]
pub(super) struct Begin;

/// What it tells the observer.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    /// The listener comes with it; the next thing is the execution.
    Ready,
    /// It cannot be observed.
    Failed(SetupFailure),
    /// The execution failed.
    NotExecuted { errno: i32 },
}

/// The whole life of the process until it is another program. `before` are the signals that the runner
/// left blocked.
pub(super) fn run(
    spec: &ObserveSpec,
    argv: &[OsString],
    observer: &Socket,
    observer_id: u32,
    before: Signals,
) -> ! {
    let told = match begin(spec, observer, observer_id) {
        Ok(listener) => {
            let told = observer.send(&Told::Ready, Some(listener.as_fd()));
            drop(listener);
            // Rust's own start ignores it.
            reset_signal(libc::SIGPIPE);
            match told.and_then(|()| before.block()) {
                Ok(_) => not_executed(&look_up(argv)),
                Err(error) => Told::Failed(("starting the command", error).into()),
            }
        }
        Err(failed) => Told::Failed(failed.into()),
    };
    let _the_observer_is_gone = observer.send(&told, None);
    sys::exit(EXIT_UNOBSERVED)
}

fn begin(spec: &ObserveSpec, observer: &Socket, observer_id: u32) -> Result<OwnedFd, Failed> {
    let begin = observer.receive::<Begin>().step("starting the command")?;
    if let Some(stage) = spec.enforced_stage() {
        stage::enter(spec, stage)?;
    }
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0)
        .step("tying the command to its observer")?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if begin.is_none() || parent != Some(observer_id) {
        sys::exit(EXIT_UNOBSERVED);
    }
    Listener::install().step("asking the kernel for notifications")
}

fn not_executed(error: &io::Error) -> Told {
    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
    Told::NotExecuted { errno }
}

/// Executes the program that the command names, as `posix_spawnp` finds it; comes back only with a
/// failure. A file that is no program is not given to a shell.
fn look_up(argv: &[OsString]) -> io::Error {
    let strings = argv.iter().map(|text| CString::new(text.as_bytes()));
    let (Ok(strings), Some(name)) = (strings.collect::<Result<Vec<_>, _>>(), argv.first()) else {
        return io::Error::from_raw_os_error(libc::EINVAL);
    };
    if name.is_empty() {
        return io::Error::from_raw_os_error(libc::ENOENT);
    }
    if name.as_bytes().contains(&b'/') {
        return execute(name, &strings);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    let mut failure = libc::ENOENT;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        // An empty one is the working folder.
        let program = PathBuf::from(OsStr::from_bytes(folder)).join(name);
        let error = execute(program.as_os_str(), &strings);
        match error.raw_os_error() {
            Some(libc::EACCES) => failure = libc::EACCES,
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            _ => return error,
        }
    }
    io::Error::from_raw_os_error(failure)
}
