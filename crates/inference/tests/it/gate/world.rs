//! A gate, the time, and all that it asked for.

use mainstay_contract::{Timestamp, Usd};
use mainstay_inference::{
    Ask, AttemptId, BudgetAction, BudgetConfig, BudgetKey, DeploymentConfig, Effect, Ending,
    FailureClass, Fallback, FlightId, Gate, GateConfig, GateError, InferenceError, Input,
    LedgerEntry, Limits, Member, ModelConfig, ModelPrice, NetworkPhase, Origin, Outcome, Pricing,
    Spender, Success, Tokens,
};
use mainstay_resilience::{
    BreakerConfig, BudgetPeriod, Priority, Rate, RetryBudgetConfig, RetryPolicy,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
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
        self.gate.configure(self.now, config);
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

/// A deployment without limits that costs nothing.
pub(crate) fn plain() -> DeploymentConfig {
    DeploymentConfig {
        provider: "provider".into(),
        model: "real".into(),
        endpoint: "endpoint".into(),
        limits: Limits::default(),
        retry: RetryPolicy::default(),
        retry_budget: RetryBudgetConfig::default(),
        breaker: BreakerConfig::default(),
        pricing: Pricing::Free,
        output_tokens_usual: 90,
        is_idempotent: true,
        hedge: None,
    }
}

/// A deployment with an endpoint of its own.
pub(crate) fn at(endpoint: &str) -> DeploymentConfig {
    DeploymentConfig {
        endpoint: endpoint.into(),
        ..plain()
    }
}

pub(crate) fn limited(limits: Limits) -> DeploymentConfig {
    DeploymentConfig { limits, ..plain() }
}

/// Deployments, of which the first is the model `m` and the others stand in for it after any failure.
pub(crate) fn chain(deployments: &[(&str, DeploymentConfig)]) -> GateConfig {
    let mut config = GateConfig::default();
    for (name, deployment) in deployments {
        let name: Arc<str> = (*name).into();
        config.deployments.insert(name, deployment.clone());
    }
    let fallback = deployments.iter().skip(1).map(|(name, _)| Fallback {
        deployment: (*name).into(),
        on: ANY.to_vec(),
    });
    let model = ModelConfig {
        members: vec![Member {
            deployment: deployments[0].0.into(),
            weight: 1,
        }],
        fallback: fallback.collect(),
    };
    config.models.insert("m".into(), model);
    config
}

pub(crate) const ANY: &[FailureClass] = &[
    FailureClass::Limited,
    FailureClass::Failed,
    FailureClass::ContextLength,
    FailureClass::ContentFiltered,
    FailureClass::Access,
    FailureClass::Budget,
];

/// One deployment `a` behind the model `m`.
pub(crate) fn one(deployment: DeploymentConfig) -> GateConfig {
    chain(&[("a", deployment)])
}

/// A question of ten tokens whose answer has ninety at most.
pub(crate) fn ask() -> Ask {
    Ask {
        model: "m".into(),
        spender: Spender::default(),
        input_tokens: 10,
        output_tokens_max: Some(90),
        has_audio: false,
        priority: Priority::Normal,
        deadline: None,
        is_retried: true,
        random: 0,
    }
}

pub(crate) fn by_key(name: &str) -> Ask {
    let key = Some(name.into());
    let spender = Spender {
        key,
        ..Spender::default()
    };
    Ask { spender, ..ask() }
}

pub(crate) fn until(clock: u64) -> Ask {
    let deadline = Some(Timestamp(START + clock));
    Ask { deadline, ..ask() }
}

pub(crate) fn tokens(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        output,
        ..Tokens::default()
    }
}

/// A thousand nano-dollars a token.
pub(crate) fn priced(deployment: DeploymentConfig) -> DeploymentConfig {
    let price = Usd::from_nanos(1_000_000_000);
    let pricing = Pricing::Known(Arc::new(ModelPrice::flat(price, price)));
    DeploymentConfig {
        pricing,
        ..deployment
    }
}

/// What a call of [`ask`] costs at most.
pub(crate) const CALL: u64 = 100_000;

pub(crate) fn usd(nanos: u64) -> Usd {
    Usd::from_nanos(nanos)
}

pub(crate) fn budget(config: &mut GateConfig, key: BudgetKey, limit: u64, action: BudgetAction) {
    let limit = Usd::from_nanos(limit);
    let period = BudgetPeriod::Hour;
    let budget = BudgetConfig {
        limit,
        period,
        action,
    };
    config.budgets.insert(key, budget);
}

pub(crate) fn rate(per_minute: u64, burst: u64) -> Option<Rate> {
    Some(Rate {
        per_minute: NonZeroU64::new(per_minute).unwrap(),
        burst: NonZeroU64::new(burst).unwrap(),
    })
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn origin() -> Origin {
    Origin {
        provider: "provider".into(),
        model: "real".into(),
        answering: false,
    }
}

pub(crate) fn limited_for(seconds: Option<u64>) -> InferenceError {
    InferenceError::RateLimited {
        origin: origin(),
        retry_after: seconds.map(secs),
        message: String::new(),
    }
}

pub(crate) fn overloaded() -> InferenceError {
    InferenceError::Backpressure {
        origin: origin(),
        retry_after: None,
        message: String::new(),
    }
}

pub(crate) fn broken() -> InferenceError {
    InferenceError::ServerError {
        origin: origin(),
        status: 500,
        retry_after: None,
        message: String::new(),
    }
}

pub(crate) fn unreachable() -> InferenceError {
    InferenceError::NetworkError {
        origin: origin(),
        phase: NetworkPhase::Connect,
        message: String::new(),
    }
}

pub(crate) fn refused() -> InferenceError {
    InferenceError::Unauthorized {
        origin: origin(),
        message: String::new(),
    }
}

pub(crate) fn internal() -> InferenceError {
    InferenceError::Internal {
        origin: origin(),
        message: String::new(),
    }
}

pub(crate) fn bad_request() -> InferenceError {
    InferenceError::BadRequest {
        origin: origin(),
        status: 400,
        message: String::new(),
    }
}
