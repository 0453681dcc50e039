//! What is in use of a deployment and of its endpoint.

use super::flight::{Permits, Rank};
use super::{AttemptId, DeploymentConfig};
use mainstay_contract::Timestamp;
use mainstay_resilience::{
    AdmissionQueue, Breaker, BreakerConfig, BreakerState, Outcome, QueueConfig, Rate, RateLimit,
    Refused, RetryBudget,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A deployment.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) name: Arc<str>,
    pub(super) config: DeploymentConfig,
    /// Which of the endpoints.
    pub(super) endpoint: usize,
    /// Who works or waits for a place. Each call has a place of its own.
    pub(super) queue: AdmissionQueue<AttemptId>,
    /// Who has a place and waits for a limit to pass. Only the first is woken by time.
    pub(super) line: BTreeSet<Rank>,
    pub(super) requests: Option<RateLimit>,
    pub(super) tokens: Option<RateLimit>,
    pub(super) retries: RetryBudget,
    pub(super) hedges: RetryBudget,
    /// Until when the provider asked to be left alone.
    pub(super) cool_until: Timestamp,
    /// Whether it asked because it has too much to do, not because of a limit.
    pub(super) is_overloaded: bool,
    pub(super) is_ready: bool,
    /// When it may be ready again, where that is known.
    pub(super) ready_again: Timestamp,
    /// Why it is not ready; empty where that is not known.
    pub(super) unready_for: String,
    /// Whether it is no longer configured.
    pub(super) is_removed: bool,
    /// How long answers are of late: the longest, forgotten slowly.
    output_learned: Option<u64>,
}

/// Hedged attempts are at most so many of a thousand.
const HEDGE_RATIO: u32 = 50;

impl Deployment {
    pub(super) fn new(name: Arc<str>, endpoint: usize, config: DeploymentConfig) -> Self {
        let limits = config.limits;
        let hedges = mainstay_resilience::RetryBudgetConfig {
            ratio_thousandths: HEDGE_RATIO,
            reserve_per_second: 0,
            saved_max: 10,
        };
        Self {
            name,
            endpoint,
            line: BTreeSet::new(),
            queue: AdmissionQueue::new(queue(&config)),
            requests: limits.requests.map(RateLimit::new),
            tokens: limits.tokens.map(RateLimit::new),
            retries: RetryBudget::new(config.retry_budget),
            hedges: RetryBudget::new(hedges),
            cool_until: Timestamp(0),
            is_overloaded: false,
            is_ready: config.is_ready.unwrap_or(true),
            ready_again: Timestamp(0),
            unready_for: String::new(),
            is_removed: false,
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
        let known = self.usual_output();
        self.output_learned = Some(tokens.max(known - known / 16));
    }

    /// Whether it may be asked at all.
    pub(super) fn is_open(&self) -> bool {
        self.is_ready && !self.is_removed
    }

    /// Whether a call may be made at once beside those under way, and nobody waits.
    pub(super) fn has_room(&self) -> bool {
        let max = self.config.limits.concurrency;
        self.is_open() && self.line.is_empty() && max.is_none_or(|max| self.queue.admitted() < max)
    }

    /// How long its limits take to let a call pass, if nobody else comes first.
    pub(super) fn wait(&self, now: Timestamp, tokens: u64) -> Waits {
        let check = |limit: &Option<RateLimit>, amount| {
            let checked = limit.as_ref().map(|limit| limit.check(now, amount));
            let refused = checked.and_then(Result::err);
            refused.map_or(Duration::ZERO, |wait| wait.after)
        };
        Waits {
            cooling: self.cool_until.since(now),
            requests: check(&self.requests, 1),
            tokens: check(&self.tokens, tokens),
        }
    }

    /// Takes from its limits. Says how many tokens are to be settled, where these are limited.
    pub(super) fn take(&mut self, now: Timestamp, tokens: u64) -> Option<u64> {
        if let Some(limit) = &mut self.requests {
            let _taken = limit.try_take(now, 1);
        }
        let limit = self.tokens.as_mut()?;
        limit.try_take(now, tokens).is_ok().then_some(tokens)
    }

    /// Changes its settings; returns whom that lets in.
    pub(super) fn configure(
        &mut self,
        now: Timestamp,
        endpoint: usize,
        config: DeploymentConfig,
    ) -> Vec<AttemptId> {
        self.requests = rate(now, self.requests.take(), config.limits.requests);
        self.tokens = rate(now, self.tokens.take(), config.limits.tokens);
        if config.retry_budget != self.config.retry_budget {
            self.retries = RetryBudget::new(config.retry_budget);
        }
        let admitted = self.queue.set_config(queue(&config));
        // What was told of one that was gone does not hold for the next of its name.
        let is_new = std::mem::take(&mut self.is_removed);
        if config.is_ready.is_some() {
            self.unready_for.clear();
        }
        self.is_ready = config.is_ready.unwrap_or(self.is_ready || is_new);
        self.endpoint = endpoint;
        self.config = config;
        admitted
    }
}

/// What a call has to wait for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// The provider asked to be left alone.
    pub(super) cooling: Duration,
    /// The requests a minute.
    pub(super) requests: Duration,
    /// The tokens a minute.
    pub(super) tokens: Duration,
}

impl Waits {
    pub(super) fn longest(self) -> Duration {
        self.cooling.max(self.requests).max(self.tokens)
    }
}

fn queue(config: &DeploymentConfig) -> QueueConfig {
    QueueConfig {
        concurrency_max: config.limits.concurrency,
        queued_max: config.limits.queue,
        // Flights count their own patience, over several waits.
        queue_timeout: None,
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
    failure: Breaker,
    overload: Breaker,
    access: Breaker,
}

impl Endpoint {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self {
            failure: Breaker::new(config),
            overload: Breaker::new(patient(config)),
            access: Breaker::new(patient(config)),
        }
    }

    pub(super) fn configure(&mut self, config: BreakerConfig) {
        self.failure.set_config(config);
        self.overload.set_config(patient(config));
        self.access.set_config(patient(config));
    }

    /// Leave of all three, or how long to wait for the one that is open.
    pub(super) fn admit(&mut self, now: Timestamp, endpoint: usize) -> Result<Permits, Refused> {
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
                endpoint,
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
        self.worst(now).state(now)
    }

    /// When the worst of them opened last.
    pub(super) fn opened_at(&self, now: Timestamp) -> Timestamp {
        self.worst(now).opened_at()
    }

    fn worst(&self, now: Timestamp) -> &Breaker {
        let weight = |breaker: &Breaker| match breaker.state(now) {
            BreakerState::Closed => (0, None),
            BreakerState::HalfOpen => (1, None),
            BreakerState::Open { remaining } => (2, Some(remaining)),
        };
        let others = [&self.overload, &self.access];
        others.into_iter().fold(&self.failure, |worst, breaker| {
            if weight(breaker) > weight(worst) {
                breaker
            } else {
                worst
            }
        })
    }
}

/// Overload and refusals of keys are borne twice as long.
fn patient(config: BreakerConfig) -> BreakerConfig {
    BreakerConfig {
        failures: config.failures.saturating_mul(2),
        ..config
    }
}
