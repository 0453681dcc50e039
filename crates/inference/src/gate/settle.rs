//! The ends of attempts and flights: what they cost, what the breakers learn, what is tried next.

use super::flight::{Attempt, Flight, State};
use super::seek::Freed;
use super::{AttemptId, Effect, FlightId, Gate, GateError, LedgerEntry, Outcome, Pricing, Success};
use crate::{CircuitClass, InferenceError, Tokens};
use mainstay_contract::{EffectState, Timestamp, Usd};
use mainstay_resilience::Outcome as BreakerOutcome;
use std::sync::Arc;
use std::time::Duration;

/// What the three breakers learn from a success.
const WELL: [BreakerOutcome; 3] = [BreakerOutcome::Success; 3];
const UNKNOWN: [BreakerOutcome; 3] = [BreakerOutcome::Neutral; 3];

/// What a call brought, to be paid for.
#[derive(Clone, Copy)]
struct Billed {
    /// Absent where nobody counted: then what was reserved is spent.
    tokens: Option<Tokens>,
    is_answered: bool,
}

impl Billed {
    const fn answer(tokens: Option<Tokens>) -> Self {
        Self {
            tokens,
            is_answered: true,
        }
    }

    /// A call that was dropped before anything came: providers bill what was sent, and no one who leaves
    /// early must get it for nothing.
    fn dropped(flight: &Flight) -> Self {
        Self::failure(Tokens {
            input: flight.ask.input_tokens,
            ..Tokens::default()
        })
    }

    /// A call that failed: what was counted, or what was sent where nobody can know whether it was billed.
    fn failed(flight: &Flight, error: &InferenceError, tokens: Tokens) -> Self {
        if tokens == Tokens::default() && error.may_be_billed() {
            Self::dropped(flight)
        } else {
            Self::failure(tokens)
        }
    }

    const fn failure(tokens: Tokens) -> Self {
        Self {
            tokens: Some(tokens),
            is_answered: false,
        }
    }
}

/// A provider that asks for more is tried after so long all the same: its clock may be wrong.
const COOL_MAX: Duration = Duration::from_secs(3600);

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
            let billed = Billed::dropped(flight);
            self.settle(now, id, flight, loser, billed, UNKNOWN);
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
        let at = ended.deployment;
        match outcome {
            Outcome::Answered { tokens } => {
                flight.winner = Some(attempt.number);
                if let Some(tokens) = tokens {
                    self.deployments[at].learn_output(tokens.output);
                }
                self.settle(now, id, &mut flight, ended, Billed::answer(tokens), WELL);
                self.drop_losers(now, id, &mut flight);
                let name = Arc::clone(&self.deployments[at].name);
                self.conclude(now, id, flight, Ok((name, tokens.unwrap_or_default())));
            }
            Outcome::Failed { error, tokens } => {
                let link = ended.link;
                self.cool(now, at, &error);
                let billed = Billed::failed(&flight, &error, tokens);
                self.settle(now, id, &mut flight, ended, billed, learned(&error));
                flight.failed = flight.failed.saturating_add(1);
                if flight.winner == Some(attempt.number) {
                    self.conclude(now, id, flight, Err(error));
                } else if flight.attempts.is_empty() {
                    self.next_try(now, id, flight, error);
                } else {
                    self.leave_to_other(&mut flight, link, error);
                    self.flights.insert(id, flight);
                }
            }
        }
        self.let_in(now);
    }

    /// One of two attempts failed: the flight is where the other is.
    fn leave_to_other(&self, flight: &mut Flight, failed: usize, error: InferenceError) {
        let Some(other) = flight.attempts.first().map(|other| other.link) else {
            return;
        };
        if other == failed {
            flight.failures = flight.failures.saturating_add(1);
        } else if flight.at == failed {
            (flight.at, flight.failures) = (other, 0);
        }
        if !self.may_repeat(flight, failed, &error)
            && let Some(link) = flight.chain.get_mut(failed)
        {
            link.is_spent = true;
        }
        let at = flight.chain.get(failed).map_or(0, |link| link.deployment);
        let name = Arc::clone(&self.deployments[at].name);
        flight.earlier.push((name, error));
    }

    /// Whether a deployment may be asked again after this failure.
    fn may_repeat(&self, flight: &Flight, link: usize, error: &InferenceError) -> bool {
        let Some(link) = flight.chain.get(link) else {
            return false;
        };
        let at = link.deployment;
        flight.ask.is_retried
            && !link.is_spent
            && self.deployments[at].is_open()
            && error.is_retryable()
            && !self.was_lost_before(flight, at, error)
            && (self.deployments[at].config.is_idempotent || error.effect() == EffectState::None)
    }

    /// Whether this is the second worker that a deployment lost over the same request: it may be what ends them.
    fn was_lost_before(&self, flight: &Flight, at: usize, error: &InferenceError) -> bool {
        let is_loss =
            |error: &InferenceError| matches!(error, InferenceError::CudaContextPoisoned { .. });
        let name = &self.deployments[at].name;
        let mut earlier = flight.earlier.iter();
        is_loss(error) && earlier.any(|(other, error)| other == name && is_loss(error))
    }

    /// A provider that says when to come back is left alone until then.
    fn cool(&mut self, now: Timestamp, at: usize, error: &InferenceError) {
        let is_limit = matches!(
            error,
            InferenceError::RateLimited { .. } | InferenceError::Backpressure { .. }
        );
        if let Some(wait) = error.retry_after().filter(|_| is_limit) {
            let deployment = &mut self.deployments[at];
            let until = now.after(wait.min(COOL_MAX));
            if until > deployment.cool_until {
                deployment.cool_until = until;
                deployment.is_overloaded = matches!(error, InferenceError::Backpressure { .. });
            }
        }
    }

    /// Repeats, goes on to the next, or gives up.
    fn next_try(
        &mut self,
        now: Timestamp,
        id: FlightId,
        mut flight: Box<Flight>,
        error: InferenceError,
    ) {
        let at = flight.deployment();
        flight.failures = flight.failures.saturating_add(1);
        let has_other = flight.next_link(super::failure::class(&error)).is_some();
        let is_limit = matches!(error, InferenceError::RateLimited { .. });
        let may_repeat = self.may_repeat(&flight, flight.at, &error) && !(is_limit && has_other);
        let left = flight.ask.deadline.map(|deadline| deadline.since(now));
        let random = flight.random_u32();
        let deployment = &mut self.deployments[at];
        let policy = deployment.config.retry;
        let wait = policy.wait_until(flight.failures, error.retry_after(), random, left);
        let wait = wait.filter(|_| may_repeat && deployment.retries.try_retry(now));
        if let Some(wait) = wait {
            flight.state = State::Resting;
            flight.earlier.push((Arc::clone(&deployment.name), error));
            self.set_wake(id, &mut flight, Some(now.after(wait)));
            self.flights.insert(id, flight);
            return;
        }
        // Nothing is held any more, and no answer awaited.
        flight.state = State::Resting;
        self.set_wake(id, &mut flight, None);
        self.flights.insert(id, flight);
        self.seek(now, id, Some(error));
    }

    /// The caller left: what came is paid for.
    pub(super) fn leave(&mut self, now: Timestamp, id: FlightId, came: Tokens) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        self.drop_calls(now, id, &mut flight, came);
        self.release(now, id, &mut flight);
        self.let_in(now);
    }

    /// The caller's time is over: what came is paid for, and told.
    pub(super) fn time_out(
        &mut self,
        now: Timestamp,
        id: FlightId,
        came: Tokens,
        error: InferenceError,
    ) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        self.drop_calls(now, id, &mut flight, came);
        self.conclude(now, id, flight, Err(error));
        self.let_in(now);
    }

    fn drop_calls(&mut self, now: Timestamp, id: FlightId, flight: &mut Flight, came: Tokens) {
        for attempt in std::mem::take(&mut flight.attempts) {
            let billed = if flight.winner == Some(attempt.number) {
                Billed::failure(came)
            } else {
                Billed::dropped(flight)
            };
            self.settle(now, id, flight, attempt, billed, UNKNOWN);
        }
    }

    /// Settles one attempt: its place, money, tokens, breakers.
    fn settle(
        &mut self,
        now: Timestamp,
        id: FlightId,
        flight: &mut Flight,
        attempt: Attempt,
        billed: Billed,
        breakers: [BreakerOutcome; 3],
    ) {
        let Billed {
            tokens,
            is_answered,
        } = billed;
        let deployment = &mut self.deployments[attempt.deployment];
        let usd = match (&attempt.pricing, tokens) {
            (Pricing::Known(price), Some(tokens)) => price.cost(tokens).usd,
            (Pricing::Free, _) => Usd::ZERO,
            (Pricing::Known(_), None) | (Pricing::Unknown, _) => attempt.reserved_usd,
        };
        if let (Some(limit), Some(reserved), Some(tokens)) =
            (&mut deployment.tokens, attempt.reserved_tokens, tokens)
        {
            limit.settle(now, reserved, tokens.total());
            if !deployment.line.is_empty() {
                self.freed.push_back(Freed::Line(attempt.deployment));
            }
        }
        let endpoint = attempt.permits.endpoint;
        self.endpoints[endpoint].record(now, attempt.permits, breakers);
        if let Some(reservation) = attempt.reservation {
            self.tree.settle(now, reservation, usd);
            self.tell_savers(flight, attempt.deployment);
        }
        let tokens = tokens.unwrap_or_default();
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
        let seat = AttemptId {
            flight: id,
            number: attempt.number,
        };
        self.vacate(attempt.deployment, seat);
    }

    /// Gives back all that a flight holds.
    fn release(&mut self, now: Timestamp, id: FlightId, flight: &mut Flight) {
        self.set_wake(id, flight, None);
        if let Some(key) = flight.saving_for.take() {
            self.remove_saver(&key, id);
        }
        if matches!(flight.state, State::Queued | State::Held) {
            self.give_up_place(id, flight);
        }
        let Some(hold) = flight.key.take() else {
            return;
        };
        let name = flight.ask.spender.key.as_ref();
        let key = name.and_then(|name| self.keys.get_mut(name));
        if let Some(key) = key.filter(|key| key.number == hold.number) {
            key.active = key.active.saturating_sub(1);
            if let (Some(limit), Some(reserved)) = (&mut key.tokens, hold.tokens) {
                limit.settle(now, reserved, flight.tokens.total());
            }
        }
    }

    /// The one end of a flight.
    pub(super) fn conclude(
        &mut self,
        now: Timestamp,
        id: FlightId,
        mut flight: Box<Flight>,
        result: Result<(Arc<str>, Tokens), InferenceError>,
    ) {
        self.release(now, id, &mut flight);
        let ending = match result {
            Ok((deployment, tokens)) => Ok(Success {
                deployment,
                attempts: flight.attempts_made,
                usd: flight.usd,
                tokens,
                warnings: flight.warnings,
            }),
            Err(error) => Err(Box::new(GateError {
                error,
                deployment: (!flight.chain.is_empty())
                    .then(|| Arc::clone(&self.deployments[flight.deployment()].name)),
                earlier: flight.earlier,
                attempts: flight.attempts_made,
                usd: flight.usd,
                tokens: flight.tokens,
                elapsed: now.since(flight.arrived),
            })),
        };
        self.effects
            .push_back(Effect::Finish { flight: id, ending });
    }
}

/// What the breakers learn from a failure. A provider that refuses a request does its work; of one that was
/// not asked nothing is learned.
fn learned(error: &InferenceError) -> [BreakerOutcome; 3] {
    use BreakerOutcome::{Failure, Neutral, Success};
    match error.circuit_class() {
        CircuitClass::Failure => [Failure, Neutral, Neutral],
        CircuitClass::Overload => [Neutral, Failure, Neutral],
        CircuitClass::Access => [Success, Success, Failure],
        CircuitClass::None => match error {
            InferenceError::BadRequest { .. }
            | InferenceError::ContentFiltered { .. }
            | InferenceError::ContextLengthExceeded { .. }
            | InferenceError::ModelNotFound { .. }
            | InferenceError::QuotaExhausted { .. }
            | InferenceError::RecordingFailed { .. } => WELL,
            _ => UNKNOWN,
        },
    }
}
