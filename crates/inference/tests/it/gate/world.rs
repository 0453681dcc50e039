//! A gate, the time, and all that it asked for.

use super::given::tokens;
use mainstay_contract::Timestamp;
use mainstay_inference::{
    Ask, AttemptId, Effect, Ending, FlightId, Gate, GateConfig, GateError, InferenceError, Input,
    LedgerEntry, Outcome, Success, Tokens,
};
use mainstay_resilience::Spent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A full hour.
pub(crate) const START: u64 = 1_700_002_800_000;

/// A call that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) attempt: AttemptId,
    pub(crate) deployment: Arc<str>,
    pub(crate) failures: u32,
    /// Milliseconds since the start.
    pub(crate) at: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) now: Timestamp,
    /// Every call ever.
    pub(crate) calls: Vec<Call>,
    /// Those that are neither answered nor cancelled.
    pub(crate) open: Vec<AttemptId>,
    pub(crate) cancelled: Vec<AttemptId>,
    pub(crate) endings: BTreeMap<FlightId, (u64, Ending)>,
    pub(crate) ledger: Vec<LedgerEntry>,
    asked: u64,
}

impl World {
    pub(crate) fn new(config: GateConfig) -> Self {
        let now = Timestamp(START);
        Self {
            gate: Gate::new(now, config),
            now,
            calls: Vec::new(),
            open: Vec::new(),
            cancelled: Vec::new(),
            endings: BTreeMap::new(),
            ledger: Vec::new(),
            asked: 0,
        }
    }

    /// Milliseconds since the start.
    pub(crate) fn clock(&self) -> u64 {
        self.now.0 - START
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> FlightId {
        self.asked += 1;
        let flight = self.gate.next_id();
        let random = self.asked.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let ask = Ask { random, ..ask };
        self.tell(Input::Asked { flight, ask });
        flight
    }

    pub(crate) fn ask_many(&mut self, ask: &Ask, times: usize) -> Vec<FlightId> {
        (0..times).map(|_| self.ask(ask.clone())).collect()
    }

    pub(crate) fn tell(&mut self, input: Input) {
        self.gate.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn configure(&mut self, config: GateConfig) {
        self.gate
            .configure(self.now, config, |_, _| Spent::default());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.gate.poll_effect() {
            match effect {
                Effect::Record(entry) => self.ledger.push(entry),
                Effect::Call {
                    attempt,
                    deployment,
                    failures,
                    ..
                } => {
                    assert!(!self.endings.contains_key(&attempt.flight), "{attempt:?}");
                    self.open.push(attempt);
                    self.calls.push(Call {
                        attempt,
                        deployment,
                        failures,
                        at: self.clock(),
                    });
                }
                Effect::Cancel { attempt } => {
                    self.open.retain(|open| *open != attempt);
                    self.cancelled.push(attempt);
                }
                Effect::Finish { flight, ending } => {
                    let known = self.endings.insert(flight, (self.clock(), ending));
                    assert!(known.is_none(), "{flight:?} ended twice");
                    assert!(self.open.iter().all(|open| open.flight != flight));
                }
            }
        }
    }

    /// Lets time pass, with a ring of the timer whenever something is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.after(Duration::from_millis(ms));
        while let Some(due) = self.gate.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.gate.handle_timeout(self.now);
            self.drain();
            assert!(
                self.gate.poll_timeout() > Some(self.now) || self.gate.poll_timeout().is_none()
            );
        }
        self.now = end;
    }

    /// Lets time pass to a moment after the start.
    pub(crate) fn pass_to(&mut self, clock: u64) {
        self.pass(clock - self.clock());
    }

    pub(crate) fn content(&mut self, attempt: AttemptId) {
        self.tell(Input::Content { attempt });
    }

    pub(crate) fn answer(&mut self, attempt: AttemptId, tokens: Tokens) {
        self.open.retain(|open| *open != attempt);
        let tokens = Some(tokens);
        let outcome = Outcome::Answered { tokens };
        self.tell(Input::Ended { attempt, outcome });
    }

    pub(crate) fn fail(&mut self, attempt: AttemptId, error: InferenceError) {
        self.fail_after(attempt, error, Tokens::default());
    }

    pub(crate) fn fail_after(&mut self, attempt: AttemptId, error: InferenceError, tokens: Tokens) {
        self.open.retain(|open| *open != attempt);
        let outcome = Outcome::Failed { error, tokens };
        self.tell(Input::Ended { attempt, outcome });
    }

    pub(crate) fn leave(&mut self, flight: FlightId) {
        self.open.retain(|open| open.flight != flight);
        let came = Tokens::default();
        self.tell(Input::Left { flight, came });
    }

    /// The one call that is open.
    pub(crate) fn only(&self) -> AttemptId {
        assert_eq!(self.open.len(), 1, "{:?}", self.open);
        self.open[0]
    }

    /// The open calls of a flight.
    pub(crate) fn of(&self, flight: FlightId) -> Vec<AttemptId> {
        let open = self.open.iter();
        open.filter(|open| open.flight == flight).copied().collect()
    }

    pub(crate) fn answer_all(&mut self) {
        for attempt in self.open.clone() {
            if self.open.contains(&attempt) {
                self.answer(attempt, tokens(10, 90));
            }
        }
    }

    /// Fails whatever is called at once, until nothing is called any more without time passing.
    pub(crate) fn fail_all(&mut self, error: &InferenceError) {
        while let Some(&attempt) = self.open.first() {
            self.fail(attempt, error.clone());
        }
    }

    pub(crate) fn ended(&self, flight: FlightId) -> bool {
        self.endings.contains_key(&flight)
    }

    pub(crate) fn error(&self, flight: FlightId) -> &GateError {
        let (_, ending) = &self.endings[&flight];
        ending.as_ref().unwrap_err()
    }

    pub(crate) fn success(&self, flight: FlightId) -> &Success {
        let (_, ending) = &self.endings[&flight];
        ending.as_ref().unwrap()
    }

    /// Which deployments were called, in order.
    pub(crate) fn called(&self) -> Vec<&str> {
        self.calls.iter().map(|call| &*call.deployment).collect()
    }

    pub(crate) fn assert_idle(&self) {
        assert!(self.gate.is_idle(), "{:#?}", self.gate);
        assert_eq!(self.gate.poll_timeout(), None);
    }
}
