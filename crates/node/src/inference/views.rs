//! What can be seen of the models and of what they cost.

use super::day::Day;
use super::health::HealthStatus;
use mainstay_contract::{Timestamp, Usd};
use mainstay_gateway::{Gateway, ModelInfo, Settings, UsageRow};
use mainstay_inference::{BudgetKey, BudgetView, DeploymentView, Pricing};
use mainstay_local::{Status, Unready};
use mainstay_resilience::{BreakerState, BudgetPeriod};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// A model as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelStatus {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// Who provides it; `pool` where others answer for it.
    pub provider: String,
    /// The provider's name of it; absent for a pool.
    pub model: Option<Arc<str>>,
    /// The models that answer for it, the likeliest first; empty where it answers itself.
    pub pool: Vec<Arc<str>>,
    /// The models that stand in for it, in order.
    pub fallback: Vec<Arc<str>>,
    /// The most tokens of a conversation, where known.
    pub context_window: Option<u64>,
    /// What it costs; absent for a pool.
    pub price: Option<PriceStatus>,
    /// Whether it may be called; a pool, where one of its models may.
    pub ready: bool,
    /// Its breaker: `closed`, `open` or `half_open`; the best of a pool.
    pub breaker: &'static str,
    /// How long the breaker stays open, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// How many requests are under way.
    pub active: usize,
    /// How many wait.
    pub queued: usize,
    /// Its own budget.
    pub budget: Option<BudgetStatus>,
    /// Why it cannot be used as it stands in the manifest; absent where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Its worker; absent for a model that does not run on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerStatus>,
    /// How its server is doing; absent where it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
}

/// The worker of a model on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerStatus {
    /// Its process; absent while there is none.
    pub pid: Option<u32>,
    /// How many were started so far.
    pub started: u64,
    /// Why the model takes no requests; absent where it does.
    pub unready: Option<String>,
}

impl ModelStatus {
    /// With what its worker says.
    pub(crate) fn with_worker(mut self, status: Option<Status>) -> Self {
        let Some(status) = status else { return self };
        let unready = status.readiness.err().map(|reason| match reason {
            Unready::Starting => "it is being loaded".to_owned(),
            Unready::Restarting { loss } => format!("its worker is being replaced: {loss}"),
            Unready::Quarantined { loss, .. } => format!("it is out of service: {loss}"),
            Unready::Stopping | Unready::Stopped => "it is being stopped".to_owned(),
        });
        self.ready = self.ready && unready.is_none();
        self.worker = Some(WorkerStatus {
            pid: status.pid,
            started: status.started,
            unready,
        });
        self
    }
}

/// What a model costs, in dollars for a million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PriceStatus {
    /// So much.
    Known {
        /// Tokens sent.
        input_per_million: Usd,
        /// Tokens received.
        output_per_million: Usd,
    },
    /// Nothing.
    Free,
    /// Nobody knows.
    Unknown,
}

/// A budget as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetStatus {
    /// Whose it is: `model`, `key`, `agent` or `session`.
    pub kind: &'static str,
    /// The name of that.
    pub name: Arc<str>,
    /// How much it allows.
    pub limit: Usd,
    /// In which time: `hour`, `day`, `month` or `total`.
    pub per: &'static str,
    /// What is spent.
    pub spent: Usd,
    /// What calls under way may still cost.
    pub reserved: Usd,
    /// When it begins anew, if it does.
    pub resets_at: Option<Timestamp>,
}

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// By day, key, agent and model.
    pub rows: Vec<UsageLine>,
    /// The budgets as they are now.
    pub budgets: Vec<BudgetStatus>,
}

/// What was used of a model in a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageLine {
    /// The day, in UTC.
    pub day: Day,
    /// The key; absent for the owner.
    pub key: Option<Arc<str>>,
    /// The agent, where one asked.
    pub agent: Option<Arc<str>>,
    /// The model that was called.
    pub model: Arc<str>,
    /// Calls that brought an answer.
    pub answers: u64,
    /// Calls that brought none, not requests; one that cost nothing counts only under a budget.
    pub failures: u64,
    /// Money.
    pub usd: Usd,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Of these: read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of these: written into it.
    pub cache_write_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// Of these: thoughts.
    pub reasoning_tokens: u64,
}

/// Which rows of use are wanted; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct UsageFilter {
    /// Not before this day.
    pub from: Option<Day>,
    /// Not after this day.
    pub to: Option<Day>,
    /// Of this key; the owner's where it is empty.
    pub key: Option<String>,
    /// Of this agent; of none where it is empty.
    pub agent: Option<String>,
    /// Of this model.
    pub model: Option<String>,
}

impl UsageFilter {
    fn takes(&self, row: &UsageLine) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| wanted == found.unwrap_or_default())
        };
        self.from.is_none_or(|from| row.day >= from)
            && self.to.is_none_or(|to| row.day <= to)
            && is(&self.key, row.key.as_deref())
            && is(&self.agent, row.agent.as_deref())
            && is(&self.model, Some(&row.model))
    }
}

/// What was used, and what the budgets have left.
pub(crate) fn usage(gateway: &Gateway, filter: &UsageFilter) -> Usage {
    let rows = gateway.usage().into_iter().map(line);
    Usage {
        rows: rows.filter(|row| filter.takes(row)).collect(),
        budgets: gateway.budgets().iter().map(budget).collect(),
    }
}

fn line(row: UsageRow) -> UsageLine {
    let tokens = row.used.tokens;
    UsageLine {
        day: Day::of(row.day),
        key: row.key,
        agent: row.agent,
        model: row.model,
        answers: row.used.answers,
        failures: row.used.failures,
        usd: row.used.usd,
        input_tokens: tokens.input,
        cache_read_tokens: tokens.cache_read,
        cache_write_tokens: tokens.cache_write.saturating_add(tokens.cache_write_hour),
        output_tokens: tokens.output,
        reasoning_tokens: tokens.reasoning,
    }
}

fn budget(view: &BudgetView) -> BudgetStatus {
    let (kind, name) = match &view.key {
        BudgetKey::Deployment(name) => ("model", name),
        BudgetKey::Key(name) => ("key", name),
        BudgetKey::Agent(name) => ("agent", name),
        BudgetKey::Session(name) => ("session", name),
    };
    BudgetStatus {
        kind,
        name: Arc::clone(name),
        limit: view.limit,
        per: match view.period {
            BudgetPeriod::Hour => "hour",
            BudgetPeriod::Day => "day",
            BudgetPeriod::Month => "month",
            BudgetPeriod::Total => "total",
        },
        spent: view.spent,
        reserved: view.reserved,
        resets_at: view.resets_at,
    }
}

/// Every model that the gateway serves, by name.
pub(crate) fn models(gateway: &Gateway) -> Vec<ModelStatus> {
    let settings = gateway.settings();
    let views = gateway.deployments().into_iter();
    let deployments: HashMap<_, _> = views.map(|view| (Arc::clone(&view.name), view)).collect();
    let budgets: Vec<BudgetStatus> = gateway.budgets().iter().map(budget).collect();
    let mut models: Vec<_> = settings
        .models
        .iter()
        .map(|(name, info)| {
            let budget = budgets
                .iter()
                .find(|budget| budget.kind == "model" && budget.name == *name);
            ModelStatus {
                budget: budget.cloned(),
                ..model(name, info, &settings, &deployments)
            }
        })
        .collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}

fn model(
    name: &Arc<str>,
    info: &ModelInfo,
    settings: &Settings,
    deployments: &HashMap<Arc<str>, DeploymentView>,
) -> ModelStatus {
    let own = settings.gate.deployments.get(name);
    let answering: Vec<_> = info
        .deployments
        .iter()
        .filter_map(|name| deployments.get(name))
        .collect();
    let breaker = answering.iter().map(|view| view.breaker).min_by_key(weight);
    let (breaker, retry_after_ms) = match breaker.unwrap_or(BreakerState::Closed) {
        BreakerState::Closed => ("closed", None),
        BreakerState::HalfOpen => ("half_open", None),
        BreakerState::Open { remaining } => {
            let ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
            ("open", Some(ms))
        }
    };
    let fallback = settings.gate.models.get(name).into_iter();
    let fallback = fallback.flat_map(|config| &config.fallback);
    ModelStatus {
        name: Arc::clone(name),
        provider: info.provider.clone(),
        model: own.map(|own| Arc::clone(&own.model)),
        pool: match own {
            Some(_) => Vec::new(),
            None => info.deployments.clone(),
        },
        fallback: fallback
            .map(|fallback| Arc::clone(&fallback.deployment))
            .collect(),
        context_window: info.context_window,
        price: own.map(|own| price(&own.pricing)),
        ready: answering.iter().any(|view| view.is_ready),
        breaker,
        retry_after_ms,
        active: answering.iter().map(|view| view.active).sum(),
        queued: answering.iter().map(|view| view.queued).sum(),
        budget: None,
        unusable: None,
        worker: None,
        health: None,
    }
}

fn weight(state: &BreakerState) -> (u8, u128) {
    match state {
        BreakerState::Closed => (0, 0),
        BreakerState::HalfOpen => (1, 0),
        BreakerState::Open { remaining } => (2, remaining.as_millis()),
    }
}

fn price(pricing: &Pricing) -> PriceStatus {
    match pricing {
        Pricing::Known(price) => PriceStatus::Known {
            input_per_million: price.rates.input,
            output_per_million: price.rates.output,
        },
        Pricing::Free => PriceStatus::Free,
        Pricing::Unknown => PriceStatus::Unknown,
    }
}
