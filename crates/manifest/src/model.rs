//! What a valid manifest says about models and about who may use them.
//!
//! Turns are pinned to the serialised form: what came later has a default, and is not written where
//! it is that.

use crate::manifest::millis;
use crate::provider::{PoolMember, Provider};
use mainstay_contract::Usd;
use mainstay_resilience::{BreakerConfig, BudgetPeriod, Priority, RetryPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// A model behind a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Who answers.
    pub provider: Provider,
    /// How long a call may take.
    pub timeout: Timeouts,
    /// How failed calls are repeated.
    pub retry: RetryPolicy,
    /// What it costs, where the manifest says so.
    pub price: Option<Price>,
    /// Whether the manifest says that it costs nothing. See also [`Self::costs_nothing`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub is_free: bool,
    /// What happens where a budget counts and nobody knows the price.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pricing_if_unknown: IfPriceUnknown,
    /// Headers that go with every request, by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, HeaderValue>,
    /// A file of certificates in PEM that are trusted too, relative to the manifest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ca_file: Option<String>,
    /// The proxy that tunnels to the server; only where that is reached with https.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proxy_url: Option<String>,
    /// How many requests and tokens, in a minute and at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// When the provider is no longer called.
    #[serde(default, skip_serializing_if = "is_default")]
    pub breaker: BreakerConfig,
    /// How its server is asked whether it takes requests, where it is asked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health: Option<HealthCheck>,
    /// The most money, whoever asks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub budget: Option<Budget>,
    /// The most tokens of a conversation and its answer; `context_length` of a local model.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context_window: Option<u64>,
    /// The most tokens of an answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub output_tokens_max: Option<u64>,
    /// Who answers where it cannot, in order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fallback: Vec<Fallback>,
    /// After how long without a token a second call is begun.
    #[serde(
        default,
        skip_serializing_if = "is_default",
        with = "crate::manifest::millis::option"
    )]
    pub hedge_after: Option<Duration>,
    /// Whether a call that may have reached the provider may be repeated.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub is_idempotent: bool,
    /// Answers that are kept, for requests that are the same to the byte.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache: Option<ResponseCache>,
}

impl Model {
    /// Whether calls are free whatever any table says: by the manifest's word, or because nobody
    /// else answers and no price is named.
    #[must_use]
    pub const fn costs_nothing(&self) -> bool {
        let is_own = matches!(
            self.provider,
            Provider::Script { .. } | Provider::Local { .. }
        );
        self.is_free || is_own && self.price.is_none()
    }

    /// The models that share its requests; none where it is no pool.
    #[must_use]
    pub fn pool(&self) -> &[PoolMember] {
        match &self.provider {
            Provider::Pool { members } => members,
            _ => &[],
        }
    }
}

/// What a header holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    /// This.
    Text(String),
    /// The value of the secret of this name.
    Secret(String),
}

/// How a server is asked whether it takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked with GET: a whole address.
    pub url: String,
    /// From the end of a check to the next.
    #[serde(with = "millis")]
    pub interval: Duration,
    /// How long a check may take.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// So many failures in a row take the server out of service; at least 1.
    pub retries: u32,
    /// For how long failures do not count, where no check has succeeded yet.
    #[serde(with = "millis")]
    pub start_period: Duration,
}

/// How long the phases of a model call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until the connection stands.
    #[serde(with = "millis")]
    pub connect: Duration,
    /// Until the first token.
    #[serde(with = "millis")]
    pub first_token: Duration,
    /// Whether the manifest says so itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub first_token_written: bool,
    /// Between tokens.
    #[serde(with = "millis")]
    pub idle: Duration,
    /// For the whole call.
    #[serde(with = "millis")]
    pub total: Duration,
}

/// What a model costs, per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Tokens sent.
    pub input_per_million: Usd,
    /// Tokens received.
    pub output_per_million: Usd,
    /// Tokens sent that the provider had kept; as those sent where absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache_read_per_million: Option<Usd>,
    /// Tokens sent that the provider keeps; as those sent where absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache_write_per_million: Option<Usd>,
}

/// What happens where a budget counts and nobody knows the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfPriceUnknown {
    /// The request is refused.
    #[default]
    Refuse,
    /// It passes, and counts as free.
    Allow,
}

/// How much of a model is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests in a minute.
    pub requests_per_minute: Option<NonZeroU64>,
    /// Tokens in a minute, sent and received.
    pub tokens_per_minute: Option<NonZeroU64>,
    /// Requests at once, at least one.
    pub concurrency: Option<u32>,
    /// How many may wait for a limit to pass.
    pub queue: u32,
    /// How long they may wait.
    #[serde(with = "millis")]
    pub queue_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrency: None,
            queue: 32,
            queue_timeout: Duration::from_secs(30),
        }
    }
}

/// The most money in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How much.
    pub usd: Usd,
    /// In which time.
    pub per: BudgetPeriod,
    /// What happens to a request that does not fit.
    pub action: BudgetAction,
}

/// What happens to a request that does not fit into a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetAction {
    /// It is refused.
    #[default]
    Reject,
    /// It passes, with a warning.
    Warn,
    /// It waits until the budget begins anew, as far as its time allows.
    Throttle,
}

/// Who answers where a model cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// The model.
    pub to: String,
    /// After which failures; at least one, each once.
    pub on: Vec<FailureClass>,
}

/// Failures, as far as another model may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A limit of the provider or of our own, overload, or an open breaker.
    Limited,
    /// The provider failed, did not answer in time, could not be reached, or has no word for the request.
    Failed,
    /// The conversation is too long for the model.
    ContextLength,
    /// The content was refused.
    ContentFiltered,
    /// The key or the account was refused, or its quota is used up.
    Access,
    /// The model's budget is used up.
    Budget,
}

impl FailureClass {
    /// What a fallback is for where the manifest does not say.
    pub const USUAL: [Self; 4] = [
        Self::Limited,
        Self::Failed,
        Self::ContextLength,
        Self::Access,
    ];
}

/// Answers that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseCache {
    /// For how long.
    #[serde(with = "millis")]
    pub ttl: Duration,
}

/// Somebody who may use the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The name under `secrets` of what the caller shows.
    pub secret: String,
    /// The models that it may use; all where absent.
    pub models: Option<Vec<String>>,
    /// The agents that it may speak for; all where absent.
    pub agents: Option<Vec<String>>,
    /// How much it may use.
    pub limits: KeyLimits,
    /// The most money that it may spend.
    pub budget: Option<Budget>,
    /// Whose requests come first.
    pub priority: Priority,
}

/// How much one key may use; nobody waits for these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyLimits {
    /// Requests in a minute.
    pub requests_per_minute: Option<NonZeroU64>,
    /// Tokens in a minute, sent and received.
    pub tokens_per_minute: Option<NonZeroU64>,
    /// Requests at once, at least one.
    pub concurrency: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
const fn is_true(value: &bool) -> bool {
    *value
}
