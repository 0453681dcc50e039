//! Who pays, and what is written down of it.

use crate::Tokens;
use mainstay_contract::{Timestamp, Usd};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
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
        #[serde(serialize_with = "without_zeros")]
        tokens: Tokens,
        /// Whether it brought an answer.
        is_answered: bool,
    },
}

/// Most kinds of tokens are in no call: what is zero is left out, as far as it is read as zero again.
fn without_zeros<S: Serializer>(tokens: &Tokens, serializer: S) -> Result<S::Ok, S::Error> {
    let rare = [
        ("cache_read", tokens.cache_read),
        ("cache_write", tokens.cache_write),
        ("cache_write_hour", tokens.cache_write_hour),
        ("input_audio", tokens.input_audio),
        ("reasoning", tokens.reasoning),
        ("output_audio", tokens.output_audio),
    ];
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("input", &tokens.input)?;
    map.serialize_entry("output", &tokens.output)?;
    for (name, count) in rare.iter().filter(|(_, count)| *count > 0) {
        map.serialize_entry(name, count)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_rare_tokens_is_short_and_reads_the_same() {
        let settled = |tokens| LedgerEntry::Settled {
            call: 1,
            at: Timestamp(2),
            spender: Spender::default(),
            deployment: Arc::from("m"),
            usd: Usd::from_nanos(3),
            tokens,
            is_answered: true,
        };
        let plain = Tokens {
            input: 1,
            output: 2,
            ..Tokens::default()
        };
        let text = serde_json::to_string(&settled(plain)).unwrap();
        assert!(
            text.contains(r#""tokens":{"input":1,"output":2}"#),
            "{text}"
        );
        let all = Tokens {
            cache_read: 3,
            cache_write: 4,
            cache_write_hour: 5,
            input_audio: 6,
            reasoning: 7,
            output_audio: 8,
            ..plain
        };
        for tokens in [Tokens::default(), plain, all] {
            let entry = settled(tokens);
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<LedgerEntry>(&text).unwrap(), entry);
        }
    }
}
