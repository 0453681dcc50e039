//! A worker's process, and the thread that starts it, hears it, and waits for its end.
//!
//! The thread lives as long as the process: the system ends a worker together with the thread that started it,
//! and threads of an async runtime come and go.

use super::config::WorkerCommand;
use super::supervision::Generation;
use crate::error::Loss;
use crate::protocol::{self, Event};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc as blocking;
use tokio::sync::mpsc::Sender;

/// What a process tells the loop.
#[derive(Debug)]
pub(super) enum Told {
    /// It runs.
    Started(Process),
    /// It said something.
    Said(Event),
    /// It said something that is no event.
    Garbled(String),
    /// It is gone, and nothing more will come.
    Gone(Loss),
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    handle: OwnedFd,
    lines: blocking::Sender<Vec<u8>>,
}

impl Process {
    /// Sends an order. A worker that reads no more is on its way out, and its end is told apart.
    pub(super) fn send(&self, line: Vec<u8>) {
        let _gone = self.lines.send(line);
    }

    /// Sends a signal. The handle never names another process.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.handle, signal) {
            tracing::debug!(pid = self.pid, %error, "a worker cannot be signalled");
        }
    }
}

/// Starts a worker and tells everything that becomes of it, its end last.
pub(super) fn start(
    command: &WorkerCommand,
    generation: Generation,
    told: Sender<(Generation, Told)>,
) {
    let command = command.clone();
    let failed = told.clone();
    let thread = std::thread::Builder::new().name("model-worker".to_owned());
    let started = thread.spawn(move || {
        let loss = match live(&command, |event| {
            told.blocking_send((generation, event)).is_ok()
        }) {
            Ok(status) => Loss::Exited {
                code: status.code(),
                signal: status.signal(),
            },
            Err(error) => Loss::NotStarted {
                message: error.to_string(),
            },
        };
        let _gone = told.blocking_send((generation, Told::Gone(loss)));
    });
    if let Err(error) = started {
        let message = error.to_string();
        tokio::spawn(async move {
            let gone = Told::Gone(Loss::NotStarted { message });
            let _gone = failed.send((generation, gone)).await;
        });
    }
}

fn live(command: &WorkerCommand, mut tell: impl FnMut(Told) -> bool) -> io::Result<ExitStatus> {
    let mut child = Command::new(&command.exe)
        .args(&command.args)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // A terminal's interrupt is for the node, which ends its workers in good order.
        .process_group(0)
        .spawn()?;
    match begin(&mut child) {
        Ok((process, output)) => {
            if tell(Told::Started(process)) {
                hear(output, tell);
            }
        }
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
    }
    child.wait()
}

fn begin(child: &mut Child) -> io::Result<(Process, ChildStdout)> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(gone)?;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let input = child.stdin.take().ok_or_else(gone)?;
    let output = child.stdout.take().ok_or_else(gone)?;
    let (lines, orders) = blocking::channel();
    std::thread::Builder::new()
        .name("model-orders".to_owned())
        .spawn(move || write(input, &orders))?;
    let pid = child.id();
    Ok((Process { pid, handle, lines }, output))
}

/// Writes orders until nobody gives any more; then the worker sees the end of its input.
fn write(mut input: ChildStdin, orders: &blocking::Receiver<Vec<u8>>) {
    while let Ok(line) = orders.recv() {
        if input.write_all(&line).is_err() {
            return;
        }
    }
}

fn hear(output: ChildStdout, mut tell: impl FnMut(Told) -> bool) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        let told = match protocol::read::<Event>(&mut output, &mut line) {
            Ok(Some(event)) => Told::Said(event),
            Ok(None) | Err(protocol::LineError::Cut | protocol::LineError::Io(_)) => return,
            Err(error) => {
                // The rest is read to its end, so that the process can never wait for us.
                tell(Told::Garbled(error.to_string()));
                let _gone = io::copy(&mut output, &mut io::sink());
                return;
            }
        };
        if !tell(told) {
            return;
        }
    }
}
