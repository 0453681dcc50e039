//! The gate under thousands of random schedules, each told again by its number.

use super::accounts::Accounts;
use super::given::{silent, tokens};
use super::upstream::{Chance, NAMES, asking, bill_of_failure, config, limits};
use super::world::START;
use mainstay_contract::Timestamp;
use mainstay_inference::{
    Ask, AttemptId, Effect, FlightId, Gate, GateConfig, InferenceError, Input, Outcome, Tokens,
};
use mainstay_resilience::Spent;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

const SCHEDULES: u64 = 3_000;

/// So that a window of budgets ends in the middle.
const BEGIN: u64 = START + 3_600_000 - 8_000;

#[test]
fn random_schedules_break_no_promise() {
    let only = std::env::var("MAINSTAY_TEST_SEED").ok();
    let only = only.and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(0..SCHEDULES, |seed| seed..seed + 1);
    for seed in seeds {
        let mut simulation = Simulation::new(seed);
        let run = std::panic::AssertUnwindSafe(|| simulation.run());
        if let Err(panic) = std::panic::catch_unwind(run) {
            println!("MAINSTAY_TEST_SEED={seed}\n{}", simulation.trace.join("\n"));
            std::panic::resume_unwind(panic);
        }
    }
}

pub(super) enum Event {
    Ask,
    Content(AttemptId),
    End(AttemptId, Box<Outcome>),
    Leave(FlightId),
    Configure,
    Ready(Arc<str>, bool),
}

pub(super) struct Flight {
    pub(super) ask: Ask,
    pub(super) asked_at: Timestamp,
    pub(super) is_over: bool,
    pub(super) content: Option<AttemptId>,
    pub(super) calls: u32,
    /// Deployments that were called, and those that failed for good.
    pub(super) called: Vec<Arc<str>>,
    pub(super) hopeless: BTreeSet<Arc<str>>,
}

pub(super) struct Simulation {
    pub(super) chance: Chance,
    pub(super) gate: Gate,
    pub(super) config: GateConfig,
    pub(super) now: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    scheduled: u64,
    pub(super) flights: BTreeMap<FlightId, Flight>,
    pub(super) open: BTreeMap<AttemptId, Arc<str>>,
    pub(super) accounts: Accounts,
    pub(super) cool_until: BTreeMap<Arc<str>, Timestamp>,
    pub(super) unready: BTreeSet<Arc<str>>,
    /// Places that were taken when the limits changed: nobody loses one.
    pub(super) places: BTreeMap<Arc<str>, usize>,
    /// When calls were made under the present rate.
    pub(super) paced: BTreeMap<Arc<str>, Vec<Timestamp>>,
    pub(super) is_well: bool,
    trace: Vec<String>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let config = config(&mut chance);
        let now = Timestamp(BEGIN);
        Self {
            gate: Gate::new(now, config.clone()),
            accounts: Accounts::new(now, &config),
            trace: vec![format!("{config:#?}")],
            chance,
            config,
            now,
            events: BTreeMap::new(),
            scheduled: 0,
            flights: BTreeMap::new(),
            open: BTreeMap::new(),
            cool_until: BTreeMap::new(),
            unready: BTreeSet::new(),
            places: BTreeMap::new(),
            paced: BTreeMap::new(),
            is_well: false,
        }
    }

    fn note(&mut self, what: impl Debug) {
        self.trace
            .push(format!("{:>6} {what:?}", self.now.0 - BEGIN));
    }

    fn run(&mut self) {
        self.fill();
        while self.step() {}
        for flight in self.alive() {
            self.leave(flight);
        }
        assert!(self.open.is_empty());
        assert!(self.gate.is_idle(), "{:#?}", self.gate);
        assert_eq!(self.gate.poll_timeout(), None);
        self.accounts.assert_balanced();
        self.heal();
    }

    fn fill(&mut self) {
        let mut at = 0;
        for _ in 0..self.chance.range(3, 30) {
            at += if self.chance.is(50) {
                0
            } else {
                self.chance.range(0, 1_500)
            };
            self.schedule(Duration::from_millis(at), Event::Ask);
        }
        for _ in 0..self.chance.range(0, 3) {
            let wait = Duration::from_millis(self.chance.range(0, 20_000));
            self.schedule(wait, Event::Configure);
        }
        if self.chance.is(30) {
            let name: Arc<str> = self.chance.of(&NAMES).into();
            for is_ready in [false, true] {
                let wait = Duration::from_millis(self.chance.range(0, 20_000));
                self.schedule(wait, Event::Ready(Arc::clone(&name), is_ready));
            }
        }
    }

    pub(super) fn schedule(&mut self, wait: Duration, event: Event) {
        self.scheduled += 1;
        self.events
            .insert((self.now.after(wait), self.scheduled), event);
    }

    fn alive(&self) -> Vec<FlightId> {
        let alive = self.flights.iter().filter(|(_, flight)| !flight.is_over);
        alive.map(|(id, _)| *id).collect()
    }

    /// Does what comes next, the timer or an event; a little late, now and then.
    pub(super) fn step(&mut self) -> bool {
        let due = self.gate.poll_timeout();
        let next = self.events.first_key_value().map(|((at, _), _)| *at);
        // Only calls without an end and requests that wait for hours are left.
        if next.is_none() && due.is_none_or(|due| due.0 > BEGIN + 600_000) {
            return false;
        }
        let moment = due.into_iter().chain(next).min().unwrap_or(self.now);
        let late = if self.chance.is(10) {
            self.chance.range(0, 300)
        } else {
            0
        };
        self.now = self.now.max(moment.after(Duration::from_millis(late)));
        if due.is_some_and(|due| due <= self.now) && (next.is_none() || due <= next) {
            self.note("timer");
            self.gate.handle_timeout(self.now);
            self.drain();
            let due = self.gate.poll_timeout();
            assert!(
                due.is_none_or(|due| due > self.now),
                "{due:?} at {:?}",
                self.now
            );
        } else if let Some((_, event)) = self.events.pop_first() {
            self.happen(event);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask => {
                let ask = asking(&mut self.chance, self.now);
                let id = self.ask(ask);
                if self.chance.is(15) {
                    let wait = Duration::from_millis(self.chance.range(0, 5_000));
                    self.schedule(wait, Event::Leave(id));
                }
            }
            Event::Content(attempt) => {
                if self.open.contains_key(&attempt) {
                    self.note(("content", attempt));
                    let flight = self.flights.get_mut(&attempt.flight).unwrap();
                    assert!(flight.content.is_none(), "two contents of one flight");
                    flight.content = Some(attempt);
                    self.drop_others(attempt);
                    self.tell(Input::Content { attempt });
                    let rest = self.open.keys();
                    let rest = rest.filter(|open| open.flight == attempt.flight);
                    assert_eq!(rest.count(), 1, "the others are cancelled");
                }
            }
            Event::End(attempt, outcome) => self.end(attempt, *outcome),
            Event::Leave(flight) => {
                if !self.flights[&flight].is_over {
                    self.leave(flight);
                }
            }
            Event::Configure => self.reconfigure(),
            Event::Ready(deployment, is_ready) => {
                self.note((&deployment, is_ready));
                if is_ready {
                    self.unready.remove(&deployment);
                } else if self.config.deployments.contains_key(&deployment) {
                    self.unready.insert(Arc::clone(&deployment));
                }
                self.tell(Input::Ready {
                    deployment,
                    is_ready,
                    retry_after: None,
                    reason: String::new(),
                });
            }
        }
    }

    pub(super) fn ask(&mut self, ask: Ask) -> FlightId {
        let id = self.gate.next_id();
        self.note((id, &ask));
        let flight = Flight {
            ask: ask.clone(),
            asked_at: self.now,
            is_over: false,
            content: None,
            calls: 0,
            called: Vec::new(),
            hopeless: BTreeSet::new(),
        };
        self.flights.insert(id, flight);
        self.tell(Input::Asked { flight: id, ask });
        let of_key =
            |flight: &&Flight| !flight.is_over && flight.ask.spender.key.as_deref() == Some("k0");
        if self.config.keys.contains_key("k0") {
            assert!(self.flights.values().filter(of_key).count() <= 3);
        }
        id
    }

    fn end(&mut self, attempt: AttemptId, outcome: Outcome) {
        let Some(deployment) = self.open.remove(&attempt) else {
            return;
        };
        self.note((attempt, &outcome));
        match &outcome {
            Outcome::Answered { tokens } => {
                self.drop_others(attempt);
                self.accounts.bill(attempt, *tokens);
            }
            Outcome::Failed { error, tokens } => {
                let question = self.flights[&attempt.flight].ask.input_tokens;
                let billed = bill_of_failure(error, *tokens, question);
                self.accounts.bill(attempt, Some(billed));
                let is_limit = matches!(
                    error,
                    InferenceError::RateLimited { .. } | InferenceError::Backpressure { .. }
                );
                if let Some(wait) = error.retry_after().filter(|_| is_limit) {
                    let until = self.now.after(wait);
                    let cool = self.cool_until.entry(Arc::clone(&deployment)).or_default();
                    *cool = until.max(*cool);
                }
                if !error.is_retryable() {
                    let flight = self.flights.get_mut(&attempt.flight).unwrap();
                    flight.hopeless.insert(deployment);
                }
            }
        }
        let is_last = self.flights[&attempt.flight].content.is_some()
            || matches!(outcome, Outcome::Answered { .. });
        self.tell(Input::Ended { attempt, outcome });
        assert!(!is_last || self.flights[&attempt.flight].is_over);
    }

    /// What was sent is paid for where nothing came.
    fn drop_call(&mut self, attempt: AttemptId) {
        let input = self.flights[&attempt.flight].ask.input_tokens;
        self.accounts.bill(attempt, Some(tokens(input, 0)));
    }

    fn drop_others(&mut self, heard: AttemptId) {
        let open = self.open.keys().copied();
        let others = open.filter(|open| open.flight == heard.flight && *open != heard);
        for attempt in others.collect::<Vec<_>>() {
            self.drop_call(attempt);
        }
    }

    fn leave(&mut self, flight: FlightId) {
        self.note(("left", flight));
        let content = self.flights[&flight].content;
        let mut came = Tokens::default();
        let open: Vec<_> = self
            .open
            .keys()
            .filter(|open| open.flight == flight)
            .copied()
            .collect();
        for attempt in open {
            self.open.remove(&attempt);
            let is_heard = content == Some(attempt);
            if is_heard {
                came.output = self.chance.range(0, 50);
            }
            if is_heard {
                self.accounts.bill(attempt, Some(came));
            } else {
                self.drop_call(attempt);
            }
        }
        if self.chance.is(50) {
            self.flights.get_mut(&flight).unwrap().is_over = true;
            return self.tell(Input::Left { flight, came });
        }
        let error = silent();
        self.tell(Input::Expired {
            flight,
            came,
            error,
        });
        assert!(self.flights[&flight].is_over, "nobody was told");
    }

    fn reconfigure(&mut self) {
        let mut other = config(&mut self.chance);
        // Half of the time only limits and budgets change.
        if self.chance.is(50) {
            let budgets = other.budgets;
            other = self.config.clone();
            other.budgets = budgets;
            for deployment in other.deployments.values_mut() {
                deployment.limits = limits(&mut self.chance);
            }
        }
        self.exchange(other);
    }

    pub(super) fn exchange(&mut self, config: GateConfig) {
        self.note("configure");
        self.trace.push(format!("{config:#?}"));
        for (name, deployment) in &config.deployments {
            let known = self.config.deployments.get(name);
            let rate = known.map(|known| known.limits.requests);
            if rate != Some(deployment.limits.requests) {
                self.paced.remove(name);
            }
        }
        let views = self.gate.deployments(self.now).into_iter();
        self.places = views.map(|view| (view.name, view.active)).collect();
        // What was told of one that goes does not hold for another of its name.
        self.unready
            .retain(|name| config.deployments.contains_key(name));
        for (name, deployment) in &config.deployments {
            match deployment.is_ready {
                Some(true) => _ = self.unready.remove(name),
                Some(false) => _ = self.unready.insert(Arc::clone(name)),
                None => {}
            }
        }
        self.accounts.configure(self.now, &config);
        self.config = config.clone();
        self.gate
            .configure(self.now, config, |_, _| Spent::default());
        self.drain();
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.gate.handle(self.now, input);
        self.drain();
        let views = self.gate.deployments(self.now).into_iter();
        for view in views.filter(|view| self.unready.contains(&view.name)) {
            assert!(!view.is_ready && view.queued == 0, "{view:?}");
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.gate.poll_effect() {
            self.note(&effect);
            match effect {
                Effect::Record(entry) => self.accounts.record(self.now, entry),
                Effect::Call {
                    attempt,
                    deployment,
                    ..
                } => self.called(attempt, deployment),
                Effect::Cancel { attempt } => {
                    assert!(self.open.remove(&attempt).is_some());
                }
                Effect::Finish { flight, ending } => self.finished(flight, &ending),
            }
        }
    }
}
