//! The observer's life: starts the command, answers the kernel, reaps, reports, and serves whatever the
//! command leaves behind for as long as it goes on.

use super::command::{self, Begin, Told};
use super::listener::Listener;
use super::report::{Report, SpawnError};
use super::spec::ObserveSpec;
use super::sys::{Signals, pending_signals, reap};
use super::tracer::Tracer;
use super::wrapper::{Ended, Over, Taken};
use super::{EXIT_UNOBSERVED, descendants, stage};
use crate::sandbox::{Failed, Step, sys};
use crate::socket::Socket;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{getpid, set_child_subreaper, setpgid};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// The exit code of a command that was not found or cannot be executed, as shells have it.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// The whole life of the process.
pub(super) fn run(spec: &ObserveSpec, argv: &[OsString], wrapper: &Socket) -> ! {
    let mut rest = None;
    let (report, ended) = observe(spec, argv, wrapper, &mut rest).unwrap_or_else(|failed| {
        descendants::kill();
        let failed = failed.into();
        (Report::Failed { failed }, Ended::Code(EXIT_UNOBSERVED))
    });
    let ended = match report.write(&spec.report) {
        Ok(()) => ended,
        Err(error) => Ended::Unreported {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        },
    };
    let is_alone = is_alone();
    let told = wrapper.send(&Over { ended, is_alone }, None);
    let taken = told.and_then(|()| wrapper.receive::<Taken>());
    match (taken, rest) {
        (Ok(Some(_)), Some(mut observer)) => {
            let _over = observer.serve();
        }
        // The wrapper was killed together with the command.
        _ => descendants::kill(),
    }
    sys::exit(0)
}

/// Whether there is no child, and so nothing that the command has started.
fn is_alone() -> bool {
    reap().is_err_and(|error| error.raw_os_error() == Some(libc::ECHILD))
}

/// Observes the command to its end. What still has to be served comes back by `rest`.
fn observe(
    spec: &ObserveSpec,
    argv: &[OsString],
    wrapper: &Socket,
    rest: &mut Option<Observer>,
) -> Result<(Report, Ended), Failed> {
    let (command, pid) = start(spec, argv, wrapper)?;
    let children = Signals::only(libc::SIGCHLD);
    let children = children.descriptor().step("watching the command")?;
    let (told, listener) = match command.receive().step("starting the command")? {
        Some((Told::Ready, Some(listener))) => (None, Some(Listener::new(listener))),
        Some((told, _)) => (Some(told), None),
        None => (None, None),
    };
    let mut observer = Observer { listener, children };
    if let Some(Told::Failed(failed)) = told {
        sys::wait(pid).step("reaping the command")?;
        let ended = Ended::Code(EXIT_UNOBSERVED);
        return Ok((Report::Failed { failed }, ended));
    }
    let mut tracer = Tracer::new(spec, pid).step("looking at the command's files")?;
    let ended = observer
        .watch(&mut tracer, wrapper, pid)
        .step("observing the command")?;
    let (spawn_error, ended) = match command.receive().step("starting the command")? {
        Some((Told::NotExecuted { errno }, _)) => (Some(SpawnError { errno }), not_executed(errno)),
        _ => (None, ended),
    };
    if let Some(stage) = spec.enforced_stage() {
        stage::clear(spec, stage);
    }
    *rest = Some(observer);
    Ok((Report::Observed(tracer.conclude(spawn_error)), ended))
}

fn not_executed(errno: i32) -> Ended {
    Ended::Code(match errno {
        libc::ENOENT => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    })
}

/// Forks the command, leaves its process group and lets go of its streams.
fn start(
    spec: &ObserveSpec,
    argv: &[OsString],
    wrapper: &Socket,
) -> Result<(Socket, libc::pid_t), Failed> {
    let before = Signals::all().block().step("blocking signals")?;
    set_child_subreaper(Some(getpid()))
        .map_err(io::Error::from)
        .step("becoming the one who reaps")?;
    let (command, observer) = Socket::pair().step("making a socket")?;
    let observer_id = std::process::id();
    let pid = sys::clone_into(0, None).step("forking the command")?;
    if pid == 0 {
        drop(command);
        command::run(spec, argv, &observer, observer_id, before);
    }
    drop(observer);
    setpgid(None, None)
        .map_err(io::Error::from)
        .step("leaving the process group")?;
    // What arrived for the group up to here may have come before the command was in it. One that came
    // after waits for the command already, and is the same one then.
    for signal in pending_signals().step("reading signals")? {
        sys::kill(pid, signal).step("passing a signal on")?;
    }
    sys::ignore_children(false);
    let kept = [wrapper.as_fd().as_raw_fd(), command.as_fd().as_raw_fd()];
    let_go(&kept).step("letting go of the streams")?;
    command.send(&Begin, None).step("starting the command")?;
    Ok((command, pid))
}

/// Closes all descriptors but these, so that whoever reads from the command sees its end.
fn let_go(kept: &[RawFd]) -> io::Result<()> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for stream in 0..3 {
        sys::duplicate(null.as_raw_fd(), stream)?;
    }
    drop(null);
    let entries = fs::read_dir("/proc/self/fd")?;
    let open = entries.flatten();
    let open: Vec<RawFd> = open
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let others = open.iter().filter(|fd| **fd > 2 && !kept.contains(fd));
    for other in others {
        super::sys::close(*other);
    }
    Ok(())
}

/// What the observer listens to.
struct Observer {
    /// None once nobody is left who could ask.
    listener: Option<Listener>,
    /// Readable when a child has ended.
    children: OwnedFd,
}

/// What has happened.
struct Happened {
    is_asked: bool,
    is_child_over: bool,
    is_wrapper_gone: bool,
}

impl Observer {
    /// Traces until the command has ended.
    fn watch(
        &mut self,
        tracer: &mut Tracer<'_>,
        wrapper: &Socket,
        command: libc::pid_t,
    ) -> io::Result<Ended> {
        loop {
            let happened = self.wait(Some(wrapper))?;
            if happened.is_wrapper_gone {
                descendants::kill();
                sys::exit(0);
            }
            if let (true, Some(listener)) = (happened.is_asked, &self.listener) {
                tracer.trace(listener)?;
            }
            if happened.is_child_over
                && let Some(ended) = self.reap_ended(command)?
            {
                return Ok(ended);
            }
        }
    }

    /// Lets the calls of whatever is left go on, until nothing is.
    fn serve(&mut self) -> io::Result<()> {
        while !is_alone() {
            let happened = self.wait(None)?;
            if let (true, Some(listener)) = (happened.is_asked, &self.listener)
                && let Some(notification) = listener.receive()?
            {
                listener.answer(&notification)?;
            }
            if happened.is_child_over {
                self.reap_ended(0)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, wrapper: Option<&Socket>) -> io::Result<Happened> {
        let mut watched = vec![PollFd::new(&self.children, PollFlags::IN)];
        watched.extend(wrapper.map(|wrapper| PollFd::new(wrapper, PollFlags::IN)));
        let listener = self.listener.as_ref();
        watched.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
        match rustix::event::poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events = |at: usize| watched.get(at).map_or(PollFlags::empty(), PollFd::revents);
        let asked = if listener.is_some() {
            events(watched.len() - 1)
        } else {
            PollFlags::empty()
        };
        let happened = Happened {
            is_asked: asked.contains(PollFlags::IN),
            is_child_over: !events(0).is_empty(),
            is_wrapper_gone: wrapper.is_some() && !events(1).is_empty(),
        };
        if asked.contains(PollFlags::HUP) && !happened.is_asked {
            self.listener = None;
        }
        Ok(happened)
    }

    /// Reaps all that has ended; how the command did, where it is among them.
    fn reap_ended(&self, command: libc::pid_t) -> io::Result<Option<Ended>> {
        let mut signals = [0; 1024];
        while rustix::io::read(&self.children, &mut signals).is_ok_and(|read| read > 0) {}
        let mut ended = None;
        loop {
            match reap() {
                Ok(Some((pid, status))) if pid == command => ended = Some(Ended::of(status)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(ended),
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(ended),
                Err(error) => return Err(error),
            }
        }
    }
}
