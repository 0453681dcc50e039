//! The sum of all entries: by hour, key, agent and deployment, and by session.

use mainstay_contract::{Timestamp, Usd};
use mainstay_inference::{BudgetKey, LedgerEntry, Spender, Tokens};
use mainstay_resilience::{BudgetPeriod, Spent};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const HOUR_MS: u64 = 3_600_000;
/// A session that spent nothing for so long is forgotten.
const REST_HOURS: u64 = 90 * 24;

/// What was used in a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The day's beginning in UTC, in milliseconds since the Unix epoch.
    pub day: Timestamp,
    /// The key; absent for the owner.
    pub key: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The deployment.
    pub model: Arc<str>,
    /// What it was.
    #[serde(flatten)]
    pub used: Used,
}

/// An amount of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Used {
    /// Calls that brought an answer.
    pub answers: u64,
    /// Calls that did not, and cost something.
    pub failures: u64,
    /// Money.
    pub usd: Usd,
    /// Tokens.
    #[serde(flatten)]
    pub tokens: Tokens,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    hour: u64,
    key: Option<Arc<str>>,
    agent: Option<Arc<str>>,
    deployment: Arc<str>,
}

#[derive(Debug, Clone)]
struct Reserved {
    at: Timestamp,
    spender: Spender,
    deployment: Arc<str>,
    usd: Usd,
}

/// What a session spent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(from = "WrittenSession")]
struct SessionSum {
    usd: Usd,
    /// The last in which it spent something.
    hour: u64,
}

/// The same in a ledger, of which older ones have the money alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSession {
    Sum { usd: Usd, hour: u64 },
    Usd(Usd),
}

impl From<WrittenSession> for SessionSum {
    fn from(written: WrittenSession) -> Self {
        let (usd, hour) = match written {
            WrittenSession::Sum { usd, hour } => (usd, hour),
            WrittenSession::Usd(usd) => (usd, u64::MAX),
        };
        Self { usd, hour }
    }
}

/// Everything that the entries add up to.
#[derive(Debug, Default)]
pub(super) struct Fold {
    hours: BTreeMap<Place, Used>,
    sessions: BTreeMap<Arc<str>, SessionSum>,
    open: BTreeMap<u64, Reserved>,
    last_call: u64,
}

/// The fold as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct Folded {
    last_call: u64,
    hours: Vec<FoldedHour>,
    sessions: BTreeMap<Arc<str>, SessionSum>,
    open: Vec<LedgerEntry>,
}

#[derive(Serialize, Deserialize)]
struct FoldedHour {
    hour: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<Arc<str>>,
    deployment: Arc<str>,
    #[serde(flatten)]
    used: Used,
}

impl Fold {
    pub(super) fn add(&mut self, entry: &LedgerEntry) {
        match entry {
            LedgerEntry::Reserved {
                call,
                at,
                spender,
                deployment,
                usd,
            } => {
                self.last_call = self.last_call.max(*call);
                let reserved = Reserved {
                    at: *at,
                    spender: spender.clone(),
                    deployment: Arc::clone(deployment),
                    usd: *usd,
                };
                self.open.insert(*call, reserved);
            }
            LedgerEntry::Settled {
                call,
                at,
                spender,
                deployment,
                usd,
                tokens,
                is_answered,
            } => {
                self.last_call = self.last_call.max(*call);
                self.open.remove(call);
                let used = Used {
                    answers: u64::from(*is_answered),
                    failures: u64::from(!*is_answered),
                    usd: *usd,
                    tokens: *tokens,
                };
                self.spend(*at, spender, deployment, used);
            }
        }
    }

    fn spend(&mut self, at: Timestamp, spender: &Spender, deployment: &Arc<str>, used: Used) {
        let hour = at.0 / HOUR_MS;
        let place = Place {
            hour,
            key: spender.key.clone(),
            agent: spender.agent.clone(),
            deployment: Arc::clone(deployment),
        };
        let sum = self.hours.entry(place).or_default();
        *sum = sum.plus(used);
        for session in &spender.sessions {
            let sum = self.sessions.entry(Arc::clone(session)).or_default();
            sum.usd = sum.usd.plus(used.usd);
            sum.hour = sum.hour.max(hour);
        }
    }

    /// Counts reservations that nothing settled as spent: the process died over them.
    pub(super) fn close_open(&mut self) {
        for reserved in std::mem::take(&mut self.open).into_values() {
            let used = Used {
                failures: 1,
                usd: reserved.usd,
                ..Used::default()
            };
            self.spend(reserved.at, &reserved.spender, &reserved.deployment, used);
        }
    }

    /// Whether a call is under way that was paid for.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether an entry is a settlement whose reservation, as long as it counts, is no less.
    pub(super) fn covers(&self, entry: &LedgerEntry) -> bool {
        let LedgerEntry::Settled { call, usd, .. } = entry else {
            return false;
        };
        let reserved = self.open.get(call).map(|reserved| reserved.usd);
        *usd <= reserved.unwrap_or_default()
    }

    pub(super) const fn last_call(&self) -> u64 {
        self.last_call
    }

    pub(super) fn spent(&self, key: &BudgetKey, period: BudgetPeriod, now: Timestamp) -> Spent {
        let window_start = period.start(now);
        let amount = match key {
            BudgetKey::Session(session) => {
                let sum = self.sessions.get(session);
                sum.map_or(Usd::ZERO, |sum| sum.usd)
            }
            _ => self.sum(key, window_start),
        };
        Spent {
            window_start,
            amount,
        }
    }

    fn sum(&self, budget: &BudgetKey, from: Timestamp) -> Usd {
        let hour = from.0 / HOUR_MS;
        let is_its = |place: &Place| match budget {
            BudgetKey::Deployment(name) => place.deployment == *name,
            BudgetKey::Key(name) => place.key.as_ref() == Some(name),
            BudgetKey::Agent(name) => place.agent.as_ref() == Some(name),
            BudgetKey::Session(_) => false,
        };
        let hours = self
            .hours
            .iter()
            .filter(|(place, _)| place.hour >= hour && is_its(place));
        hours.fold(Usd::ZERO, |sum, (_, used)| sum.plus(used.usd))
    }

    /// Sums the hours of the days that are over, of which no budget asks for the hours any more, and forgets
    /// sessions that have rested for long.
    pub(super) fn coarsen(&mut self) {
        let newest = self.hours.keys().map(|place| place.hour).max();
        let newest = newest.unwrap_or_default();
        self.sessions
            .retain(|_, sum| newest.saturating_sub(sum.hour) < REST_HOURS);
        let today = newest / 24 * 24;
        for (mut place, used) in std::mem::take(&mut self.hours) {
            if place.hour < today {
                place.hour = place.hour / 24 * 24;
            }
            let sum = self.hours.entry(place).or_default();
            *sum = sum.plus(used);
        }
    }

    pub(super) fn usage(&self) -> Vec<UsageRow> {
        let mut days: BTreeMap<Place, Used> = BTreeMap::new();
        for (place, used) in &self.hours {
            let day = Place {
                hour: place.hour / 24 * 24,
                ..place.clone()
            };
            let sum = days.entry(day).or_default();
            *sum = sum.plus(*used);
        }
        let row = |(place, used): (Place, Used)| UsageRow {
            day: Timestamp(place.hour * HOUR_MS),
            key: place.key,
            agent: place.agent,
            model: place.deployment,
            used,
        };
        days.into_iter().map(row).collect()
    }

    pub(super) fn folded(&self) -> Folded {
        let hour = |(place, used): (&Place, &Used)| FoldedHour {
            hour: place.hour,
            key: place.key.clone(),
            agent: place.agent.clone(),
            deployment: Arc::clone(&place.deployment),
            used: *used,
        };
        let open = |(call, reserved): (&u64, &Reserved)| LedgerEntry::Reserved {
            call: *call,
            at: reserved.at,
            spender: reserved.spender.clone(),
            deployment: Arc::clone(&reserved.deployment),
            usd: reserved.usd,
        };
        Folded {
            last_call: self.last_call,
            hours: self.hours.iter().map(hour).collect(),
            sessions: self.sessions.clone(),
            open: self.open.iter().map(open).collect(),
        }
    }
}

impl From<Folded> for Fold {
    fn from(folded: Folded) -> Self {
        let hours = folded.hours.into_iter().map(|hour| {
            let place = Place {
                hour: hour.hour,
                key: hour.key,
                agent: hour.agent,
                deployment: hour.deployment,
            };
            (place, hour.used)
        });
        let mut fold = Self {
            hours: hours.collect(),
            sessions: folded.sessions,
            open: BTreeMap::new(),
            last_call: folded.last_call,
        };
        folded.open.iter().for_each(|entry| fold.add(entry));
        fold
    }
}

impl Used {
    fn plus(self, other: Self) -> Self {
        Self {
            answers: self.answers.saturating_add(other.answers),
            failures: self.failures.saturating_add(other.failures),
            usd: self.usd.plus(other.usd),
            tokens: self.tokens.plus(other.tokens),
        }
    }
}
