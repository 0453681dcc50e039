//! Sessions that are held to a budget. They come with who asks and in any number, so the gate knows them only as long
//! as they have something under way; what they spent before, the ledger knows.

use super::seek::Freed;
use super::{BudgetAction, BudgetConfig, BudgetKey, Gate};
use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::{BudgetPeriod, Spent};
use std::collections::BTreeSet;

/// So many are kept at rest before somebody looks which of them are.
pub(super) const AT_REST: usize = 1024;

impl Gate {
    /// Holds a session to what it may spend in all. `spent` says what it has spent, where the gate does not know it. What
    /// it has under way counts on.
    pub fn hold_session(
        &mut self,
        now: Timestamp,
        session: &BudgetKey,
        limit: Usd,
        spent: impl FnOnce() -> Spent,
    ) {
        let period = BudgetPeriod::Total;
        match self.budgets.get(session) {
            Some(_) if !self.held.contains(session) => return,
            Some(known) if known.limit == limit => return,
            Some(_) => {
                self.tree.set(session.clone(), limit, period);
                self.freed.push_back(Freed::Money(session.clone()));
            }
            None => {
                self.forget_resting(now);
                self.tree.restore(session.clone(), limit, period, spent());
                self.held.insert(session.clone());
            }
        }
        let budget = BudgetConfig {
            limit,
            period,
            action: BudgetAction::Reject,
        };
        self.budgets.insert(session.clone(), budget);
    }

    fn forget_resting(&mut self, now: Timestamp) {
        if self.held.len() < self.held_max {
            return;
        }
        let flights = self.flights.values();
        let named = flights.flat_map(|flight| flight.ask.spender.sessions.iter());
        let named: BTreeSet<_> = named.cloned().map(BudgetKey::Session).collect();
        self.held.retain(|key| {
            let budget = self.tree.get(key);
            let is_at_work = named.contains(key)
                || budget.is_some_and(|budget| budget.reserved(now) > Usd::ZERO);
            if !is_at_work {
                self.tree.remove(key);
                self.budgets.remove(key);
            }
            is_at_work
        });
        self.held_max = AT_REST.max(2 * self.held.len());
    }
}
