//! The ends of attempts and flights: what they cost, what the breakers learn, what is tried next.

use super::flight::{Attempt, Flight, State};
use super::{AttemptId, Effect, FlightId, Gate, GateError, LedgerEntry, Outcome, Pricing, Success};
use crate::{CircuitClass, InferenceError, TimeoutPhase, Tokens};
use mainstay_contract::{EffectState, Timestamp, Usd};
use mainstay_resilience::Outcome as BreakerOutcome;
use std::sync::Arc;

/// What the three breakers learn from a success.
const WELL: [BreakerOutcome; 3] = [BreakerOutcome::Success; 3];
const UNKNOWN: [BreakerOutcome; 3] = [BreakerOutcome::Neutral; 3];

impl Gate {
    /// An attempt brought its first content: the others are dropped.
    pub(super) fn commit(&mut self, now: Timestamp, attempt: AttemptId) {
        let Some(mut flight) = self.flights.remove(&attempt.flight) else {
            return;
        };
        let is_known = flight
            .attempts
            .iter()
            .any(|known| known.number == attempt.number);
        if flight.winner.is_none() && is_known {
            flight.winner = Some(attempt.number);
            self.set_wake(attempt.flight, &mut flight, None);
            self.drop_losers(now, attempt.flight, &mut flight);
        }
        self.flights.insert(attempt.flight, flight);
        self.let_in(now);
    }

    fn drop_losers(&mut self, now: Timestamp, id: FlightId, flight: &mut Flight) {
        let winner = flight.winner;
        let (keep, losers) = std::mem::take(&mut flight.attempts)
            .into_iter()
            .partition(|attempt| Some(attempt.number) == winner);
        flight.attempts = keep;
        for loser in losers {
            let number = loser.number;
            self.settle(now, id, flight, loser, Tokens::default(), UNKNOWN, false);
            self.effects.push_back(Effect::Cancel {
                attempt: AttemptId { flight: id, number },
            });
        }
    }

    pub(super) fn end_attempt(&mut self, now: Timestamp, attempt: AttemptId, outcome: Outcome) {
        let id = attempt.flight;
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        let place = flight
            .attempts
            .iter()
            .position(|known| known.number == attempt.number);
        let Some(place) = place else {
            self.flights.insert(id, flight);
            return;
        };
        let ended = flight.attempts.remove(place);
        match outcome {
            Outcome::Answered { tokens } => {
                flight.winner = Some(attempt.number);
                let tokens = tokens.unwrap_or_default();
                let at = ended.deployment;
                self.deployments[at].learn_output(tokens.output);
                self.settle(now, id, &mut flight, ended, tokens, WELL, true);
                self.drop_losers(now, id, &mut flight);
                let name = Arc::clone(&self.deployments[at].name);
                self.conclude(now, id, flight, Ok(name));
            }
            Outcome::Failed { error, tokens } => {
                let at = ended.deployment;
                self.cool(now, at, &error);
                self.settle(now, id, &mut flight, ended, tokens, learned(&error), false);
                if flight.winner == Some(attempt.number) {
                    self.conclude(now, id, flight, Err(error));
                } else if flight.attempts.is_empty() {
                    self.next_try(now, id, flight, error);
                } else {
                    let name = Arc::clone(&self.deployments[at].name);
                    flight.earlier.push((name, error));
                    self.flights.insert(id, flight);
                }
            }
        }
        self.let_in(now);
    }

    /// A provider that says when to come back is left alone until then.
    fn cool(&mut self, now: Timestamp, at: usize, error: &InferenceError) {
        let is_limit = matches!(
            error,
            InferenceError::RateLimited { .. } | InferenceError::Backpressure { .. }
        );
        if let Some(wait) = error.retry_after().filter(|_| is_limit) {
            let cool = &mut self.deployments[at].cool_until;
            *cool = (*cool).max(now.after(wait));
        }
    }

    /// Repeats, goes on to the next, or gives up.
    fn next_try(
        &mut self,
        now: Timestamp,
        id: FlightId,
        mut flight: Flight,
        error: InferenceError,
    ) {
        let at = flight.deployment();
        flight.failures = flight.failures.saturating_add(1);
        let class = super::failure::class(&error);
        let has_other = flight
            .chain
            .iter()
            .skip(flight.at + 1)
            .any(|link| link.helps(class));
        let is_limit = matches!(error, InferenceError::RateLimited { .. });
        let may_repeat = flight.ask.is_retried
            && error.is_retryable()
            && (self.deployments[at].config.is_idempotent || error.effect() == EffectState::None)
            && !(is_limit && has_other);
        let left = flight.ask.deadline.map(|deadline| deadline.since(now));
        let random = flight.random_u32();
        let policy = self.deployments[at].config.retry;
        let wait = policy.wait_until(flight.failures, error.retry_after(), random, left);
        let wait = wait.filter(|_| may_repeat && self.deployments[at].retries.try_retry(now));
        if let Some(wait) = wait {
            self.give_up_place(at, id);
            flight.state = State::Resting;
            let name = Arc::clone(&self.deployments[at].name);
            flight.earlier.push((name, error));
            self.set_wake(id, &mut flight, Some(now.after(wait)));
            self.flights.insert(id, flight);
            return;
        }
        self.give_up_place(at, id);
        self.flights.insert(id, flight);
        self.seek(now, id, Some(error));
    }

    /// Something that a flight waited for is due.
    pub(super) fn wake(&mut self, now: Timestamp, id: FlightId) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        flight.wake = None;
        let state = flight.state;
        let is_late = flight.ask.deadline.is_some_and(|deadline| now >= deadline);
        match state {
            State::Queued | State::Held | State::Resting if is_late => self.expire(now, id),
            State::Queued => {}
            State::Held => {
                self.budget_waiters.remove(&id);
                self.resume(now, id);
            }
            State::Resting => self.seek(now, id, None),
            State::Calling => self.hedge(now, id),
        }
        self.let_in(now);
    }

    /// The caller's time is over before anything was sent.
    fn expire(&mut self, now: Timestamp, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        let at = flight.deployment();
        let error = flight.earlier.pop().map(|(_, error)| error);
        let error = error.unwrap_or_else(|| InferenceError::Timeout {
            origin: self.origin(at),
            phase: TimeoutPhase::Total,
            after: now.since(flight.arrived),
            elapsed: now.since(flight.arrived),
        });
        self.conclude(now, id, flight, Err(error));
    }

    /// Begins a second attempt beside one that is slow, where another deployment has a place at once.
    fn hedge(&mut self, now: Timestamp, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        let class = Some(super::FailureClass::Failed);
        let next = flight
            .chain
            .iter()
            .skip(flight.at + 1)
            .find(|link| link.helps(class));
        let own = flight.deployment();
        let at = next.map_or(own, |link| link.deployment);
        if flight.winner.is_none()
            && flight.attempts.len() == 1
            && self.deployments[own].hedges.try_retry(now)
            && self.deployments[at].has_room(now)
            && let Ok(permits) = self.permits(now, at)
        {
            self.call(now, id, &mut flight, at, permits, true);
        }
        self.flights.insert(id, flight);
    }

    /// The caller left: what came is paid for.
    pub(super) fn leave(&mut self, now: Timestamp, id: FlightId, came: Tokens) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        for attempt in std::mem::take(&mut flight.attempts) {
            let is_winner = flight.winner == Some(attempt.number);
            let tokens = if is_winner { came } else { Tokens::default() };
            self.settle(now, id, &mut flight, attempt, tokens, UNKNOWN, false);
        }
        self.release(now, id, &mut flight);
        self.let_in(now);
    }

    /// Settles one attempt: money, tokens, breakers.
    #[expect(clippy::too_many_arguments, reason = "the facts of one attempt")]
    fn settle(
        &mut self,
        now: Timestamp,
        id: FlightId,
        flight: &mut Flight,
        attempt: Attempt,
        tokens: Tokens,
        breakers: [BreakerOutcome; 3],
        is_answered: bool,
    ) {
        let deployment = &mut self.deployments[attempt.deployment];
        let usd = match &deployment.config.pricing {
            Pricing::Known(price) => price.cost(tokens).usd,
            Pricing::Free | Pricing::Unknown => Usd::ZERO,
        };
        if let Some(limit) = &mut deployment.tokens {
            limit.settle(now, attempt.reserved_tokens, tokens.total());
        }
        if let Some(endpoint) = self.endpoints.get_mut(&deployment.config.endpoint) {
            endpoint.record(now, attempt.permits, breakers);
        }
        if let Some(reservation) = attempt.reservation {
            self.tree.settle(now, reservation, usd);
            self.is_money_freed = !self.budget_waiters.is_empty();
        }
        if attempt.reservation.is_some() || is_answered || tokens != Tokens::default() {
            self.effects.push_back(Effect::Record(LedgerEntry::Settled {
                call: attempt.call,
                at: attempt.reserved_at,
                spender: flight.ask.spender.clone(),
                deployment: Arc::clone(&self.deployments[attempt.deployment].name),
                usd,
                tokens,
                is_answered,
            }));
        }
        flight.usd = flight.usd.plus(usd);
        flight.tokens = flight.tokens.plus(tokens);
        if attempt.is_hedge && attempt.deployment != flight.deployment() {
            self.give_up_place(attempt.deployment, id);
        }
    }

    /// Gives back all that a flight holds.
    fn release(&mut self, now: Timestamp, id: FlightId, flight: &mut Flight) {
        self.set_wake(id, flight, None);
        self.budget_waiters.remove(&id);
        if !flight.chain.is_empty() {
            self.give_up_place(flight.deployment(), id);
        }
        let key = flight.ask.spender.key.as_ref();
        if let Some(key) = key.and_then(|name| self.keys.get_mut(name)) {
            key.active = key.active.saturating_sub(1);
            if let Some(limit) = &mut key.tokens {
                limit.settle(now, flight.key_tokens, flight.tokens.total());
            }
        }
    }

    /// The one end of a flight.
    pub(super) fn conclude(
        &mut self,
        now: Timestamp,
        id: FlightId,
        mut flight: Flight,
        result: Result<Arc<str>, InferenceError>,
    ) {
        self.release(now, id, &mut flight);
        let ending = match result {
            Ok(deployment) => Ok(Success {
                deployment,
                attempts: flight.attempts_made,
                usd: flight.usd,
                tokens: flight.tokens,
                warnings: flight.warnings,
            }),
            Err(error) => Err(Box::new(GateError {
                error,
                deployment: (!flight.chain.is_empty()).then(|| {
                    Arc::clone(&self.deployments[flight.chain[flight.at].deployment].name)
                }),
                earlier: flight.earlier,
                attempts: flight.attempts_made,
                usd: flight.usd,
                tokens: flight.tokens,
            })),
        };
        self.effects
            .push_back(Effect::Finish { flight: id, ending });
    }

    pub(super) fn set_ready(&mut self, now: Timestamp, name: &Arc<str>, is_ready: bool) {
        if let Some(&at) = self.names.get(name) {
            self.deployments[at].is_ready = is_ready;
        }
        self.let_in(now);
    }
}

/// What the breakers learn from a failure. A provider that refuses a request does its work.
fn learned(error: &InferenceError) -> [BreakerOutcome; 3] {
    use BreakerOutcome::{Failure, Neutral, Success};
    match error.circuit_class() {
        CircuitClass::Failure => [Failure, Neutral, Neutral],
        CircuitClass::Overload => [Neutral, Failure, Neutral],
        CircuitClass::Access => [Success, Success, Failure],
        CircuitClass::None => match error {
            InferenceError::Internal { .. } | InferenceError::RateLimited { .. } => UNKNOWN,
            _ => WELL,
        },
    }
}
