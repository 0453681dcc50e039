//! The way of a flight along its chain: money, then a place, then the limits, then leave of the breakers.

use super::arrive::{SOME_TIME, pressed};
use super::call::Order;
use super::failure::class;
use super::flight::{Flight, Link, State};
use super::money::Payment;
use super::pace::Pace;
use super::{AttemptId, BudgetKey, FailureClass, FlightId, Gate};
use crate::{InferenceError, Origin};
use mainstay_contract::Timestamp;
use mainstay_resilience::{BreakerState, Entered};
use std::sync::Arc;
use std::time::Duration;

/// What has become free, and whom that may concern.
#[derive(Debug)]
pub(super) enum Freed {
    /// This one was given a place at a deployment.
    Place(usize, AttemptId),
    /// The first in the line of a deployment is another.
    Line(usize),
    /// A reservation in a budget was settled.
    Money(BudgetKey),
}

impl Gate {
    /// Goes along the chain until the flight is under way or at its end.
    pub(super) fn seek(&mut self, now: Timestamp, id: FlightId, failed: Option<InferenceError>) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        let mut failed = failed;
        loop {
            let is_late = flight.is_late(now);
            if let Some(error) = failed.take() {
                let next = self.stand_in(&flight, &error).filter(|_| !is_late);
                let Some(next) = next else {
                    let error = self.told(&mut flight, error);
                    self.conclude(now, id, flight, Err(error));
                    return;
                };
                let name = Arc::clone(&self.deployments[flight.deployment()].name);
                flight.earlier.push((name, error));
                (flight.at, flight.failures, flight.since) = (next, 0, now);
            } else if is_late {
                self.expire(now, id, flight);
                return;
            }
            failed = self.try_here(now, id, &mut flight);
            // What was seen here says more than that it is closed by now.
            let is_open = self.deployments[flight.deployment()].is_open();
            if flight.failures > 0
                && (!is_open || matches!(failed, Some(InferenceError::CircuitOpen { .. })))
                && let Some((_, seen)) = flight.earlier.pop()
            {
                failed = Some(seen);
            }
            if failed.is_none() {
                break;
            }
        }
        self.flights.insert(id, flight);
    }

    /// What is told where nobody is left to ask. That one who was to stand in cannot be asked for this makes
    /// the failure that led there neither the caller's fault nor final.
    fn told(&self, flight: &mut Flight, error: InferenceError) -> InferenceError {
        let Some(place) = flight.reason(&error) else {
            return error;
        };
        let (name, reason) = flight.earlier.remove(place);
        let own = Arc::clone(&self.deployments[flight.deployment()].name);
        flight.earlier.push((own, error));
        let is_it = |link: &Link| self.deployments[link.deployment].name == name;
        flight.at = flight.chain.iter().position(is_it).unwrap_or(flight.at);
        reason
    }

    /// Who may help after a failure. What is not ready counts as failed too: whoever stands in for the one
    /// stands in for the other. Where a stand-in cannot be asked, the next stands in for the same failure.
    fn stand_in(&self, flight: &Flight, error: &InferenceError) -> Option<usize> {
        let reason = flight.reason(error).and_then(|at| flight.earlier.get(at));
        let class = class(reason.map_or(error, |(_, reason)| reason));
        let next = flight.next_link(class);
        let is_shut = !self.deployments[flight.deployment()].is_open();
        if !is_shut || class != Some(FailureClass::Limited) {
            return next;
        }
        let other = flight.next_link(Some(FailureClass::Failed));
        next.into_iter().chain(other).min()
    }

    /// Lets a flight wait or call; says why it can do neither here.
    fn try_here(
        &mut self,
        now: Timestamp,
        id: FlightId,
        flight: &mut Flight,
    ) -> Option<InferenceError> {
        let at = flight.deployment();
        if let Some(error) = self.closed(now, flight, at) {
            return Some(error);
        }
        let purse = match self.payment(now, flight, at) {
            Payment::Possible(purse) => purse,
            Payment::Later(delay) => {
                self.save_up(id, flight, delay);
                return None;
            }
            Payment::Never(error) => return Some(error),
        };
        let deployment = &mut self.deployments[at];
        let priority = flight.ask.priority;
        match deployment.queue.enter(now, flight.seat(id), priority) {
            Entered::Admitted => {
                let order = Order::new(flight.at, at, purse);
                let failed = self.go(now, id, flight, order);
                if failed.is_some() {
                    self.give_up_place(id, flight);
                }
                failed
            }
            Entered::Queued => {
                flight.state = State::Queued;
                let end = flight.since.after(deployment.config.limits.queue_timeout);
                let end = flight.in_time(end);
                self.set_wake(id, flight, Some(end));
                None
            }
            Entered::Full => {
                let message = format!("{} has as many requests as it takes", deployment.name);
                Some(pressed(flight, message))
            }
        }
    }

    /// Calls, or waits for the limits. The flight has a place.
    fn go(
        &mut self,
        now: Timestamp,
        id: FlightId,
        flight: &mut Flight,
        order: Order,
    ) -> Option<InferenceError> {
        let at = order.deployment;
        let tokens = self.expected_tokens(flight, at);
        match self.pace(now, id, flight, at, tokens) {
            Pace::Free => {}
            Pace::Until(until) => {
                flight.state = State::Held;
                flight.is_in_line = true;
                self.deployments[at].line.insert(flight.rank(id));
                self.set_wake(id, flight, Some(until));
                return None;
            }
            Pace::Never(error) => return Some(error),
        }
        let permits = match self.permits(now, at) {
            Ok(permits) => permits,
            Err(refused) => return Some(self.circuit_open(now, at, refused.retry_after)),
        };
        self.leave_line(id, flight);
        self.call(now, id, flight, order, permits);
        None
    }

    /// A flight that waited at a deployment tries to go on.
    pub(super) fn resume(&mut self, now: Timestamp, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        if flight.is_late(now) {
            self.expire(now, id, flight);
            return;
        }
        let at = flight.deployment();
        let failed = match self.closed(now, &flight, at) {
            Some(error) => Some(error),
            None => match self.payment(now, &mut flight, at) {
                Payment::Possible(purse) => {
                    let order = Order::new(flight.at, at, purse);
                    self.go(now, id, &mut flight, order)
                }
                Payment::Later(delay) => {
                    // Who waits for money must not stand in the way of those who have it.
                    self.give_up_place(id, &mut flight);
                    self.save_up(id, &mut flight, delay);
                    None
                }
                Payment::Never(error) => Some(error),
            },
        };
        if failed.is_some() {
            self.give_up_place(id, &mut flight);
        }
        self.flights.insert(id, flight);
        if failed.is_some() {
            self.seek(now, id, failed);
        }
    }

    /// Why a deployment takes nobody at the moment.
    fn closed(&self, now: Timestamp, flight: &Flight, at: usize) -> Option<InferenceError> {
        let deployment = &self.deployments[at];
        if !deployment.is_open() {
            let wait = deployment.ready_again.since(now);
            return Some(InferenceError::NotReady {
                origin: self.origin(at),
                asked: flight.ask.model.to_string(),
                deployment: deployment.name.to_string(),
                retry_after: if wait.is_zero() { SOME_TIME } else { wait },
                message: match deployment.is_removed {
                    true => "it was removed".to_owned(),
                    false => deployment.unready_for.clone(),
                },
            });
        }
        match self.endpoints[deployment.endpoint].state(now) {
            BreakerState::Open { remaining } => Some(self.circuit_open(now, at, remaining)),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    fn circuit_open(&self, now: Timestamp, at: usize, retry_after: Duration) -> InferenceError {
        let endpoint = &self.endpoints[self.deployments[at].endpoint];
        InferenceError::CircuitOpen {
            origin: self.origin(at),
            opened_at_unix_ms: endpoint.opened_at(now).0,
            retry_at_unix_ms: now.after(retry_after).0,
            retry_after,
        }
    }

    pub(super) fn origin(&self, at: usize) -> Origin {
        let config = &self.deployments[at].config;
        Origin {
            provider: config.provider.to_string(),
            model: config.model.to_string(),
            answering: false,
        }
    }

    /// Gives up the place that a flight has or waits for, before it calls.
    pub(super) fn give_up_place(&mut self, id: FlightId, flight: &mut Flight) {
        self.leave_line(id, flight);
        self.vacate(flight.deployment(), flight.seat(id));
    }

    /// Whoever leaves a place lets somebody in, once what is under way is done.
    pub(super) fn vacate(&mut self, at: usize, seat: AttemptId) {
        if let Some(next) = self.deployments[at].queue.leave(&seat) {
            self.freed.push_back(Freed::Place(at, next));
        }
    }

    /// Lets in whoever can go on by what has just become free. Those free more only by a further entry, so
    /// that nothing here calls itself.
    pub(super) fn let_in(&mut self, now: Timestamp) {
        while let Some(freed) = self.freed.pop_front() {
            match freed {
                Freed::Place(at, seat) => self.admitted(now, at, seat),
                Freed::Line(at) => {
                    let first = self.deployments[at].line.first();
                    if let Some(&(_, id)) = first {
                        self.resume(now, id);
                    }
                }
                Freed::Money(key) => self.money_freed(now, &key),
            }
        }
    }

    /// A flight got a place.
    fn admitted(&mut self, now: Timestamp, at: usize, seat: AttemptId) {
        let flight = self.flights.get(&seat.flight);
        let is_waiting = flight.is_some_and(|flight| {
            flight.state == State::Queued
                && flight.deployment() == at
                && flight.seat(seat.flight) == seat
        });
        if is_waiting {
            self.resume(now, seat.flight);
        }
    }

    /// Something that a flight waited for is due.
    pub(super) fn wake(&mut self, now: Timestamp, id: FlightId) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        flight.wake = None;
        match flight.state {
            State::Queued => self.queue_over(now, id),
            State::Held => self.resume(now, id),
            State::Saving => {
                self.stop_saving(id);
                self.seek(now, id, None);
            }
            State::Resting => {
                flight.since = now;
                self.seek(now, id, None);
            }
            State::Calling => self.hedge(now, id),
        }
        self.let_in(now);
    }

    /// A flight has waited for a place for as long as it may.
    fn queue_over(&mut self, now: Timestamp, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        if flight.is_late(now) {
            self.expire(now, id, flight);
            return;
        }
        self.give_up_place(id, &mut flight);
        let name = &self.deployments[flight.deployment()].name;
        let error = pressed(&flight, format!("{name} had no place in time"));
        self.flights.insert(id, flight);
        self.seek(now, id, Some(error));
    }

    /// The caller's time is over while it waited.
    fn expire(&mut self, now: Timestamp, id: FlightId, flight: Box<Flight>) {
        let elapsed = now.since(flight.arrived);
        let error = InferenceError::Timeout {
            origin: self.origin(flight.deployment()),
            phase: flight.ask.late_phase(),
            after: flight.ask.patience.unwrap_or(elapsed),
            elapsed,
        };
        self.conclude(now, id, flight, Err(error));
    }

    pub(super) fn set_wake(&mut self, id: FlightId, flight: &mut Flight, wake: Option<Timestamp>) {
        if flight.wake == wake {
            return;
        }
        if let Some(at) = std::mem::replace(&mut flight.wake, wake) {
            self.wakes.remove(&(at, id));
        }
        if let Some(at) = wake {
            self.wakes.insert((at, id));
        }
    }
}
