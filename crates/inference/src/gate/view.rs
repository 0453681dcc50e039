//! What can be seen of the gate from outside.

use super::{BudgetKey, Gate};
use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::{BreakerState, BudgetPeriod};
use std::sync::Arc;

/// A deployment as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentView {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it may be called.
    pub is_ready: bool,
    /// Its breaker.
    pub breaker: BreakerState,
    /// How many requests are under way.
    pub active: usize,
    /// How many wait.
    pub queued: usize,
}

/// A budget as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetView {
    /// Whose.
    pub key: BudgetKey,
    /// How much.
    pub limit: Usd,
    /// In which time.
    pub period: BudgetPeriod,
    /// What is spent in this window.
    pub spent: Usd,
    /// What is reserved in it.
    pub reserved: Usd,
    /// When the next begins.
    pub resets_at: Option<Timestamp>,
}

impl Gate {
    /// Every deployment, by name.
    #[must_use]
    pub fn deployments(&self, now: Timestamp) -> Vec<DeploymentView> {
        let view = |deployment: &super::deployment::Deployment| DeploymentView {
            name: Arc::clone(&deployment.name),
            is_ready: deployment.is_ready,
            breaker: self.endpoints[deployment.endpoint].state(now),
            active: deployment.queue.admitted(),
            queued: deployment.queue.queued(),
        };
        let present = self.deployments.iter();
        let present = present.filter(|deployment| !deployment.is_removed);
        let mut views: Vec<_> = present.map(view).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// Every budget.
    #[must_use]
    pub fn budgets(&self, now: Timestamp) -> Vec<BudgetView> {
        let view = |(key, budget): (&BudgetKey, &mainstay_resilience::Budget)| BudgetView {
            key: key.clone(),
            limit: budget.limit(),
            period: budget.period(),
            spent: budget.spent(now).amount,
            reserved: budget.reserved(now),
            resets_at: budget.resets_at(now),
        };
        self.tree.iter().map(view).collect()
    }

    /// How many flights are on their way.
    #[must_use]
    pub fn flights(&self) -> usize {
        self.flights.len()
    }

    /// Whether nothing is under way, nothing waits, and nothing is held or reserved.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_idle = |deployment: &super::deployment::Deployment| {
            deployment.queue.admitted() == 0
                && deployment.queue.queued() == 0
                && deployment.line.is_empty()
        };
        self.flights.is_empty()
            && self.wakes.is_empty()
            && self.freed.is_empty()
            && self.savers.is_empty()
            && self.tree.reservations() == 0
            && self.deployments.iter().all(is_idle)
            && self.keys.values().all(|key| key.active == 0)
    }

    /// Goes on counting calls above this one.
    pub fn resume_calls(&mut self, last: u64) {
        self.next_call = self.next_call.max(last);
    }
}
