//! The arrival of a flight: its key's limits, and whom it may ask in which order.

use super::flight::{Flight, KeyHold, Link};
use super::{Ask, FlightId, Gate};
use crate::error::OURS;
use crate::{InferenceError, Origin};
use mainstay_contract::Timestamp;
use std::time::Duration;

impl Gate {
    pub(super) fn arrive(&mut self, now: Timestamp, id: FlightId, ask: Ask) {
        let mut flight = Box::new(Flight::new(now, ask));
        if let Some(error) = self.pass_key(now, &mut flight) {
            self.conclude(now, id, flight, Err(error));
            return;
        }
        flight.chain = self.chain(&mut flight);
        if flight.chain.is_empty() {
            let origin = our_origin(&flight);
            let message = String::new();
            let error = InferenceError::ModelNotFound { origin, message };
            self.conclude(now, id, flight, Err(error));
            return;
        }
        self.flights.insert(id, flight);
        self.seek(now, id, None);
        self.let_in(now);
    }

    /// Takes from the limits of the caller's key, or says why not. Nobody waits for these.
    fn pass_key(&mut self, now: Timestamp, flight: &mut Flight) -> Option<InferenceError> {
        let name = flight.ask.spender.key.clone()?;
        let key = self.keys.get_mut(&name)?;
        let (model, agent) = (&flight.ask.model, flight.ask.spender.agent.as_ref());
        if let Err(message) = key.config.permits(&name, model, agent) {
            let origin = our_origin(flight);
            return Some(InferenceError::Forbidden { origin, message });
        }
        let limits = key.config.limits;
        if limits.concurrency.is_some_and(|max| key.active >= max) {
            return Some(InferenceError::RateLimited {
                origin: our_origin(flight),
                retry_after: Some(Duration::from_secs(1)),
                message: format!("the key {name} has as many requests under way as it may"),
            });
        }
        let limited = |wait: mainstay_resilience::Wait, what: &str| InferenceError::RateLimited {
            origin: our_origin(flight),
            retry_after: Some(wait.after),
            message: format!("the key {name} has used its {what}"),
        };
        let output = flight.ask.output_tokens_max.unwrap_or(0);
        let tokens = flight.ask.input_tokens.saturating_add(output);
        if let Some(Err(wait)) = key.tokens.as_ref().map(|limit| limit.check(now, tokens)) {
            return Some(limited(wait, "tokens a minute"));
        }
        if let Some(Err(wait)) = key.requests.as_mut().map(|limit| limit.try_take(now, 1)) {
            return Some(limited(wait, "requests a minute"));
        }
        let taken = key.tokens.as_mut().map(|limit| limit.try_take(now, tokens));
        flight.key = Some(KeyHold {
            number: key.number,
            tokens: taken.map(|_| tokens),
        });
        key.active += 1;
        None
    }

    /// Whom to ask, in order: the members by lot, weighted, then those who stand in for them.
    fn chain(&self, flight: &mut Flight) -> Vec<Link> {
        let Some(route) = self.models.get(&flight.ask.model) else {
            return Vec::new();
        };
        let mut chain = route.links.clone();
        let members = route.members.min(chain.len());
        for first in 1..members {
            let rest = &mut chain[first - 1..members];
            let all: u64 = rest.iter().map(|link| u64::from(link.weight)).sum();
            if all == 0 {
                break;
            }
            let mut lot = flight.random() % all;
            let drawn = rest.iter().position(|link| {
                let weight = u64::from(link.weight);
                let is_it = lot < weight;
                lot = lot.saturating_sub(weight);
                is_it
            });
            // The others keep their order.
            rest[..=drawn.unwrap_or(0)].rotate_right(1);
        }
        chain
    }
}

/// Where a failure comes from that is our own.
pub(super) fn our_origin(flight: &Flight) -> Origin {
    Origin {
        provider: OURS.to_owned(),
        model: flight.ask.model.to_string(),
        answering: false,
    }
}

/// There is no place.
pub(super) fn pressed(flight: &Flight, message: String) -> InferenceError {
    InferenceError::Backpressure {
        origin: our_origin(flight),
        retry_after: Some(SOME_TIME),
        message,
    }
}

/// When to come back, where nobody can tell.
pub(super) const SOME_TIME: Duration = Duration::from_secs(1);
