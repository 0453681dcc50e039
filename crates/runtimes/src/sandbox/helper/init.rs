//! Process 1 of the run: builds the world, gives up every privilege, starts the tool and reaps.

use super::super::cgroup::Door;
use super::super::job::{Ended, InitReport, Job};
use super::super::spec::{Network, Program};
use super::super::sys;
use super::{Failed, InProcess, Step, privileges, root, seccomp};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

/// The exit code of a command that was not found or cannot be executed, as shells have it.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

pub(super) fn run(
    job: &Job,
    mut gate: PipeReader,
    mut reporter: PipeWriter,
    door: Option<Door>,
    in_process: InProcess,
) -> ! {
    let entered = door.as_ref().map_or(Ok(()), Door::enter);
    drop(door);
    let mut word = [0; 2];
    if gate.read_exact(&mut word).is_err() {
        sys::exit(1);
    }
    let lived = entered
        .step("joining the control group")
        .and_then(|()| live(job, in_process));
    let ended = match lived {
        Ok(ended) => ended,
        Err((step, error)) => Ended::Failed {
            step: step.to_owned(),
            error: error.to_string(),
        },
    };
    if let Ok(text) = serde_json::to_vec(&InitReport::Ended(ended)) {
        let _the_helper_is_gone = reporter.write_all(&text);
    }
    sys::exit(0)
}

fn live(job: &Job, in_process: InProcess) -> Result<Ended, Failed> {
    let death = libc::SIGKILL as libc::c_ulong;
    sys::prctl(libc::PR_SET_PDEATHSIG, death, 0).step("tying it to the helper")?;
    if job.is_root {
        sys::become_user(0, 0, true).step("becoming root inside")?;
    }
    if job.spec.network == Network::None {
        sys::loopback_up().step("bringing loopback up")?;
    }
    sys::set_host_name("sandbox").step("naming the host")?;
    root::build(job)?;
    std::env::set_current_dir(&job.spec.cwd).step("entering the working folder")?;
    // Changing users loses the right to do so.
    sys::drop_bounding_capabilities().step("dropping capabilities")?;
    if job.is_root {
        sys::become_user(job.uid, job.gid, true).step("becoming the workspace's owner")?;
    }
    privileges::limits(job).step("setting limits")?;
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).step("forbidding new privileges")?;
    sys::drop_capabilities().step("dropping capabilities")?;
    // Changing users clears it.
    sys::prctl(libc::PR_SET_PDEATHSIG, death, 0).step("tying it to the helper")?;
    // The tool has the same user, and must not look into or change its init.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).step("hiding init")?;
    let tool = sys::clone_into(0, None).step("starting the tool")?;
    if tool == 0 {
        let code = be_the_tool(job, in_process);
        sys::exit(code);
    }
    loop {
        let (pid, status) = sys::wait(-1).step("waiting for the tool")?;
        if pid == tool {
            return Ok(if libc::WIFSIGNALED(status) {
                Ended::Signal(libc::WTERMSIG(status))
            } else {
                Ended::Code(libc::WEXITSTATUS(status))
            });
        }
    }
}

/// The last steps, in the tool's own process. What fails here is told on its standard error.
fn be_the_tool(job: &Job, in_process: InProcess) -> i32 {
    let prepared = prepare_tool(job);
    let (step, error) = match (prepared, &job.spec.program) {
        (Err(failed), _) => failed,
        (Ok(()), Program::InProcess(request)) => return in_process(request.clone()),
        (Ok(()), Program::Command { argv }) => match strings(job, argv) {
            Ok((argv, env)) => ("starting the command", sys::execute(&argv, &env)),
            Err(error) => ("reading the command", error),
        },
    };
    let _nobody_listens = writeln!(io::stderr(), "sandbox: {step}: {error}");
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

fn prepare_tool(job: &Job) -> Result<(), Failed> {
    let null = File::open("/dev/null").step("opening /dev/null")?;
    sys::duplicate(null.as_raw_fd(), 0).step("closing standard input")?;
    drop(null);
    sys::close_from(3).step("closing descriptors")?;
    sys::prctl(libc::PR_SET_DUMPABLE, 1, 0).step("ending to hide")?;
    sys::reset_signals();
    sys::new_session();
    sys::set_umask(0o022);
    privileges::landlock(job)?;
    seccomp::restrict()
}

fn strings(job: &Job, argv: &[String]) -> io::Result<(Vec<CString>, Vec<CString>)> {
    if let Some(path) = job.spec.env.get("PATH") {
        // execvpe looks the program up in the PATH of this process, not of the one it becomes.
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var("PATH", path) };
    }
    let argv = argv.iter().map(sys::c_string).collect::<io::Result<_>>()?;
    let env = job.spec.env.iter().map(|(name, value)| {
        let pair = [
            name.as_bytes(),
            b"=",
            std::ffi::OsStr::new(value).as_bytes(),
        ]
        .concat();
        sys::c_string(pair)
    });
    Ok((argv, env.collect::<io::Result<_>>()?))
}
