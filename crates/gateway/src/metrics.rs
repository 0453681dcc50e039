//! What a gateway counts, for Prometheus.

use mainstay_inference::{BudgetKey, BudgetView, DeploymentView, Ending, LedgerEntry};
use mainstay_resilience::BreakerState;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    model: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetName {
    budget: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

type Times = Family<Model, Histogram>;

type Money = Gauge<f64, AtomicU64>;

/// The counters of one deployment.
#[derive(Debug, Clone)]
struct Counters {
    answered: Counter,
    attempts: Counter,
    input_tokens: Counter,
    output_tokens: Counter,
    nano_dollars: Counter,
    first_content_seconds: Histogram,
    seconds: Histogram,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    answered: Family<Model, Counter>,
    failed: Family<Failed, Counter>,
    attempts: Family<Model, Counter>,
    input_tokens: Family<Model, Counter>,
    output_tokens: Family<Model, Counter>,
    nano_dollars: Family<Model, Counter>,
    /// The counters of each deployment, so that no request has to look for them one by one.
    known: RwLock<HashMap<Arc<str>, Counters>>,
    first_content_seconds: Times,
    seconds: Times,
    left: Counter,
    pub(crate) cache_hits: Counter,
    responses: Family<Status, Counter>,
}

/// From a millisecond to two minutes.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let times = || Family::new_with_constructor(histogram as fn() -> Histogram);
        Self {
            answered: Family::default(),
            failed: Family::default(),
            attempts: Family::default(),
            input_tokens: Family::default(),
            output_tokens: Family::default(),
            nano_dollars: Family::default(),
            known: RwLock::default(),
            first_content_seconds: times(),
            seconds: times(),
            left: Counter::default(),
            cache_hits: Counter::default(),
            responses: Family::default(),
        }
    }

    /// Counts a request that ended.
    pub(crate) fn ended(&self, ending: &Ending) {
        match ending {
            Ok(success) => self.with(&success.deployment, |counters| {
                counters.answered.inc();
            }),
            Err(error) => {
                let model = error.deployment.as_deref().unwrap_or_default().to_owned();
                let code = mainstay_contract::Coded::code(&error.error)
                    .as_str()
                    .to_owned();
                self.failed.get_or_create(&Failed { model, code }).inc();
            }
        }
    }

    /// Counts a call of a deployment, whatever becomes of it.
    pub(crate) fn called(&self, deployment: &Arc<str>) {
        self.with(deployment, |counters| {
            counters.attempts.inc();
        });
    }

    /// Counts a request whose caller left before its end.
    pub(crate) fn left(&self) {
        self.left.inc();
    }

    /// Counts a response to whoever called, also where nothing was asked of a model.
    pub(crate) fn responded(&self, status: u16) {
        self.responses.get_or_create(&Status { status }).inc();
    }

    /// Notes how long the first content of an answer took.
    pub(crate) fn first_content(&self, deployment: &Arc<str>, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        self.with(deployment, |counters| {
            counters.first_content_seconds.observe(seconds);
        });
    }

    /// Notes how long a request took that was answered.
    pub(crate) fn took(&self, deployment: &Arc<str>, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        self.with(deployment, |counters| counters.seconds.observe(seconds));
    }

    /// Counts what the ledger is told was used, by answers and by failures.
    pub(crate) fn used(&self, entry: &LedgerEntry) {
        if let LedgerEntry::Settled {
            deployment,
            usd,
            tokens,
            ..
        } = entry
        {
            self.with(deployment, |counters| {
                counters.input_tokens.inc_by(tokens.input);
                counters.output_tokens.inc_by(tokens.output);
                counters.nano_dollars.inc_by(usd.nanos());
            });
        }
    }

    fn with(&self, deployment: &Arc<str>, count: impl FnOnce(&Counters)) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = known.get(deployment) {
            return count(counters);
        }
        drop(known);
        let model = Model {
            model: deployment.to_string(),
        };
        let of = |family: &Family<Model, Counter>| family.get_or_create(&model).clone();
        let time = |family: &Times| family.get_or_create(&model).clone();
        let counters = Counters {
            answered: of(&self.answered),
            attempts: of(&self.attempts),
            input_tokens: of(&self.input_tokens),
            output_tokens: of(&self.output_tokens),
            nano_dollars: of(&self.nano_dollars),
            first_content_seconds: time(&self.first_content_seconds),
            seconds: time(&self.seconds),
        };
        count(&counters);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(Arc::clone(deployment), counters);
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self, deployments: &[DeploymentView], budgets: &[BudgetView]) -> String {
        let mut registry = Registry::with_prefix("mainstay_inference");
        let r = &mut registry;
        r.register(
            "requests_answered",
            "Requests answered",
            self.answered.clone(),
        );
        r.register(
            "requests_failed",
            "Requests that failed",
            self.failed.clone(),
        );
        r.register(
            "attempts",
            "Calls of providers, whatever became of them",
            self.attempts.clone(),
        );
        r.register(
            "input_tokens",
            "Tokens sent, for answers and for failures",
            self.input_tokens.clone(),
        );
        r.register(
            "output_tokens",
            "Tokens received",
            self.output_tokens.clone(),
        );
        r.register(
            "spent_nanodollars",
            "Money spent",
            self.nano_dollars.clone(),
        );
        r.register(
            "requests_left",
            "Requests whose callers left before the end",
            self.left.clone(),
        );
        r.register("cache_hits", "Answers given again", self.cache_hits.clone());
        r.register(
            "http_responses",
            "Responses below /v1 by status, also to requests that were refused at once",
            self.responses.clone(),
        );
        let first = self.first_content_seconds.clone();
        r.register_with_unit(
            "first_content",
            "Time to the first content, of answered requests",
            Unit::Seconds,
            first,
        );
        r.register_with_unit(
            "request",
            "Time of whole requests that were answered",
            Unit::Seconds,
            self.seconds.clone(),
        );
        register_views(r, deployments);
        register_money(r, budgets);
        let mut text = String::new();
        if encode(&mut text, &registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }
}

fn register_views(r: &mut Registry, deployments: &[DeploymentView]) {
    let gauges = Family::<Model, Gauge>::default;
    let (ready, open, active, queued) = (gauges(), gauges(), gauges(), gauges());
    for view in deployments {
        let model = Model {
            model: view.name.to_string(),
        };
        let state = match view.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open { .. } => 2,
        };
        ready.get_or_create(&model).set(i64::from(view.is_ready));
        open.get_or_create(&model).set(state);
        active
            .get_or_create(&model)
            .set(i64::try_from(view.active).unwrap_or(i64::MAX));
        queued
            .get_or_create(&model)
            .set(i64::try_from(view.queued).unwrap_or(i64::MAX));
    }
    r.register(
        "model_ready",
        "1 if the model's server or worker is up; see breaker, too",
        ready,
    );
    r.register("breaker", "0 closed, 1 half-open, 2 open", open);
    r.register("requests_active", "Requests under way", active);
    r.register("requests_queued", "Requests that wait", queued);
}

fn register_money(r: &mut Registry, budgets: &[BudgetView]) {
    let (spent, limit) = (
        Family::<BudgetName, Money>::default(),
        Family::<BudgetName, Money>::default(),
    );
    // Sessions come in any number, and callers name them.
    let is_session = |view: &&BudgetView| matches!(view.key, BudgetKey::Session(_));
    for view in budgets.iter().filter(|view| !is_session(view)) {
        let name = BudgetName {
            budget: view.key.to_string(),
        };
        let dollars = |usd: mainstay_contract::Usd| usd.to_string().parse().unwrap_or(f64::NAN);
        spent.get_or_create(&name).set(dollars(view.spent));
        limit.get_or_create(&name).set(dollars(view.limit));
    }
    r.register("budget_spent_dollars", "Spent in this window", spent);
    r.register(
        "budget_limit_dollars",
        "What may be spent in a window",
        limit,
    );
}
