//! What is in use of a deployment and of its endpoint.

use super::flight::Permits;
use super::{DeploymentConfig, FlightId};
use mainstay_contract::Timestamp;
use mainstay_resilience::{
    AdmissionQueue, Breaker, BreakerConfig, BreakerState, Outcome, QueueConfig, Rate, RateLimit,
    Refused, RetryBudget,
};
use std::sync::Arc;

/// A deployment.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) name: Arc<str>,
    pub(super) config: DeploymentConfig,
    pub(super) queue: AdmissionQueue<FlightId>,
    pub(super) requests: Option<RateLimit>,
    pub(super) tokens: Option<RateLimit>,
    pub(super) retries: RetryBudget,
    pub(super) hedges: RetryBudget,
    /// Until when the provider asked to be left alone.
    pub(super) cool_until: Timestamp,
    pub(super) is_ready: bool,
    /// How long answers are of late: the longest, forgotten slowly.
    output_learned: Option<u64>,
}

/// Hedged attempts are at most so many of a thousand.
const HEDGE_RATIO: u32 = 50;

impl Deployment {
    pub(super) fn new(name: Arc<str>, config: DeploymentConfig) -> Self {
        let limits = config.limits;
        let hedges = mainstay_resilience::RetryBudgetConfig {
            ratio_thousandths: HEDGE_RATIO,
            reserve_per_second: 1,
            saved_max: 10,
        };
        Self {
            name,
            queue: AdmissionQueue::new(queue(&config)),
            requests: limits.requests.map(RateLimit::new),
            tokens: limits.tokens.map(RateLimit::new),
            retries: RetryBudget::new(config.retry_budget),
            hedges: RetryBudget::new(hedges),
            cool_until: Timestamp(0),
            is_ready: true,
            output_learned: None,
            config,
        }
    }

    /// How long an answer is expected to be, in tokens.
    pub(super) fn usual_output(&self) -> u64 {
        self.output_learned
            .unwrap_or(self.config.output_tokens_usual)
    }

    pub(super) fn learn_output(&mut self, tokens: u64) {
        let known = self.output_learned.unwrap_or(0);
        self.output_learned = Some(tokens.max(known - known / 16));
    }

    /// Whether a call beside those of the queue may be made at once.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        let max = self.config.limits.concurrency;
        self.is_ready && self.cool_until <= now && max.is_none_or(|max| self.queue.admitted() < max)
    }

    /// Changes its limits; returns whom that lets in.
    pub(super) fn configure(&mut self, now: Timestamp, config: DeploymentConfig) -> Vec<FlightId> {
        self.requests = rate(now, self.requests.take(), config.limits.requests);
        self.tokens = rate(now, self.tokens.take(), config.limits.tokens);
        if config.retry_budget != self.config.retry_budget {
            self.retries = RetryBudget::new(config.retry_budget);
        }
        let admitted = self.queue.set_config(queue(&config));
        self.config = config;
        admitted
    }
}

fn queue(config: &DeploymentConfig) -> QueueConfig {
    QueueConfig {
        concurrency_max: config.limits.concurrency,
        queued_max: config.limits.queue,
        queue_timeout: Some(config.limits.queue_timeout),
    }
}

/// A limit with another rate: what is in use stays so.
pub(super) fn rate(
    now: Timestamp,
    known: Option<RateLimit>,
    rate: Option<Rate>,
) -> Option<RateLimit> {
    match (known, rate) {
        (_, None) => None,
        (None, Some(rate)) => Some(RateLimit::new(rate)),
        (Some(mut limit), Some(rate)) => {
            limit.set_rate(now, rate);
            Some(limit)
        }
    }
}

/// The breakers of one endpoint. Failures, overload and refused access are counted apart: a provider that
/// says that it is busy is not broken, and one that refuses a key serves the others.
#[derive(Debug)]
pub(super) struct Endpoint {
    config: BreakerConfig,
    failure: Breaker,
    overload: Breaker,
    access: Breaker,
}

impl Endpoint {
    pub(super) fn new(config: BreakerConfig) -> Self {
        let patient = BreakerConfig {
            failures: config.failures.saturating_mul(2),
            ..config
        };
        Self {
            config,
            failure: Breaker::new(config),
            overload: Breaker::new(patient),
            access: Breaker::new(patient),
        }
    }

    pub(super) fn configure(&mut self, config: BreakerConfig) {
        if config != self.config {
            *self = Self::new(config);
        }
    }

    /// Leave of all three, or how long to wait for the one that is open.
    pub(super) fn admit(&mut self, now: Timestamp) -> Result<Permits, Refused> {
        let failure = self.failure.admit(now)?;
        let overload = match self.overload.admit(now) {
            Ok(permit) => permit,
            Err(refused) => {
                self.failure.record(now, failure, Outcome::Neutral);
                return Err(refused);
            }
        };
        match self.access.admit(now) {
            Ok(access) => Ok(Permits {
                failure,
                overload,
                access,
            }),
            Err(refused) => {
                self.failure.record(now, failure, Outcome::Neutral);
                self.overload.record(now, overload, Outcome::Neutral);
                Err(refused)
            }
        }
    }

    pub(super) fn record(&mut self, now: Timestamp, permits: Permits, results: [Outcome; 3]) {
        let [failure, overload, access] = results;
        self.failure.record(now, permits.failure, failure);
        self.overload.record(now, permits.overload, overload);
        self.access.record(now, permits.access, access);
    }

    /// The state of the worst of them.
    pub(super) fn state(&self, now: Timestamp) -> BreakerState {
        let states =
            [&self.failure, &self.overload, &self.access].map(|breaker| breaker.state(now));
        let weight = |state: &BreakerState| match state {
            BreakerState::Closed => (0, None),
            BreakerState::HalfOpen => (1, None),
            BreakerState::Open { remaining } => (2, Some(*remaining)),
        };
        states
            .into_iter()
            .max_by_key(weight)
            .unwrap_or(BreakerState::Closed)
    }
}
