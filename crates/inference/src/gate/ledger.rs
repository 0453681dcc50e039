//! Who pays, and what is written down of it.

use crate::Tokens;
use mainstay_contract::{Timestamp, Usd};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Whose budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetKey {
    /// A deployment's.
    Deployment(Arc<str>),
    /// A caller's key's.
    Key(Arc<str>),
    /// An agent's.
    Agent(Arc<str>),
    /// A session's, and of every session above it.
    Session(Arc<str>),
}

impl fmt::Display for BudgetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(name) => write!(f, "model {name}"),
            Self::Key(name) => write!(f, "key {name}"),
            Self::Agent(name) => write!(f, "agent {name}"),
            Self::Session(name) => write!(f, "session {name}"),
        }
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spender {
    /// The key; absent for the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// The session, then the one above it, and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Arc<str>>,
}

impl Spender {
    /// Every budget that a call of a deployment falls under.
    pub(super) fn budgets(&self, deployment: &Arc<str>) -> Vec<BudgetKey> {
        let mut keys = vec![BudgetKey::Deployment(Arc::clone(deployment))];
        keys.extend(self.key.iter().cloned().map(BudgetKey::Key));
        keys.extend(self.agent.iter().cloned().map(BudgetKey::Agent));
        keys.extend(self.sessions.iter().cloned().map(BudgetKey::Session));
        keys
    }
}

/// What is written down, so that no crash makes money available again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LedgerEntry {
    /// Before a call: what it may cost at most. Where no settlement follows, it counts as spent.
    Reserved {
        /// Which call.
        call: u64,
        /// When.
        at: Timestamp,
        /// By whom.
        spender: Spender,
        /// At which deployment.
        deployment: Arc<str>,
        /// How much.
        usd: Usd,
    },
    /// After it: what it cost.
    Settled {
        /// Which call.
        call: u64,
        /// When it was reserved: the window that it counts in.
        at: Timestamp,
        /// By whom.
        spender: Spender,
        /// At which deployment.
        deployment: Arc<str>,
        /// How much.
        usd: Usd,
        /// What was counted, or estimated where nothing was.
        tokens: Tokens,
        /// Whether it brought an answer.
        is_answered: bool,
    },
}
