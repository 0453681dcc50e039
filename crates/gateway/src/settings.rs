//! What a gateway serves.

use mainstay_contract::Usd;
use mainstay_inference::{GateConfig, Provider};
use mainstay_resilience::Priority;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that can be exchanged while requests are under way.
#[derive(Clone, Default)]
pub struct Settings {
    /// The gate's.
    pub gate: GateConfig,
    /// Who answers for each deployment.
    pub providers: HashMap<Arc<str>, Arc<dyn Provider>>,
    /// The models by name, for `GET /v1/models`.
    pub models: HashMap<Arc<str>, Arc<ModelInfo>>,
    /// What each session of an agent may spend.
    pub session_budgets: HashMap<Arc<str>, Usd>,
    /// The callers' keys: the blake3 hash of each, and its name and urgency.
    pub keys: HashMap<[u8; 32], (Arc<str>, Priority)>,
}

/// A model as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelInfo {
    /// Who provides it.
    pub provider: String,
    /// The most tokens of a conversation, where known.
    pub context_window: Option<u64>,
    /// The deployments that may answer, the likeliest first.
    pub deployments: Vec<Arc<str>>,
    /// Tells the model from what was configured under its name before: answers of one are not given for the other.
    pub revision: [u8; 32],
    /// How long whole answers are kept and given again to the same request; none are where absent.
    pub cached_for: Option<Duration>,
    /// The longest that a request may take, whatever is tried.
    pub total: Option<Duration>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}
