//! Working on requests, one after the other.

use super::inbox::{Inbox, Job, Next};
use crate::device::{DeviceFault, Guard};
use crate::engine::{Engine, EngineError, Interrupt, Surroundings};
use crate::error::LocalError;
use crate::protocol::{self, Event, RequestId};
use crate::request::{FinishReason, Usage};
use std::io::{self, Write};
use std::sync::Arc;

/// Tells the node something. Where nobody reads, the node is gone, and the end of the input says so, too.
pub(super) fn tell(event: &Event) {
    let line = protocol::line(event).or_else(|error| {
        tracing::error!(%error, "an event cannot be told");
        match event {
            Event::Embedded { id, .. } | Event::Text { id, .. } => protocol::line(&Event::Failed {
                id: *id,
                error: LocalError::internal(error),
            }),
            _ => Err(error),
        }
    });
    if let Ok(line) = line {
        let mut out = io::stdout().lock();
        let _gone = out.write_all(&line).and_then(|()| out.flush());
    }
}

pub(super) struct Serving {
    guard: Guard,
    engine: Box<dyn Engine>,
    inbox: Arc<Inbox>,
}

impl Serving {
    pub(super) fn new(guard: Guard, engine: Box<dyn Engine>, inbox: Arc<Inbox>) -> Self {
        Self {
            guard,
            engine,
            inbox,
        }
    }

    /// Works until it is told to end.
    pub(super) fn run(&mut self) {
        loop {
            match self.inbox.next() {
                Next::Shutdown => return,
                Next::Heartbeat(sequence) => {
                    if let Err(fault) = beat(&mut self.guard, sequence) {
                        self.recover(&fault);
                    }
                }
                Next::Cancelled(id) => tell(&Event::Finished {
                    id,
                    reason: FinishReason::Cancelled,
                    usage: Usage::default(),
                }),
                Next::Work(id, job) => self.work(id, &job),
            }
        }
    }

    fn work(&mut self, id: RequestId, job: &Job) {
        tell(&Event::Begun { id });
        let mut around = Around {
            id,
            guard: &mut self.guard,
            inbox: &self.inbox,
            fault: None,
        };
        let worked = match job {
            Job::Generate(request) => request
                .check()
                .map_err(EngineError::from)
                .and_then(|()| self.engine.generate(request, &mut around))
                .map(|finish| Event::Finished {
                    id,
                    reason: finish.reason,
                    usage: finish.usage,
                }),
            Job::Embed(inputs) => {
                self.engine
                    .embed(inputs, &mut around)
                    .map(|embedded| Event::Embedded {
                        id,
                        vectors: embedded.vectors,
                        usage: embedded.usage,
                    })
            }
        };
        match worked {
            Ok(event) => tell(&event),
            Err(EngineError::Refused(error)) => tell(&Event::Failed { id, error }),
            Err(EngineError::Interrupted(Interrupt::Cancelled)) => tell(&Event::Finished {
                id,
                reason: FinishReason::Cancelled,
                usage: Usage::default(),
            }),
            Err(EngineError::Interrupted(Interrupt::Device(fault))) => self.fail(id, &fault),
        }
    }

    /// Ends a request that the device failed. One whose context is poisoned is ended by the supervisor.
    fn fail(&mut self, id: RequestId, fault: &DeviceFault) {
        if !fault.sticky {
            let DeviceFault { code, name, .. } = fault.clone();
            let device = self.guard.label();
            let error = LocalError::DeviceFailed { device, code, name };
            tell(&Event::Failed { id, error });
        }
        self.recover(fault);
    }

    /// Builds the context anew, or waits to be replaced where that cannot help.
    fn recover(&mut self, fault: &DeviceFault) {
        told(fault);
        if fault.sticky {
            wait_for_the_end();
        }
        self.engine.forget();
        match self.guard.rebuild() {
            Ok(()) => tell(&Event::Rebuilt),
            Err(again) => {
                // What building anew does not cure is poisoned, whatever its number says.
                told(&DeviceFault {
                    sticky: true,
                    ..again
                });
                wait_for_the_end();
            }
        }
    }
}

fn told(fault: &DeviceFault) {
    let DeviceFault { code, name, sticky } = fault.clone();
    tell(&Event::DeviceError { code, name, sticky });
}

/// Ending by oneself may hang in a broken driver. The supervisor ends this process, or the end of the input.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

fn beat(guard: &mut Guard, sequence: u64) -> Result<(), DeviceFault> {
    guard.heartbeat()?;
    tell(&Event::Heartbeat { sequence });
    Ok(())
}

struct Around<'a> {
    id: RequestId,
    guard: &'a mut Guard,
    inbox: &'a Inbox,
    /// What a heartbeat in the middle of a call met.
    fault: Option<DeviceFault>,
}

impl Surroundings for Around<'_> {
    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            let (id, text) = (self.id, text.to_owned());
            tell(&Event::Text { id, text });
        }
    }

    fn after_call(&mut self) -> Result<(), Interrupt> {
        self.guard.check().map_err(Interrupt::Device)?;
        self.breathe();
        if let Some(fault) = self.fault.take() {
            return Err(Interrupt::Device(fault));
        }
        if self.inbox.is_cancelled(self.id) {
            return Err(Interrupt::Cancelled);
        }
        Ok(())
    }

    fn breathe(&mut self) {
        if self.fault.is_none()
            && let Some(sequence) = self.inbox.heartbeat()
        {
            self.fault = beat(self.guard, sequence).err();
        }
    }

    fn give_up(&self, error: LocalError) -> Box<dyn FnOnce() + Send> {
        let id = self.id;
        Box::new(move || tell(&Event::Stuck { id, error }))
    }
}
