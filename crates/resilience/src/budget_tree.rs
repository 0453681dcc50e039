//! Several budgets at once: a call takes from all that it falls under, or from none.

use crate::budget::{Budget, Exceeded, Hold, Spent};
use crate::period::BudgetPeriod;
use mainstay_contract::{Timestamp, Usd};
use std::collections::{BTreeMap, BTreeSet};

/// Names one reservation in one [`BudgetTree`]. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(u64);

/// A reservation failed at one of its budgets: of those that have too little left, the one that
/// resets last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("budget `{key}` is exceeded: {exceeded}")]
pub struct BudgetExceeded<Key> {
    /// Which budget.
    pub key: Key,
    /// How.
    pub exceeded: Exceeded,
}

#[derive(Debug)]
struct Entry {
    budget: Budget,
    /// Tells a budget from an earlier one of the same name.
    number: u64,
}

#[derive(Debug)]
struct Part<Key> {
    key: Key,
    number: u64,
    hold: Hold,
}

/// Budgets by name: of a deployment, a key, an agent, a session, the session above it.
#[derive(Debug)]
pub struct BudgetTree<Key> {
    budgets: BTreeMap<Key, Entry>,
    open: BTreeMap<ReservationId, Vec<Part<Key>>>,
    numbers: u64,
}

impl<Key> Default for BudgetTree<Key> {
    fn default() -> Self {
        Self {
            budgets: BTreeMap::new(),
            open: BTreeMap::new(),
            numbers: 0,
        }
    }
}

impl<Key: Ord + Clone> BudgetTree<Key> {
    /// Declares a budget. One that is there with the same period keeps what is spent and
    /// reserved; any other is replaced by a new one.
    pub fn set(&mut self, key: Key, limit: Usd, period: BudgetPeriod) {
        match self.budgets.get_mut(&key) {
            Some(entry) if entry.budget.period() == period => entry.budget.set_limit(limit),
            _ => self.insert(key, Budget::new(limit, period)),
        }
    }

    /// Declares a budget of which something is spent already. One that is there is replaced.
    pub fn restore(&mut self, key: Key, limit: Usd, period: BudgetPeriod, spent: Spent) {
        self.insert(key, Budget::restored(limit, period, spent));
    }

    /// Forgets a budget. Reservations that took from it are settled with the others only.
    pub fn remove(&mut self, key: &Key) -> Option<Budget> {
        Some(self.budgets.remove(key)?.budget)
    }

    /// A budget, to be looked at.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Budget> {
        Some(&self.budgets.get(key)?.budget)
    }

    /// All budgets, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Budget)> {
        self.budgets.iter().map(|(key, entry)| (key, &entry.budget))
    }

    /// How many reservations are neither settled nor released.
    #[must_use]
    pub fn reservations(&self) -> usize {
        self.open.len()
    }

    /// What is spent of each budget in the window around `now`, to be kept over a restart.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Vec<(Key, Spent)> {
        let spent = |(key, budget): (&Key, &Budget)| (key.clone(), budget.spent(now));
        self.iter().map(spent).collect()
    }

    /// Reserves an amount in every named budget. A name without a budget has no limit; one that
    /// is given twice counts once.
    ///
    /// # Errors
    /// It does not fit into one of them; nothing is reserved then.
    pub fn reserve(
        &mut self,
        now: Timestamp,
        keys: impl IntoIterator<Item = Key>,
        amount: Usd,
    ) -> Result<ReservationId, BudgetExceeded<Key>> {
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        self.check(now, &keys, amount)?;
        Ok(self.take(now, keys, amount))
    }

    /// Whether an amount fits into every named budget.
    ///
    /// # Errors
    /// The one that it does not fit into.
    pub fn check<'a>(
        &self,
        now: Timestamp,
        keys: impl IntoIterator<Item = &'a Key>,
        amount: Usd,
    ) -> Result<(), BudgetExceeded<Key>>
    where
        Key: 'a,
    {
        let full = keys.into_iter().filter_map(|key| {
            let exceeded = self.get(key)?.check(now, amount).err()?;
            Some((key, exceeded))
        });
        let last = full.max_by_key(|(_, exceeded)| match exceeded.resets_at {
            Some(at) => (false, at),
            None => (true, Timestamp::default()),
        });
        last.map_or(Ok(()), |(key, exceeded)| {
            Err(BudgetExceeded {
                key: key.clone(),
                exceeded,
            })
        })
    }

    /// Reserves an amount in every named budget, whether or not it fits: for budgets that warn only.
    pub fn take(
        &mut self,
        now: Timestamp,
        keys: impl IntoIterator<Item = Key>,
        amount: Usd,
    ) -> ReservationId {
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        let hold = |key: Key| {
            let entry = self.budgets.get_mut(&key)?;
            Some(Part {
                key,
                number: entry.number,
                hold: entry.budget.hold(now, amount),
            })
        };
        let parts = keys.into_iter().filter_map(hold).collect();
        let id = ReservationId(self.next_number());
        self.open.insert(id, parts);
        id
    }

    /// Ends a reservation with what was spent in truth, in every budget that it took from. Says
    /// whether it was open: one that has ended changes nothing any more.
    pub fn settle(&mut self, now: Timestamp, id: ReservationId, used: Usd) -> bool {
        let Some(parts) = self.open.remove(&id) else {
            return false;
        };
        for Part { key, number, hold } in parts {
            if let Some(entry) = self.budgets.get_mut(&key)
                && entry.number == number
            {
                entry.budget.settle(now, hold, used);
            }
        }
        true
    }

    /// Ends a reservation of which nothing was spent. Says whether it was open.
    pub fn release(&mut self, now: Timestamp, id: ReservationId) -> bool {
        self.settle(now, id, Usd::ZERO)
    }

    fn insert(&mut self, key: Key, budget: Budget) {
        let number = self.next_number();
        self.budgets.insert(key, Entry { budget, number });
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
