//! Letting flights in: the key's limits, then along the chain of deployments a place, leave of the breakers,
//! the limits and the money.

use super::failure::class;
use super::flight::{Attempt, Flight, Link, Permits, State};
use super::{
    Ask, AttemptId, BudgetAction, BudgetKey, Effect, FlightId, Gate, GateError, LedgerEntry,
    Pricing,
};
use crate::error::OURS;
use crate::{InferenceError, Origin};
use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::{BreakerState, BudgetExceeded, Entered, Outcome, Refused};
use std::sync::Arc;
use std::time::Duration;

/// Whether a flight goes on by itself.
pub(super) enum Tried {
    /// It waits or calls.
    Underway,
    /// Not here.
    Failed(InferenceError),
}

/// What stands in the way of a call.
enum Obstacle {
    /// Time; then it can go on.
    Until(Timestamp),
    /// What others have reserved and may give back, until then at the latest.
    Reservations(Timestamp),
    /// It cannot go on.
    Failure(InferenceError),
}

impl Gate {
    pub(super) fn arrive(&mut self, now: Timestamp, id: FlightId, ask: Ask) {
        let mut flight = Flight::new(now, ask, Vec::new());
        if let Err(error) = self.pass_key(now, &mut flight) {
            self.refuse(id, flight, error);
            return;
        }
        flight.chain = self.chain(&mut flight);
        if flight.chain.is_empty() {
            let origin = self.our_origin(&flight);
            let message = String::new();
            let error = InferenceError::ModelNotFound { origin, message };
            self.conclude(now, id, flight, Err(error));
            return;
        }
        self.flights.insert(id, flight);
        self.seek(now, id, None);
        self.let_in(now);
    }

    fn our_origin(&self, flight: &Flight) -> Origin {
        Origin {
            provider: OURS.to_owned(),
            model: flight.ask.model.to_string(),
            answering: false,
        }
    }

    /// Takes from the limits of the caller's key. Nobody waits for these.
    fn pass_key(&mut self, now: Timestamp, flight: &mut Flight) -> Result<(), InferenceError> {
        let origin = self.our_origin(flight);
        let Some(name) = flight.ask.spender.key.clone() else {
            return Ok(());
        };
        let Some(key) = self.keys.get_mut(&name) else {
            return Ok(());
        };
        let models = key.config.models.as_ref();
        if models.is_some_and(|models| !models.contains(&flight.ask.model)) {
            let message = format!("the key {name} may not use the model {}", flight.ask.model);
            return Err(InferenceError::Forbidden { origin, message });
        }
        let limited = |after, what: &str| InferenceError::RateLimited {
            origin: origin.clone(),
            retry_after: Some(after),
            message: format!("the key {name} has used its {what}"),
        };
        if key
            .config
            .limits
            .concurrency
            .is_some_and(|max| key.active >= max)
        {
            let message = format!("the key {name} has as many requests under way as it may");
            return Err(InferenceError::Backpressure {
                origin,
                retry_after: Some(Duration::from_secs(1)),
                message,
            });
        }
        let tokens = flight
            .ask
            .input_tokens
            .saturating_add(flight.ask.output_tokens_max.unwrap_or(0));
        if let Some(limit) = &mut key.tokens {
            let taken = limit.try_take(now, tokens);
            taken.map_err(|wait| limited(wait.after, "tokens a minute"))?;
        }
        if let Some(limit) = &mut key.requests
            && let Err(wait) = limit.try_take(now, 1)
        {
            if let Some(tokens_limit) = &mut key.tokens {
                tokens_limit.give_back(now, tokens);
            }
            return Err(limited(wait.after, "requests a minute"));
        }
        flight.key_tokens = tokens;
        key.active += 1;
        Ok(())
    }

    /// Whom to ask, in order: the members by lot, weighted, then those who stand in for them.
    fn chain(&self, flight: &mut Flight) -> Vec<Link> {
        let Some(model) = self.models.get(&flight.ask.model) else {
            return Vec::new();
        };
        let number = |name: &Arc<str>| self.names.get(name).copied();
        let mut members = model.members.clone();
        let mut chain = Vec::with_capacity(members.len() + model.fallback.len());
        while !members.is_empty() {
            let all: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
            let mut lot = if members.len() > 1 && all > 0 {
                flight.random() % all
            } else {
                0
            };
            let at = members.iter().position(|member| {
                let is_it = lot < u64::from(member.weight);
                lot = lot.saturating_sub(u64::from(member.weight));
                is_it
            });
            let member = members.remove(at.unwrap_or(0));
            chain.extend(number(&member.deployment).map(|deployment| Link {
                deployment,
                on: None,
            }));
        }
        chain.extend(model.fallback.iter().filter_map(|fallback| {
            Some(Link {
                deployment: number(&fallback.deployment)?,
                on: Some(fallback.on.clone()),
            })
        }));
        chain
    }

    /// Goes along the chain until the flight is under way or at its end.
    pub(super) fn seek(&mut self, now: Timestamp, id: FlightId, failed: Option<InferenceError>) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        let mut failed = failed;
        loop {
            if let Some(error) = failed.take() {
                let class = class(&error);
                let rest = flight.chain.iter().enumerate().skip(flight.at + 1);
                let next = rest
                    .filter(|(_, link)| link.helps(class))
                    .map(|(at, _)| at)
                    .next();
                let Some(next) = next else {
                    self.conclude(now, id, flight, Err(error));
                    return;
                };
                let name = Arc::clone(&self.deployments[flight.deployment()].name);
                flight.earlier.push((name, error));
                (flight.at, flight.failures) = (next, 0);
            }
            match self.try_here(now, id, &mut flight) {
                Tried::Underway => break,
                Tried::Failed(error) => failed = Some(error),
            }
        }
        self.flights.insert(id, flight);
    }

    fn try_here(&mut self, now: Timestamp, id: FlightId, flight: &mut Flight) -> Tried {
        let at = flight.deployment();
        if let Some(error) = self.closed(now, flight, at) {
            return Tried::Failed(error);
        }
        let deployment = &mut self.deployments[at];
        match deployment.queue.enter(now, id, flight.ask.priority) {
            Entered::Admitted => self.begin(now, id, flight),
            Entered::Queued => {
                flight.state = State::Queued;
                let deadline = flight.ask.deadline;
                self.set_wake(id, flight, deadline);
                Tried::Underway
            }
            Entered::Full => {
                let message = format!("{} has as many requests as it takes", deployment.name);
                Tried::Failed(self.pressed(flight, message))
            }
        }
    }

    fn pressed(&self, flight: &Flight, message: String) -> InferenceError {
        InferenceError::Backpressure {
            origin: self.our_origin(flight),
            retry_after: Some(Duration::from_secs(1)),
            message,
        }
    }

    /// Why a deployment takes nobody at the moment.
    fn closed(&self, now: Timestamp, flight: &Flight, at: usize) -> Option<InferenceError> {
        let deployment = &self.deployments[at];
        if !deployment.is_ready {
            let message = format!("{} is not ready", deployment.name);
            return Some(self.pressed(flight, message));
        }
        let endpoint = self.endpoints.get(&deployment.config.endpoint)?;
        match endpoint.state(now) {
            BreakerState::Open { remaining } => Some(self.circuit_open(now, at, remaining)),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        }
    }

    fn circuit_open(&self, now: Timestamp, at: usize, retry_after: Duration) -> InferenceError {
        InferenceError::CircuitOpen {
            origin: self.origin(at),
            opened_at_unix_ms: now.0,
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

    /// Calls, or waits for what stands in the way. The flight has a place.
    pub(super) fn begin(&mut self, now: Timestamp, id: FlightId, flight: &mut Flight) -> Tried {
        let at = flight.deployment();
        let permits = match self.permits(now, at) {
            Ok(permits) => permits,
            Err(refused) => {
                self.give_up_place(at, id);
                return Tried::Failed(self.circuit_open(now, at, refused.retry_after));
            }
        };
        let obstacle = match self.obstacle(now, flight, at) {
            None => {
                self.call(now, id, flight, at, permits, false);
                return Tried::Underway;
            }
            Some(obstacle) => obstacle,
        };
        self.return_permits(now, at, permits);
        let until = match obstacle {
            Obstacle::Until(until) => until,
            Obstacle::Reservations(until) => {
                self.budget_waiters.insert(id);
                until
            }
            Obstacle::Failure(error) => {
                self.give_up_place(at, id);
                return Tried::Failed(error);
            }
        };
        flight.state = State::Held;
        self.set_wake(id, flight, Some(until));
        Tried::Underway
    }

    pub(super) fn permits(&mut self, now: Timestamp, at: usize) -> Result<Permits, Refused> {
        let endpoint = Arc::clone(&self.deployments[at].config.endpoint);
        match self.endpoints.get_mut(&endpoint) {
            Some(endpoint) => endpoint.admit(now),
            None => Err(Refused {
                retry_after: Duration::ZERO,
            }),
        }
    }

    pub(super) fn return_permits(&mut self, now: Timestamp, at: usize, permits: Permits) {
        let endpoint = &self.deployments[at].config.endpoint;
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.record(now, permits, [Outcome::Neutral; 3]);
        }
    }

    /// What stands in the way of a call; where nothing does, the limits have been taken from.
    fn obstacle(&mut self, now: Timestamp, flight: &mut Flight, at: usize) -> Option<Obstacle> {
        if let Some(obstacle) = self.money(now, flight, at) {
            return Some(obstacle);
        }
        let tokens = self.expected_tokens(flight, at);
        let deployment = &mut self.deployments[at];
        let cooling = deployment.cool_until.since(now);
        let mut wait = cooling;
        let check = |limit: &Option<mainstay_resilience::RateLimit>, amount| {
            let checked = limit.as_ref().map(|limit| limit.check(now, amount));
            checked
                .and_then(Result::err)
                .map_or(Duration::ZERO, |wait| wait.after)
        };
        let requests = check(&deployment.requests, 1);
        let of_tokens = check(&deployment.tokens, tokens);
        wait = wait.max(requests).max(of_tokens);
        if wait.is_zero() {
            if let Some(limit) = &mut deployment.requests {
                let _taken = limit.try_take(now, 1);
            }
            if let Some(limit) = &mut deployment.tokens {
                let _taken = limit.try_take(now, tokens);
            }
            return None;
        }
        let limits = deployment.config.limits;
        let mut patience = match limits.queue {
            0 => Duration::ZERO,
            _ => limits
                .queue_timeout
                .saturating_sub(now.since(flight.arrived)),
        };
        if cooling >= requests.max(of_tokens) && flight.ask.is_retried {
            patience = patience.max(Duration::from_millis(deployment.config.retry.cap_ms));
        }
        let until = now.after(wait);
        let is_late = flight
            .ask
            .deadline
            .is_some_and(|deadline| until >= deadline);
        if wait <= patience && !is_late {
            return Some(Obstacle::Until(until));
        }
        let (origin, what) = if cooling == wait {
            (self.origin(at), "it asked to be left alone")
        } else if requests == wait {
            (
                self.our_origin(flight),
                "the model has used its requests a minute",
            )
        } else {
            (
                self.our_origin(flight),
                "the model has used its tokens a minute",
            )
        };
        Some(Obstacle::Failure(InferenceError::RateLimited {
            origin,
            retry_after: Some(wait),
            message: what.to_owned(),
        }))
    }

    /// Whether every budget has room.
    fn money(&mut self, now: Timestamp, flight: &mut Flight, at: usize) -> Option<Obstacle> {
        let keys = self.counting(flight, at);
        if keys.is_empty() {
            return None;
        }
        let Some(usd) = self.reservation(flight, at) else {
            return Some(Obstacle::Failure(InferenceError::PriceUnknown {
                origin: self.origin(at),
                budget: keys[0].to_string(),
            }));
        };
        if usd == Usd::ZERO {
            return None;
        }
        let action = |key: &BudgetKey| self.budgets.get(key).map(|budget| budget.action);
        let (warns, strict): (Vec<_>, Vec<_>) = keys
            .iter()
            .partition(|key| action(key) == Some(BudgetAction::Warn));
        flight.warnings.clear();
        for key in warns {
            if self.tree.check(now, [key], usd).is_err() {
                flight
                    .warnings
                    .push(format!("the budget of {key} is used up"));
            }
        }
        let exceeded = self.tree.check(now, strict, usd).err()?;
        self.without_money(now, flight, at, &exceeded)
    }

    fn without_money(
        &self,
        now: Timestamp,
        flight: &Flight,
        at: usize,
        exceeded: &BudgetExceeded<BudgetKey>,
    ) -> Option<Obstacle> {
        let BudgetExceeded { key, exceeded } = exceeded;
        let is_bound = flight.ask.output_tokens_max.is_some();
        let has_left = exceeded.spent < exceeded.limit;
        // Who names no bound may still be the last: nobody else is under way, and something is left.
        if !is_bound && has_left && exceeded.reserved == Usd::ZERO {
            return None;
        }
        let would_fit = exceeded.spent.plus(exceeded.asked) <= exceeded.limit;
        let patience = self.deployments[at].config.limits.queue_timeout;
        let end = flight.arrived.after(patience);
        let end = flight
            .ask
            .deadline
            .map_or(end, |deadline| end.min(deadline));
        if exceeded.reserved > Usd::ZERO && (would_fit || (!is_bound && has_left)) && now < end {
            return Some(Obstacle::Reservations(end));
        }
        let action = self.budgets.get(key).map(|budget| budget.action);
        if let (Some(BudgetAction::Throttle), Some(resets)) = (action, exceeded.resets_at)
            && flight
                .ask
                .deadline
                .is_some_and(|deadline| resets < deadline)
        {
            return Some(Obstacle::Until(resets));
        }
        Some(Obstacle::Failure(InferenceError::BudgetExceeded {
            origin: self.origin(at),
            deployment: self.deployments[at].name.to_string(),
            budget: key.to_string(),
            limit: exceeded.limit,
            spent: exceeded.spent,
            reserved: exceeded.reserved,
            resets_at_unix_ms: exceeded.resets_at.map(|at| at.0),
        }))
    }

    /// The budgets that a call falls under.
    fn counting(&self, flight: &Flight, at: usize) -> Vec<BudgetKey> {
        if self.budgets.is_empty() {
            return Vec::new();
        }
        let mut keys = flight.ask.spender.budgets(&self.deployments[at].name);
        keys.retain(|key| self.budgets.contains_key(key));
        keys
    }

    fn expected_output(&self, flight: &Flight, at: usize) -> u64 {
        let usual = || self.deployments[at].usual_output();
        flight.ask.output_tokens_max.unwrap_or_else(usual)
    }

    fn expected_tokens(&self, flight: &Flight, at: usize) -> u64 {
        flight
            .ask
            .input_tokens
            .saturating_add(self.expected_output(flight, at))
    }

    /// What a call may cost; nothing where nobody knows.
    fn reservation(&self, flight: &Flight, at: usize) -> Option<Usd> {
        match &self.deployments[at].config.pricing {
            Pricing::Known(price) => {
                let output = self.expected_output(flight, at);
                let input = flight.ask.input_tokens;
                Some(match flight.ask.has_audio {
                    true => price.worst_case(input, output),
                    false => price.worst_case_without_audio(input, output),
                })
            }
            Pricing::Free => Some(Usd::ZERO),
            Pricing::Unknown => None,
        }
    }

    /// Makes the call.
    pub(super) fn call(
        &mut self,
        now: Timestamp,
        id: FlightId,
        flight: &mut Flight,
        at: usize,
        permits: Permits,
        is_hedge: bool,
    ) {
        let keys = self.counting(flight, at);
        let usd = self.reservation(flight, at).unwrap_or(Usd::ZERO);
        let number = flight.attempts_made;
        let name = Arc::clone(&self.deployments[at].name);
        let reservation = (!keys.is_empty()).then(|| self.tree.take(now, keys, usd));
        self.next_call += 1;
        let call = self.next_call;
        if reservation.is_some() {
            self.effects
                .push_back(Effect::Record(LedgerEntry::Reserved {
                    call,
                    at: now,
                    spender: flight.ask.spender.clone(),
                    deployment: Arc::clone(&name),
                    usd,
                }));
        }
        flight.attempts.push(Attempt {
            number,
            deployment: at,
            permits,
            reservation,
            reserved_at: now,
            reserved_tokens: self.expected_tokens(flight, at),
            call,
            is_hedge,
        });
        flight.attempts_made += 1;
        flight.state = State::Calling;
        let deployment = &mut self.deployments[at];
        if flight.failures == 0 && !is_hedge {
            deployment.retries.deposit(now);
            deployment.hedges.deposit(now);
        }
        let hedge = deployment
            .config
            .hedge
            .filter(|_| !is_hedge && flight.winner.is_none());
        self.set_wake(id, flight, hedge.map(|hedge| now.after(hedge.after)));
        self.effects.push_back(Effect::Call {
            attempt: AttemptId { flight: id, number },
            deployment: name,
            failures: flight.failures,
        });
    }

    /// Whoever left a place lets somebody in, once what is under way is done.
    pub(super) fn give_up_place(&mut self, at: usize, id: FlightId) {
        self.budget_waiters.remove(&id);
        if let Some(next) = self.deployments[at].queue.leave(&id) {
            self.admissions.push_back((at, next));
        }
    }

    /// Lets in whoever can go on by what has just become free.
    pub(super) fn let_in(&mut self, now: Timestamp) {
        loop {
            while let Some((at, id)) = self.admissions.pop_front() {
                self.admitted(now, at, id);
            }
            if !std::mem::take(&mut self.is_money_freed) {
                return;
            }
            let waiting: Vec<_> = self.budget_waiters.iter().copied().collect();
            for id in waiting {
                self.budget_waiters.remove(&id);
                self.resume(now, id);
                if self.budget_waiters.contains(&id) {
                    break;
                }
            }
        }
    }

    /// A flight got a place.
    fn admitted(&mut self, now: Timestamp, at: usize, id: FlightId) {
        let flight = self.flights.get(&id);
        if flight.is_some_and(|flight| flight.state == State::Queued && flight.deployment() == at) {
            self.resume(now, id);
        } else {
            self.give_up_place(at, id);
        }
    }

    /// A flight that has a place tries to call.
    pub(super) fn resume(&mut self, now: Timestamp, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        let tried = self.begin(now, id, &mut flight);
        self.flights.insert(id, flight);
        if let Tried::Failed(error) = tried {
            self.seek(now, id, Some(error));
        }
    }

    pub(super) fn queue_expired(&mut self, now: Timestamp, at: usize, id: FlightId) {
        let Some(flight) = self.flights.get(&id) else {
            return;
        };
        let message = format!("{} had no place in time", self.deployments[at].name);
        let error = self.pressed(flight, message);
        self.seek(now, id, Some(error));
    }

    pub(super) fn set_wake(&mut self, id: FlightId, flight: &mut Flight, wake: Option<Timestamp>) {
        if let Some(at) = std::mem::replace(&mut flight.wake, wake) {
            self.wakes.remove(&(at, id));
        }
        if let Some(at) = wake {
            self.wakes.insert((at, id));
        }
    }

    fn refuse(&mut self, id: FlightId, flight: Flight, error: InferenceError) {
        let error = GateError {
            error,
            earlier: flight.earlier,
            deployment: None,
            attempts: 0,
            usd: Usd::ZERO,
            tokens: flight.tokens,
        };
        self.effects.push_back(Effect::Finish {
            flight: id,
            ending: Err(Box::new(error)),
        });
    }
}
