//! Calls: the first, and the second beside one that is slow.

use super::flight::{Attempt, Flight, Permits, State};
use super::money::{Payment, Purse};
use super::{AttemptId, Effect, FailureClass, FlightId, Gate, LedgerEntry};
use mainstay_contract::Timestamp;
use mainstay_resilience::{Entered, Refused};
use std::sync::Arc;

/// Which call is to be made.
pub(super) struct Order {
    /// Where in the chain.
    pub(super) link: usize,
    pub(super) deployment: usize,
    pub(super) purse: Purse,
    pub(super) is_hedge: bool,
}

impl Order {
    pub(super) fn new(link: usize, deployment: usize, purse: Purse) -> Self {
        Self {
            link,
            deployment,
            purse,
            is_hedge: false,
        }
    }
}

impl Gate {
    /// Makes the call, for which there is a place, time and money.
    pub(super) fn call(
        &mut self,
        now: Timestamp,
        id: FlightId,
        flight: &mut Flight,
        order: Order,
        permits: Permits,
    ) {
        let Order {
            link,
            deployment: at,
            purse: Purse { budgets, usd },
            is_hedge,
        } = order;
        let tokens = self.expected_tokens(flight, at);
        let AttemptId { number, .. } = flight.seat(id);
        let reservation = (!budgets.is_empty()).then(|| self.tree.take(now, budgets, usd));
        self.next_call += 1;
        let call = self.next_call;
        let deployment = &mut self.deployments[at];
        let name = Arc::clone(&deployment.name);
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
            link,
            deployment: at,
            permits,
            reservation,
            pricing: deployment.config.pricing.clone(),
            reserved_usd: usd,
            reserved_at: now,
            reserved_tokens: deployment.take(now, tokens),
            call,
        });
        flight.attempts_made += 1;
        flight.state = State::Calling;
        if flight.failures == 0 && !is_hedge {
            deployment.retries.deposit(now);
            deployment.hedges.deposit(now);
        }
        let hedge = deployment.config.hedge.filter(|_| !is_hedge);
        self.set_wake(id, flight, hedge.map(|hedge| now.after(hedge.after)));
        self.effects.push_back(Effect::Call {
            attempt: AttemptId { flight: id, number },
            deployment: name,
            failures: flight.failed,
            warnings: flight.warnings.clone(),
        });
    }

    pub(super) fn permits(&mut self, now: Timestamp, at: usize) -> Result<Permits, Refused> {
        let endpoint = self.deployments[at].endpoint;
        self.endpoints[endpoint].admit(now, endpoint)
    }

    /// Begins a second attempt beside one that is slow, where one can be made at once: with a place, within
    /// the limits and the budgets.
    pub(super) fn hedge(&mut self, now: Timestamp, id: FlightId) {
        let Some(mut flight) = self.flights.remove(&id) else {
            return;
        };
        if let Some(order) = self.hedge_order(now, &mut flight)
            && let Ok(permits) = self.permits(now, order.deployment)
        {
            let own = flight.deployment();
            let taken = self.deployments[own].hedges.try_retry(now);
            let seat = flight.seat(id);
            let queue = &mut self.deployments[order.deployment].queue;
            let entered = queue.enter(now, seat, flight.ask.priority);
            debug_assert!(taken && entered == Entered::Admitted, "as looked up before");
            self.call(now, id, &mut flight, order, permits);
        }
        self.flights.insert(id, flight);
    }

    fn hedge_order(&self, now: Timestamp, flight: &mut Flight) -> Option<Order> {
        if flight.winner.is_some() || flight.attempts.len() != 1 || flight.is_late(now) {
            return None;
        }
        let own = flight.deployment();
        let other = flight.next_link(Some(FailureClass::Failed));
        let link = other.unwrap_or(flight.at);
        let at = flight.chain.get(link)?.deployment;
        // Where the caller repeats by itself, one deployment is not asked twice.
        let may_repeat = (at != own || flight.ask.is_retried)
            && self.deployments[own].config.is_idempotent
            && self.deployments[at].config.is_idempotent;
        let has_budget = self.deployments[own].hedges.left(now) > 0;
        let deployment = &self.deployments[at];
        let tokens = self.expected_tokens(flight, at);
        if !may_repeat
            || !has_budget
            || !deployment.has_room()
            || !deployment.wait(now, tokens).longest().is_zero()
        {
            return None;
        }
        match self.payment(now, flight, at) {
            Payment::Possible(purse) => Some(Order {
                link,
                deployment: at,
                purse,
                is_hedge: true,
            }),
            Payment::Later(_) | Payment::Never(_) => None,
        }
    }
}
