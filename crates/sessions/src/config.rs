//! What a turn is pinned to: decided at acceptance, stored as a blob, never re-read from the manifest.

use mainstay_contract::{AgentName, Usage, Usd};
use mainstay_resilience::RetryPolicy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a tool's effect relates to repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Touches nothing but the workspace, which is rolled back: repeated freely.
    Pure,
    /// Repeated with the same key, which the tool honours.
    Idempotent,
    /// Never repeated unasked: an intent is recorded first, and an unknown outcome is resolved.
    Once,
}

/// What the machine must know of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolPolicy {
    /// Its class.
    pub class: EffectClass,
    /// Whether a probe can answer if an unknown call took effect.
    #[serde(default)]
    pub has_probe: bool,
}

/// The price of a model, per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Price {
    /// Tokens sent.
    pub input_per_million: Usd,
    /// Tokens received.
    pub output_per_million: Usd,
}

impl Price {
    /// What a usage costs.
    #[must_use]
    pub fn cost(&self, usage: Usage) -> Usd {
        self.input_per_million
            .per_million(usage.input_tokens)
            .plus(self.output_per_million.per_million(usage.output_tokens))
    }
}

/// The configuration snapshot of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnConfig {
    /// The agent.
    pub agent: AgentName,
    /// The most model calls one turn may make.
    pub steps_max: u32,
    /// The most one turn may spend.
    #[serde(default)]
    pub budget: Option<Usd>,
    /// The model's price; free where absent.
    #[serde(default)]
    pub price: Price,
    /// How failed model calls are repeated.
    pub retry: RetryPolicy,
    /// How often a turn may be started without progress before it is quarantined.
    pub attempts_max: u32,
    /// The tools the agent has, by name.
    pub tools: BTreeMap<String, ToolPolicy>,
    /// Whether the agent works on a view of a folder.
    pub has_workspace: bool,
    /// What only the shell understands: model settings, instructions, sandbox, tool options.
    pub shell: serde_json::Value,
}
