//! What the gate promises, held against what it does.

use super::simulation::{Event, Simulation};
use super::upstream::{healed, plan};
use mainstay_inference::{Ask, AttemptId, Ending, FlightId, InferenceError, Input};
use std::sync::Arc;
use std::time::Duration;

impl Simulation {
    pub(super) fn called(&mut self, attempt: AttemptId, deployment: Arc<str>) {
        let flight = self.flights.get_mut(&attempt.flight).unwrap();
        assert!(!flight.is_over && flight.content.is_none());
        assert!(flight.ask.deadline.is_none_or(|end| self.now < end));
        assert!(!flight.hopeless.contains(&deployment));
        assert!(flight.ask.is_retried || !flight.called.contains(&deployment));
        flight.called.push(Arc::clone(&deployment));
        flight.calls += 1;
        assert!(!self.unready.contains(&deployment));
        let cool = self.cool_until.get(&deployment);
        assert!(cool.is_none_or(|until| *until <= self.now));
        let bound = flight.ask.output_tokens_max;
        let beside = self.open.values().filter(|open| **open == deployment);
        let beside = beside.count();
        let settings = &self.config.deployments[&deployment];
        let places = self.places.get(&deployment).copied().unwrap_or_default();
        let max = settings.limits.concurrency;
        assert!(max.is_none_or(|max| beside < max.max(places)));
        if let Some(rate) = settings.limits.requests {
            let times = self.paced.entry(Arc::clone(&deployment)).or_default();
            times.push(self.now);
            for (place, since) in times.iter().enumerate() {
                let made = u128::try_from(times.len() - place).unwrap();
                let leaked = self.now.since(*since).as_millis() * u128::from(rate.per_minute.get());
                assert!(made * 60_000 <= u128::from(rate.burst.get()) * 60_000 + leaked);
            }
        }
        self.accounts
            .called(attempt, &self.flights[&attempt.flight].ask, settings);
        self.open.insert(attempt, deployment);
        let plan = plan(&mut self.chance, self.is_well, bound);
        if let Some(wait) = plan.content {
            self.schedule(wait, Event::Content(attempt));
        }
        if let Some((wait, outcome)) = plan.end {
            self.schedule(wait, Event::End(attempt, Box::new(outcome)));
        }
    }

    pub(super) fn finished(&mut self, id: FlightId, ending: &Ending) {
        let flight = self.flights.get_mut(&id).unwrap();
        assert!(!std::mem::replace(&mut flight.is_over, true), "ended twice");
        assert!(self.open.keys().all(|open| open.flight != id));
        let (attempts, usd) = match ending {
            Ok(success) => (success.attempts, success.usd),
            Err(error) => (error.attempts, error.usd),
        };
        assert_eq!(attempts, flight.calls);
        assert_eq!(usd, self.accounts.cost(id));
        let waited = self.now.since(flight.asked_at);
        if let Err(error) = ending
            && let InferenceError::BudgetExceeded { limit, spent, .. } = &error.error
            && let Some(output) = flight.ask.output_tokens_max
        {
            // Refused only by what is spent, or after patience.
            let nanos = (flight.ask.input_tokens + output) * 1_000;
            let is_spent = spent.nanos() + nanos > limit.nanos();
            let is_short = flight.ask.deadline.is_some();
            assert!(is_spent || is_short || waited >= Duration::from_secs(30));
        }
    }

    /// Once all is well, every deployment answers again: no breaker stays open for ever.
    pub(super) fn heal(&mut self) {
        self.is_well = true;
        self.exchange(healed(self.config.clone()));
        for name in self.config.deployments.keys().cloned().collect::<Vec<_>>() {
            self.unready.remove(&name);
            let deployment = Arc::clone(&name);
            let is_ready = true;
            self.tell(Input::Ready {
                deployment,
                is_ready,
                retry_after: None,
                reason: String::new(),
            });
            let begun = self.now;
            loop {
                let ask = Ask {
                    model: Arc::clone(&name),
                    ..super::given::ask()
                };
                let id = self.ask(ask);
                while !self.flights[&id].is_over && self.step() {}
                let flight = &self.flights[&id];
                if flight.calls > 0
                    && self.gate.deployments(self.now).iter().any(|view| {
                        view.name == name
                            && view.breaker == mainstay_resilience::BreakerState::Closed
                    })
                {
                    break;
                }
                self.now = self.now.after(Duration::from_millis(500));
                assert!(
                    self.now.since(begun) < Duration::from_secs(120),
                    "never again"
                );
            }
        }
        while self.step() {}
        assert!(self.gate.is_idle(), "{:#?}", self.gate);
        self.accounts.assert_balanced();
    }
}
