//! The loop around the decisions: it hears clients and the worker, and carries out what is decided.

use super::config::{LocalConfig, ModelCard, Readiness, Status, Unready};
use super::process::{self, Process, Told};
use super::supervision::{Effect, Generation, Input, Supervision};
use crate::error::{LocalError, Loss};
use crate::protocol::{self, Event, LoadOrder, Order, RequestId};
use crate::request::{Embeddings, FinishReason, GenerateRequest, LocalEvent, Usage};
use rustix::process::Signal;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// What a client wants.
#[derive(Debug, Clone)]
pub(super) enum Job {
    Generate(Box<GenerateRequest>),
    Embed(Arc<Vec<String>>),
}

/// What a client gets.
#[derive(Debug)]
pub(super) enum Reply {
    Event(LocalEvent),
    Embedded(Embeddings),
    Failed(LocalError),
}

/// What a handle says to the loop.
#[derive(Debug)]
pub(super) enum Call {
    Submit(RequestId, Job, mpsc::UnboundedSender<Reply>),
    Cancel(RequestId),
    Reset,
    Shutdown(oneshot::Sender<()>),
}

struct Client {
    job: Job,
    replies: mpsc::UnboundedSender<Reply>,
}

pub(super) struct Supervisor {
    config: LocalConfig,
    began: Instant,
    supervision: Supervision,
    clients: HashMap<RequestId, Client>,
    process: Option<(Generation, Process)>,
    started: u64,
    card: Option<ModelCard>,
    readiness: Result<(), Unready>,
    status: watch::Sender<Status>,
    told: mpsc::Sender<(Generation, Told)>,
    stopped: Vec<oneshot::Sender<()>>,
    is_stopped: bool,
    /// What the worker itself told as the end of the request that is being ended.
    last: Option<Reply>,
}

pub(super) fn first_status() -> Status {
    Status {
        readiness: Err(Unready::Starting),
        pid: None,
        started: 0,
        in_flight: 0,
    }
}

/// Supervises until there is nothing left to supervise.
pub(super) async fn run(
    config: LocalConfig,
    mut calls: mpsc::UnboundedReceiver<Call>,
    status: watch::Sender<Status>,
) {
    let (told, mut heard) = mpsc::channel(256);
    let mut supervisor = Supervisor {
        supervision: Supervision::new(config.device.to_string(), config.limits.clone()),
        config,
        began: Instant::now(),
        clients: HashMap::new(),
        process: None,
        started: 0,
        card: None,
        readiness: Err(Unready::Starting),
        status,
        told,
        stopped: Vec::new(),
        is_stopped: false,
        last: None,
    };
    supervisor.act();
    let mut has_handles = true;
    while !supervisor.is_stopped {
        let due = supervisor
            .supervision
            .poll_timeout()
            .unwrap_or(Duration::MAX);
        let due = supervisor.began.checked_add(due);
        let far = || Instant::now() + Duration::from_secs(86_400);
        tokio::select! {
            call = calls.recv(), if has_handles => match call {
                Some(call) => supervisor.call(call),
                None => {
                    has_handles = false;
                    supervisor.feed(Input::Shutdown);
                }
            },
            Some((generation, told)) = heard.recv() => supervisor.hear(generation, told),
            () = tokio::time::sleep_until(due.unwrap_or_else(far)) => {
                let now = supervisor.began.elapsed();
                supervisor.supervision.handle_timeout(now);
                supervisor.act();
            }
        }
    }
    // A process that is given up has been told, and its thread waits for its end.
    supervisor.process = None;
    for waiting in supervisor.stopped.drain(..) {
        let _gone = waiting.send(());
    }
}

impl Supervisor {
    fn call(&mut self, call: Call) {
        match call {
            Call::Submit(id, job, replies) => {
                self.clients.insert(id, Client { job, replies });
                self.feed(Input::Submit(id));
            }
            Call::Cancel(id) => self.feed(Input::Cancel(id)),
            Call::Reset => self.feed(Input::Reset),
            Call::Shutdown(done) => {
                self.stopped.push(done);
                self.feed(Input::Shutdown);
            }
        }
    }

    fn hear(&mut self, generation: Generation, told: Told) {
        match told {
            Told::Started(process) => self.begin(generation, process),
            Told::Said(event) => self.hear_event(generation, event),
            Told::Garbled(message) => {
                self.feed(Input::Lost(generation, Loss::Garbled { message }));
            }
            Told::Gone(loss) => {
                if matches!(&self.process, Some((present, _)) if *present == generation) {
                    self.process = None;
                }
                self.feed(Input::Gone(generation, loss));
            }
        }
    }

    fn begin(&mut self, generation: Generation, process: Process) {
        if !self.supervision.is_present(generation) {
            // It was given up before it could be told so.
            process.signal(Signal::KILL);
        }
        let order = Order::Load(LoadOrder {
            model: self.config.model.clone(),
            device: self.config.device.clone(),
            context_length: self.config.context_length,
            threads: self.config.threads,
        });
        tracing::info!(pid = process.pid, generation, "a model worker runs");
        if let Ok(line) = protocol::line(&order) {
            process.send(line);
        }
        self.process = Some((generation, process));
        self.feed(Input::Heard(generation));
    }

    fn hear_event(&mut self, generation: Generation, event: Event) {
        let input = match event {
            Event::Ready {
                context_length,
                device,
                model,
            } => {
                self.card = Some(ModelCard {
                    model,
                    context_length,
                    device,
                });
                Input::Ready(generation)
            }
            Event::NotLoaded { message } => Input::Lost(generation, Loss::NotLoaded { message }),
            Event::Begun { id } => Input::Begun(generation, id),
            Event::Text { id, text } => {
                if self.supervision.is_given(generation, id) {
                    self.reply(id, Reply::Event(LocalEvent::Text(text)));
                }
                Input::Content(generation, id)
            }
            Event::Finished { id, reason, usage } => {
                self.last = Some(Reply::Event(LocalEvent::Finished { reason, usage }));
                Input::Answered(generation, id)
            }
            Event::Embedded { id, vectors, usage } => {
                self.last = Some(Reply::Embedded(Embeddings { vectors, usage }));
                Input::Answered(generation, id)
            }
            Event::Failed { id, error } => {
                self.last = Some(Reply::Failed(error));
                Input::Answered(generation, id)
            }
            Event::Stuck { id, error } => {
                tracing::info!(generation, %error, "a worker is replaced: its work on a request does not end");
                self.last = Some(Reply::Failed(error));
                Input::Stuck(generation, id)
            }
            Event::DeviceError { code, name, sticky } => {
                tracing::warn!(generation, code, name, sticky, "a device failed");
                if sticky {
                    Input::Lost(generation, Loss::Poisoned { code, name })
                } else {
                    Input::Heard(generation)
                }
            }
            Event::Rebuilt => Input::Heard(generation),
            Event::Heartbeat { sequence } => Input::Beaten(generation, sequence),
        };
        self.feed(input);
        self.last = None;
    }

    fn feed(&mut self, input: Input) {
        let now = self.began.elapsed();
        self.supervision.handle(now, input);
        self.act();
    }

    fn act(&mut self) {
        while let Some(effect) = self.supervision.poll_effect() {
            self.perform(effect);
        }
        let status = Status {
            readiness: self.readiness(),
            pid: self.process.as_ref().map(|(_, process)| process.pid),
            started: self.started,
            in_flight: self.supervision.in_flight(),
        };
        self.status.send_if_modified(|told| {
            let is_new = *told != status;
            if is_new {
                *told = status;
            }
            is_new
        });
    }

    fn readiness(&self) -> Readiness {
        match (&self.readiness, &self.card) {
            (Ok(()), Some(card)) => Ok(card.clone()),
            (Ok(()), None) => Err(Unready::Starting),
            (Err(unready), _) => Err(unready.clone()),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start(generation) => {
                self.started += 1;
                process::start(&self.config.worker, generation, self.told.clone());
            }
            Effect::Give(generation, id) => self.give(generation, id),
            Effect::Cancel(generation, id) => self.send(generation, &Order::Cancel { id }),
            Effect::Beat(generation, sequence) => {
                self.send(generation, &Order::Heartbeat { sequence });
            }
            Effect::Terminate(generation) => {
                self.send(generation, &Order::Shutdown);
                self.signal(generation, Signal::TERM);
            }
            Effect::Kill(generation) => self.signal(generation, Signal::KILL),
            Effect::End(id, error) => self.end(id, error),
            Effect::Ready(readiness) => self.readiness = readiness,
            Effect::Stopped => self.is_stopped = true,
        }
    }

    fn give(&mut self, generation: Generation, id: RequestId) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let order = match client.job.clone() {
            Job::Generate(request) => Order::Generate { id, request },
            Job::Embed(inputs) => Order::Embed {
                id,
                inputs: inputs.to_vec(),
            },
        };
        self.send(generation, &order);
    }

    fn send(&self, generation: Generation, order: &Order) {
        if let Some((present, process)) = &self.process
            && *present == generation
            && let Ok(line) = protocol::line(order)
        {
            process.send(line);
        }
    }

    fn signal(&self, generation: Generation, signal: Signal) {
        if let Some((present, process)) = &self.process
            && *present == generation
        {
            process.signal(signal);
        }
    }

    fn reply(&self, id: RequestId, reply: Reply) {
        if let Some(client) = self.clients.get(&id) {
            // A client that is gone has said so, too.
            let _gone = client.replies.send(reply);
        }
    }

    fn end(&mut self, id: RequestId, error: Option<LocalError>) {
        let told = match error {
            Some(error) => Reply::Failed(error),
            None => self.last.take().unwrap_or_else(cancelled),
        };
        self.reply(id, told);
        self.clients.remove(&id);
    }
}

fn cancelled() -> Reply {
    Reply::Event(LocalEvent::Finished {
        reason: FinishReason::Cancelled,
        usage: Usage::default(),
    })
}
