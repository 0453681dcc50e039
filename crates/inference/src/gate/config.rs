//! What a gate is configured with.

use super::BudgetKey;
use crate::ModelPrice;
use mainstay_contract::Usd;
use mainstay_resilience::{BreakerConfig, BudgetPeriod, Rate, RetryBudgetConfig, RetryPolicy};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct GateConfig {
    /// What callers may name, and which deployments stand behind it.
    pub models: HashMap<Arc<str>, ModelConfig>,
    /// The deployments, by name.
    pub deployments: HashMap<Arc<str>, DeploymentConfig>,
    /// The callers' keys, by name.
    pub keys: HashMap<Arc<str>, KeyConfig>,
    /// The budgets.
    pub budgets: BTreeMap<BudgetKey, BudgetConfig>,
}

/// A model as callers name it.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// The deployments that share its requests; most models have one.
    pub members: Vec<Member>,
    /// Who answers where they cannot, in order.
    pub fallback: Vec<Fallback>,
}

/// One of several deployments behind a model.
#[derive(Debug, Clone)]
pub struct Member {
    /// The deployment.
    pub deployment: Arc<str>,
    /// Its share, against the others'. Zero: only when no other can.
    pub weight: u32,
}

/// Who answers instead.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// The deployment.
    pub deployment: Arc<str>,
    /// After failures of which classes.
    pub on: Vec<FailureClass>,
}

/// Failures, as far as another deployment may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// A limit, of the provider or our own; an open breaker; overload.
    Limited,
    /// The provider failed, did not answer in time, could not be reached, or has no word for the request.
    Failed,
    /// The conversation is too long for the model.
    ContextLength,
    /// The content was refused.
    ContentFiltered,
    /// The key or the account was refused, or its quota is used up.
    Access,
    /// The deployment's budget is used up.
    Budget,
}

impl FailureClass {
    /// What a fallback is for where nothing is said: everything that says nothing against the request.
    pub const USUAL: &'static [Self] = &[
        Self::Limited,
        Self::Failed,
        Self::ContextLength,
        Self::Access,
    ];
}

/// One deployment: a model at a provider.
#[derive(Debug, Clone)]
pub struct DeploymentConfig {
    /// The provider, for errors.
    pub provider: Arc<str>,
    /// The provider's name of the model, for errors and usage.
    pub model: Arc<str>,
    /// What shares a breaker: provider and address.
    pub endpoint: Arc<str>,
    /// How much at once and in a minute.
    pub limits: Limits,
    /// How failed attempts are repeated.
    pub retry: RetryPolicy,
    /// How much may be repeated altogether.
    pub retry_budget: RetryBudgetConfig,
    /// When the breaker opens.
    pub breaker: BreakerConfig,
    /// What it costs.
    pub pricing: Pricing,
    /// The tokens that a reservation counts on where the caller names no bound of the answer.
    pub output_tokens_usual: u64,
    /// Whether an attempt that may have reached the provider may be repeated. Answers of models may.
    pub is_idempotent: bool,
    /// When a second attempt is begun beside one that is slow.
    pub hedge: Option<Hedge>,
    /// Whether it is ready, until [`super::Input::Ready`] says otherwise. Absent: as before, and ready where
    /// it is new.
    pub is_ready: Option<bool>,
}

/// Bounds of use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub requests: Option<Rate>,
    /// Tokens a minute, sent and received.
    pub tokens: Option<Rate>,
    /// Requests at once.
    pub concurrency: Option<usize>,
    /// How many may wait for a place, and how many for a limit to pass.
    pub queue: usize,
    /// How long they may wait in all at one deployment. Apart from that, those whose failures are repeated
    /// wait for a provider that asks to be left alone as long as a repetition would, and everybody waits
    /// half a minute at least for money that others have reserved.
    pub queue_timeout: Duration,
}

/// When a second attempt is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// After so long without content.
    pub after: Duration,
}

/// What a deployment costs.
#[derive(Debug, Clone)]
pub enum Pricing {
    /// So much.
    Known(Arc<ModelPrice>),
    /// Nothing: a model of one's own.
    Free,
    /// Nobody knows: refused wherever a budget counts.
    Unknown,
}

/// A budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetConfig {
    /// How much.
    pub limit: Usd,
    /// In which time.
    pub period: BudgetPeriod,
    /// What happens at its end.
    pub action: BudgetAction,
}

/// What happens when a budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BudgetAction {
    /// Requests are refused.
    #[default]
    Reject,
    /// Requests pass with a warning.
    Warn,
    /// Requests wait for the next window, as far as their deadline allows.
    Throttle,
}

/// A caller's key.
#[derive(Debug, Clone, Default)]
pub struct KeyConfig {
    /// The models that it may use; all where absent.
    pub models: Option<Vec<Arc<str>>>,
    /// The agents that it may speak for; all where absent.
    pub agents: Option<Vec<Arc<str>>>,
    /// Its limits; nobody waits for these.
    pub limits: Limits,
}

impl KeyConfig {
    /// Whether the key may use a model.
    #[must_use]
    pub fn may_use(&self, model: &str) -> bool {
        is_among(self.models.as_deref(), model)
    }

    /// Whether the key of this name may use a model, and speak for an agent.
    ///
    /// # Errors
    /// Words for the caller.
    pub fn permits(&self, name: &str, model: &str, agent: Option<&Arc<str>>) -> Result<(), String> {
        if !self.may_use(model) {
            return Err(format!("the key {name} may not use the model {model}"));
        }
        match agent.filter(|agent| !is_among(self.agents.as_deref(), agent)) {
            Some(agent) => Err(format!(
                "the key {name} may not speak for the agent {agent}"
            )),
            None => Ok(()),
        }
    }
}

fn is_among(names: Option<&[Arc<str>]>, name: &str) -> bool {
    names.is_none_or(|names| names.iter().any(|other| **other == *name))
}
