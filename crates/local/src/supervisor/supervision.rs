//! What the supervisor decides: when a worker starts, which request it gets, when it is given up, and how every
//! request ends. It does nothing itself: it is told what happened and when, and says what to do.
//!
//! A worker is lost when its device's context is poisoned, when it is silent, when it ends or talks nonsense. Then the
//! requests that it had begun fail, the others wait for the next one, and the process is killed; only once it
//! is gone does another start, so that two never share a device. Workers that are lost too often within a
//! window put the model in quarantine. One that gave itself up over a request that it
//! refused is replaced at once, and not counted.

use super::config::{Limits, Unready};
use crate::error::{LocalError, Loss};
use crate::protocol::RequestId;
use std::collections::VecDeque;
use std::time::Duration;

/// The time since the supervisor began.
pub(super) type Now = Duration;

/// Which worker of a supervisor, counted from 1.
pub(super) type Generation = u64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// A client wants something.
    Submit(RequestId),
    /// A client wants it no more.
    Cancel(RequestId),
    /// A worker has loaded its model.
    Ready(Generation),
    /// A worker says that it works on a request.
    Begun(Generation, RequestId),
    /// A part of an answer is on its way to the client.
    Content(Generation, RequestId),
    /// A worker told a request's end, good or bad.
    Answered(Generation, RequestId),
    /// A worker told a request's end, and cannot go on to another.
    Stuck(Generation, RequestId),
    /// A worker said something else.
    Heard(Generation),
    /// A worker answered a heartbeat.
    Beaten(Generation, u64),
    /// A worker is of no use any more, though its process may live.
    Lost(Generation, Loss),
    /// A worker's process is gone.
    Gone(Generation, Loss),
    /// An operator ends the quarantine.
    Reset,
    /// Nothing new, and an end of what there is.
    Shutdown,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Start a worker.
    Start(Generation),
    /// Give a worker a request.
    Give(Generation, RequestId),
    /// Tell a worker that nobody wants a request any more.
    Cancel(Generation, RequestId),
    /// Ask a worker whether it lives.
    Beat(Generation, u64),
    /// Ask a worker to end.
    Terminate(Generation),
    /// Kill a worker.
    Kill(Generation),
    /// Tell a client how its request ended; `None` where the worker itself told it.
    End(RequestId, Option<LocalError>),
    /// The model became ready, or no longer is.
    Ready(Result<(), Unready>),
    /// Nothing is left to supervise.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing runs until then.
    Waiting { until: Now },
    /// The model is being loaded.
    Starting { deadline: Now },
    /// Requests are served.
    Serving(Pulse),
    /// The process was killed and is waited for.
    Killed { loss: Loss },
    /// Nothing runs until then, or until an operator says so.
    Quarantined { loss: Loss, until: Option<Now> },
    /// The process was asked to end, and is killed then.
    Terminating { kill_at: Option<Now> },
    /// Nothing is left.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pulse {
    next_at: Now,
    awaited: Option<Now>,
}

/// A request that a worker has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    id: RequestId,
    is_begun: bool,
    content_sent: bool,
    is_cancelled: bool,
}

#[derive(Debug)]
pub(super) struct Supervision {
    device: String,
    limits: Limits,
    state: State,
    generation: Generation,
    waiting: VecDeque<RequestId>,
    given: Vec<Given>,
    restarts: VecDeque<Now>,
    beats: u64,
    drain_until: Option<Now>,
    told: Option<Result<(), Unready>>,
    effects: VecDeque<Effect>,
}

/// How many requests a worker has at once: the one that it works on, and the next.
const GIVEN_MAX: usize = 2;

impl Supervision {
    /// A supervisor whose first worker starts at once.
    pub(super) fn new(device: String, limits: Limits) -> Self {
        let mut supervision = Self {
            device,
            limits,
            state: State::Stopped,
            generation: 0,
            waiting: VecDeque::new(),
            given: Vec::new(),
            restarts: VecDeque::new(),
            beats: 0,
            drain_until: None,
            told: None,
            effects: VecDeque::new(),
        };
        supervision.start(Now::ZERO);
        supervision.tell_readiness(Err(Unready::Starting));
        supervision
    }

    pub(super) fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Submit(id) => self.submit(now, id),
            Input::Cancel(id) => self.cancel(id),
            Input::Reset => {
                if matches!(self.state, State::Quarantined { .. }) {
                    self.end_quarantine(now);
                }
            }
            Input::Shutdown => self.shut_down(now),
            Input::Gone(generation, loss) if generation == self.generation => self.gone(now, loss),
            Input::Lost(generation, loss) if self.is_present(generation) => self.lose(now, loss),
            Input::Ready(generation) if self.is_present(generation) => self.ready(now),
            Input::Beaten(generation, beat) if self.is_present(generation) => {
                if beat == self.beats {
                    self.hear(now);
                }
            }
            Input::Heard(generation) if self.is_present(generation) => self.hear(now),
            Input::Begun(generation, id) if self.is_present(generation) => {
                self.hear(now);
                self.with_given(id, |given| given.is_begun = true);
            }
            Input::Content(generation, id) if self.is_present(generation) => {
                self.hear(now);
                self.with_given(id, |given| given.content_sent = true);
            }
            Input::Answered(generation, id) if self.is_present(generation) => {
                self.hear(now);
                self.answered(now, id);
            }
            Input::Stuck(generation, id) if self.is_present(generation) => {
                // One that has told another end since is free again.
                if self.finish(id) {
                    self.lose(now, Loss::Stuck);
                }
            }
            // What a worker says that was given up already changes nothing.
            Input::Gone(..)
            | Input::Lost(..)
            | Input::Ready(_)
            | Input::Beaten(..)
            | Input::Heard(_)
            | Input::Begun(..)
            | Input::Content(..)
            | Input::Answered(..)
            | Input::Stuck(..) => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        if self.drain_until.is_some_and(|until| until <= now) {
            self.drain_until = None;
            self.end_all(&LocalError::ShuttingDown);
            self.terminate(now);
        }
        match &self.state {
            State::Waiting { until } if *until <= now => self.start(now),
            State::Starting { deadline } if *deadline <= now => {
                let after = self.limits.load_deadline;
                self.lose(now, Loss::SlowToLoad { after });
            }
            State::Serving(Pulse {
                awaited: Some(at), ..
            }) if *at <= now => {
                let after = self.limits.heartbeat.deadline;
                self.lose(now, Loss::Silent { after });
            }
            State::Serving(Pulse {
                next_at,
                awaited: None,
            }) if *next_at <= now => self.beat(now),
            State::Quarantined {
                until: Some(until), ..
            } if *until <= now => self.end_quarantine(now),
            State::Terminating {
                kill_at: Some(kill_at),
            } if *kill_at <= now => {
                self.state = State::Terminating { kill_at: None };
                self.effects.push_back(Effect::Kill(self.generation));
            }
            _ => {}
        }
    }

    /// When something is due although nothing happens.
    pub(super) fn poll_timeout(&self) -> Option<Now> {
        let due = match &self.state {
            State::Waiting { until } => Some(*until),
            State::Starting { deadline } => Some(*deadline),
            State::Serving(pulse) => Some(pulse.awaited.unwrap_or(pulse.next_at)),
            State::Quarantined { until, .. } => *until,
            State::Terminating { kill_at } => *kill_at,
            State::Killed { .. } | State::Stopped => None,
        };
        match (due, self.drain_until) {
            (Some(due), Some(drain)) => Some(due.min(drain)),
            (due, drain) => due.or(drain),
        }
    }

    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether a worker's word about a request still counts.
    pub(super) fn is_given(&self, generation: Generation, id: RequestId) -> bool {
        self.is_present(generation) && self.given.iter().any(|given| given.id == id)
    }

    /// How many requests wait or are worked on.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() + self.given.len()
    }

    /// Whether a worker is the one that is counted on.
    pub(super) fn is_present(&self, generation: Generation) -> bool {
        generation == self.generation
            && matches!(self.state, State::Starting { .. } | State::Serving(_))
    }

    fn with_given(&mut self, id: RequestId, change: impl FnOnce(&mut Given)) {
        if let Some(given) = self.given.iter_mut().find(|given| given.id == id) {
            change(given);
        }
    }

    fn submit(&mut self, now: Now, id: RequestId) {
        let refusal = match &self.state {
            _ if self.is_stopping() => Some(LocalError::ShuttingDown),
            State::Quarantined { loss, until } => Some(quarantined(now, loss, *until)),
            _ if self.waiting.len() >= self.limits.queue_max => Some(LocalError::QueueFull {
                waiting: self.waiting.len(),
            }),
            _ => None,
        };
        if let Some(refusal) = refusal {
            self.effects.push_back(Effect::End(id, Some(refusal)));
            return;
        }
        self.waiting.push_back(id);
        self.give();
    }

    fn cancel(&mut self, id: RequestId) {
        if let Some(index) = self.waiting.iter().position(|waiting| *waiting == id) {
            self.waiting.remove(index);
            self.effects.push_back(Effect::End(id, None));
            return;
        }
        let generation = self.generation;
        if let Some(given) = self.given.iter_mut().find(|given| given.id == id)
            && !given.is_cancelled
        {
            given.is_cancelled = true;
            self.effects.push_back(Effect::Cancel(generation, id));
        }
    }

    fn give(&mut self) {
        if !matches!(self.state, State::Serving(_)) {
            return;
        }
        while self.given.len() < GIVEN_MAX
            && let Some(id) = self.waiting.pop_front()
        {
            self.given.push(Given {
                id,
                is_begun: false,
                content_sent: false,
                is_cancelled: false,
            });
            self.effects.push_back(Effect::Give(self.generation, id));
        }
    }

    fn answered(&mut self, now: Now, id: RequestId) {
        self.finish(id);
        self.give();
        self.stop_if_drained(now);
    }

    /// Ends a request as the worker told it, unless it was ended before.
    fn finish(&mut self, id: RequestId) -> bool {
        let before = self.given.len();
        self.given.retain(|given| given.id != id);
        let is_new = self.given.len() < before;
        if is_new {
            self.effects.push_back(Effect::End(id, None));
        }
        is_new
    }

    fn ready(&mut self, now: Now) {
        if matches!(self.state, State::Starting { .. }) {
            self.state = State::Serving(Pulse {
                next_at: now + self.limits.heartbeat.interval,
                awaited: None,
            });
            self.tell_readiness(Ok(()));
            self.give();
            self.stop_if_drained(now);
        }
    }

    /// Any word of a worker shows that it lives.
    fn hear(&mut self, now: Now) {
        if let State::Serving(pulse) = &mut self.state {
            pulse.awaited = None;
            pulse.next_at = now + self.limits.heartbeat.interval;
        }
    }

    fn beat(&mut self, now: Now) {
        if let State::Serving(pulse) = &mut self.state {
            self.beats += 1;
            pulse.awaited = Some(now + self.limits.heartbeat.deadline);
            let effect = Effect::Beat(self.generation, self.beats);
            self.effects.push_back(effect);
        }
    }

    /// Gives a worker up whose process may still live.
    fn lose(&mut self, now: Now, loss: Loss) {
        self.fail_begun(&loss);
        self.effects.push_back(Effect::Kill(self.generation));
        if self.is_stopping() {
            self.drain_until = None;
            self.end_all(&LocalError::ShuttingDown);
            self.state = State::Terminating { kill_at: None };
            return;
        }
        let unready = self.unready_after(now, &loss);
        self.tell_readiness(Err(unready));
        self.state = State::Killed { loss };
    }

    fn gone(&mut self, now: Now, loss: Loss) {
        let loss = match std::mem::replace(&mut self.state, State::Stopped) {
            State::Starting { .. } | State::Serving(_) => {
                self.fail_begun(&loss);
                loss
            }
            State::Killed { loss } => loss,
            State::Terminating { .. } => return self.stopped(),
            other => {
                self.state = other;
                return;
            }
        };
        if self.drain_until.is_some() {
            return self.stopped();
        }
        let unready = self.unready_after(now, &loss);
        match &unready {
            Unready::Quarantined { .. } => self.quarantine(now, &loss),
            _ if loss == Loss::Stuck => self.start(now),
            _ => {
                self.restarts.push_back(now);
                let until = now + self.backoff();
                self.state = State::Waiting { until };
            }
        }
        self.tell_readiness(Err(unready));
    }

    fn stopped(&mut self) {
        self.end_all(&LocalError::ShuttingDown);
        self.drain_until = None;
        self.state = State::Stopped;
        self.tell_readiness(Err(Unready::Stopped));
        self.effects.push_back(Effect::Stopped);
    }

    /// Fails what the worker had begun, and lets the others wait for the next one.
    fn fail_begun(&mut self, loss: &Loss) {
        for given in std::mem::take(&mut self.given).into_iter().rev() {
            let device = self.device.clone();
            let content_sent = given.content_sent;
            let error = match loss {
                _ if given.is_cancelled => None,
                _ if !given.is_begun => {
                    self.waiting.push_front(given.id);
                    continue;
                }
                Loss::Poisoned { code, name } => Some(LocalError::CudaContextPoisoned {
                    device,
                    code: *code,
                    name: name.clone(),
                    content_sent,
                }),
                _ => Some(LocalError::WorkerLost {
                    device,
                    loss: loss.clone(),
                    content_sent,
                }),
            };
            self.effects.push_back(Effect::End(given.id, error));
        }
    }

    fn end_all(&mut self, error: &LocalError) {
        let given = std::mem::take(&mut self.given);
        let ids = given.into_iter().map(|given| given.id);
        for id in ids.chain(std::mem::take(&mut self.waiting)) {
            let effect = Effect::End(id, Some(error.clone()));
            self.effects.push_back(effect);
        }
    }

    fn start(&mut self, now: Now) {
        self.generation += 1;
        self.state = State::Starting {
            deadline: now + self.limits.load_deadline,
        };
        self.effects.push_back(Effect::Start(self.generation));
    }

    fn unready_after(&mut self, now: Now, loss: &Loss) -> Unready {
        let window = self.limits.restart.window;
        self.restarts.retain(|at| *at + window > now);
        // A request that a caller made too hard says nothing about the model.
        if *loss == Loss::Stuck || self.restarts.len() < self.limits.restart.restarts_max {
            Unready::Restarting { loss: loss.clone() }
        } else {
            let retry_after = self.limits.restart.cool_down;
            let loss = loss.clone();
            Unready::Quarantined { loss, retry_after }
        }
    }

    /// How long the restart waits that was counted last: twice as long for each one before it.
    fn backoff(&self) -> Duration {
        let earlier = u32::try_from(self.restarts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
        let restart = &self.limits.restart;
        restart
            .backoff
            .saturating_mul(factor)
            .min(restart.backoff_max)
    }

    fn quarantine(&mut self, now: Now, loss: &Loss) {
        let until = self.limits.restart.cool_down.map(|wait| now + wait);
        self.end_all(&quarantined(now, loss, until));
        let loss = loss.clone();
        self.state = State::Quarantined { loss, until };
    }

    fn end_quarantine(&mut self, now: Now) {
        self.restarts.clear();
        self.start(now);
        self.tell_readiness(Err(Unready::Starting));
    }

    fn is_stopping(&self) -> bool {
        self.drain_until.is_some()
            || matches!(self.state, State::Terminating { .. } | State::Stopped)
    }

    fn shut_down(&mut self, now: Now) {
        if self.is_stopping() {
            return;
        }
        self.tell_readiness(Err(Unready::Stopping));
        match self.state {
            State::Waiting { .. } | State::Quarantined { .. } => self.stopped(),
            State::Killed { .. } => {
                self.end_all(&LocalError::ShuttingDown);
                self.state = State::Terminating { kill_at: None };
            }
            _ => {
                self.drain_until = Some(now + self.limits.patience.drain);
                self.stop_if_drained(now);
            }
        }
    }

    fn stop_if_drained(&mut self, now: Now) {
        if self.drain_until.is_some() && self.in_flight() == 0 {
            self.drain_until = None;
            self.terminate(now);
        }
    }

    fn terminate(&mut self, now: Now) {
        self.state = State::Terminating {
            kill_at: Some(now + self.limits.patience.grace),
        };
        self.effects.push_back(Effect::Terminate(self.generation));
    }

    fn tell_readiness(&mut self, readiness: Result<(), Unready>) {
        if self.told.as_ref() != Some(&readiness) {
            self.told = Some(readiness.clone());
            self.effects.push_back(Effect::Ready(readiness));
        }
    }
}

fn quarantined(now: Now, loss: &Loss, until: Option<Now>) -> LocalError {
    LocalError::Quarantined {
        loss: loss.clone(),
        retry_after: until.map(|until| until.saturating_sub(now)),
    }
}

#[cfg(test)]
mod tests;
