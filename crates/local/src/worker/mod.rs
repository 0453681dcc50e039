//! The process in which a model runs: told what to do on its standard input, telling what happens on its
//! standard output.
//!
//! One thread listens, one works. What arrives while a request is worked on waits in the `inbox`; heartbeats
//! and cancellations are seen between two calls to the device. Where the input ends, the node is gone, and the
//! process ends at once; where even that cannot be seen, because the process is stopped, the system ends it.

mod inbox;
mod serve;

use crate::device::Guard;
use crate::engine;
use crate::protocol::{self, Event, LineError, LoadOrder, Order};
use inbox::Inbox;
use serve::{Serving, tell};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

/// The word with which this program is started again as a worker.
pub const MODEL_WORKER: &str = "__model_worker";

#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("the worker cannot be set up: {0}")]
    SetUp(#[from] io::Error),
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("the first order must be to load a model")]
    NoLoad,
    #[error(transparent)]
    Device(#[from] crate::device::OpenError),
    #[error(transparent)]
    Load(#[from] engine::LoadError),
}

/// What the program does as a worker.
#[must_use]
pub fn worker_main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = error.to_string();
            tell(&Event::NotLoaded { message });
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<(), WorkerError> {
    let signal = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(signal)).map_err(io::Error::from)?;
    let mut line = Vec::new();
    let order = protocol::read(&mut io::stdin().lock(), &mut line)?;
    let Some(Order::Load(order)) = order else {
        return Err(WorkerError::NoLoad);
    };
    let inbox = Arc::new(Inbox::default());
    let listener = Arc::clone(&inbox);
    std::thread::Builder::new()
        .name("orders".to_owned())
        .spawn(move || listen(&listener))?;
    let mut serving = load(&order, inbox)?;
    serving.run();
    Ok(())
}

fn load(order: &LoadOrder, inbox: Arc<Inbox>) -> Result<Serving, WorkerError> {
    let guard = Guard::open(&order.device)?;
    let engine = engine::load(order)?;
    tell(&Event::Ready {
        context_length: engine.context_length(),
        device: guard.label(),
        model: engine.name(),
    });
    Ok(Serving::new(guard, engine, inbox))
}

/// The exit code after an order that is none.
const GARBLED: i32 = 65;

/// Hears orders until there are none. Then nobody is left to work for.
fn listen(inbox: &Inbox) {
    let mut line = Vec::new();
    let mut input = io::stdin().lock();
    loop {
        match protocol::read(&mut input, &mut line) {
            Ok(Some(order)) => inbox.put(order),
            Ok(None) | Err(LineError::Io(_) | LineError::Cut) => std::process::exit(0),
            Err(error) => {
                tracing::error!(%error, "an order cannot be understood");
                std::process::exit(GARBLED);
            }
        }
    }
}
