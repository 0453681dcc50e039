//! Money per window: reserved before a call, settled after it.
//!
//! What is spent counts in the window in which it was reserved. So a call that outlasts its window
//! takes nothing from the next one, and a new window begins with nothing reserved. What a call
//! costs above its reservation is recorded all the same: an overshoot, which later calls meet.

use crate::period::BudgetPeriod;
use mainstay_contract::{Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// What was spent in a window, to be kept over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// When the window began.
    pub window_start: Timestamp,
    /// What was settled in it.
    pub amount: Usd,
}

/// The reservation would go above the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{asked} USD asked for, {spent} spent and {reserved} reserved of {limit}")]
pub struct Exceeded {
    /// What was asked for.
    pub asked: Usd,
    /// What is spent in this window.
    pub spent: Usd,
    /// What others have reserved in this window.
    pub reserved: Usd,
    /// What may be spent in a window.
    pub limit: Usd,
    /// When the next window begins; never if absent.
    pub resets_at: Option<Timestamp>,
}

/// What one call has reserved, until [`Budget::settle`] or [`Budget::release`] takes it back.
#[must_use = "a reservation that is not settled stays until its window ends"]
#[derive(Debug, PartialEq, Eq)]
pub struct Hold {
    window_start: Timestamp,
    amount: Usd,
}

/// A limit of spending in each window of a period.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: Usd,
    period: BudgetPeriod,
    spent: Spent,
    reserved: Usd,
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(limit: Usd, period: BudgetPeriod) -> Self {
        Self::restored(limit, period, Spent::default())
    }

    /// A budget as [`Self::spent`] left it. A window that is over by now has no influence; one
    /// of another period counts until that other window of `period` begins.
    #[must_use]
    pub fn restored(limit: Usd, period: BudgetPeriod, spent: Spent) -> Self {
        Self {
            limit,
            period,
            spent,
            reserved: Usd::ZERO,
        }
    }

    /// Reserves an amount. Nothing can always be reserved, also from a budget that is used up, so
    /// that what costs nothing goes on.
    ///
    /// # Errors
    /// The amount does not fit into what is left; nothing is reserved then.
    pub fn reserve(&mut self, now: Timestamp, amount: Usd) -> Result<Hold, Exceeded> {
        self.check(now, amount)?;
        Ok(self.hold(now, amount))
    }

    /// Whether [`Self::reserve`] would succeed; reserves nothing.
    ///
    /// # Errors
    /// The amount does not fit into what is left.
    pub fn check(&self, now: Timestamp, amount: Usd) -> Result<(), Exceeded> {
        if amount == Usd::ZERO || amount <= self.left(now) {
            return Ok(());
        }
        Err(Exceeded {
            asked: amount,
            spent: self.spent(now).amount,
            reserved: self.reserved(now),
            limit: self.limit,
            resets_at: self.resets_at(now),
        })
    }

    /// Ends a reservation with what was spent in truth.
    pub fn settle(&mut self, now: Timestamp, hold: Hold, used: Usd) {
        self.turn_to(now);
        if hold.window_start == self.spent.window_start {
            self.reserved = self.reserved.minus(hold.amount);
            self.spent.amount = self.spent.amount.plus(used);
        }
    }

    /// Ends a reservation of which nothing was spent.
    pub fn release(&mut self, now: Timestamp, hold: Hold) {
        self.settle(now, hold, Usd::ZERO);
    }

    /// What is spent in the window around `now`, to be shown or kept.
    #[must_use]
    pub fn spent(&self, now: Timestamp) -> Spent {
        let window_start = self.period.start(now);
        if window_start > self.spent.window_start {
            return Spent {
                window_start,
                amount: Usd::ZERO,
            };
        }
        self.spent
    }

    /// What is reserved in the window around `now`.
    #[must_use]
    pub fn reserved(&self, now: Timestamp) -> Usd {
        if self.period.start(now) > self.spent.window_start {
            return Usd::ZERO;
        }
        self.reserved
    }

    /// What may yet be reserved in the window around `now`.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Usd {
        let spent = self.spent(now).amount;
        self.limit.minus(spent).minus(self.reserved(now))
    }

    /// What may be spent in a window.
    #[must_use]
    pub fn limit(&self) -> Usd {
        self.limit
    }

    /// How often it begins anew.
    #[must_use]
    pub fn period(&self) -> BudgetPeriod {
        self.period
    }

    /// When the window around `now` ends; never if absent.
    #[must_use]
    pub fn resets_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.period.end(now.max(self.spent.window_start))
    }

    /// Another limit from now on. What is spent and reserved stays.
    pub fn set_limit(&mut self, limit: Usd) {
        self.limit = limit;
    }

    /// Reserves without asking whether it fits.
    pub(crate) fn hold(&mut self, now: Timestamp, amount: Usd) -> Hold {
        self.turn_to(now);
        self.reserved = self.reserved.plus(amount);
        Hold {
            window_start: self.spent.window_start,
            amount,
        }
    }

    /// Begins a new window where `now` lies in one. Never turns back: a clock that was set back
    /// must not make a used budget new.
    fn turn_to(&mut self, now: Timestamp) {
        self.reserved = self.reserved(now);
        self.spent = self.spent(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USD: fn(u64) -> Usd = Usd::from_nanos;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn an_overshoot_is_recorded_and_met_until_the_window_ends() {
        let mut budget = Budget::new(USD(100), BudgetPeriod::Hour);
        let hold = budget.reserve(Timestamp(HOUR), USD(60)).unwrap();
        assert_eq!(budget.left(Timestamp(HOUR)), USD(40));
        let exceeded = Exceeded {
            asked: USD(41),
            spent: USD(0),
            reserved: USD(60),
            limit: USD(100),
            resets_at: Some(Timestamp(2 * HOUR)),
        };
        assert_eq!(budget.reserve(Timestamp(HOUR + 1), USD(41)), Err(exceeded));
        budget.settle(Timestamp(HOUR + 2), hold, USD(130));
        assert_eq!(budget.spent(Timestamp(HOUR + 2)).amount, USD(130));
        assert!(budget.check(Timestamp(2 * HOUR - 1), USD(1)).is_err());
        assert_eq!(budget.check(Timestamp(2 * HOUR - 1), USD(0)), Ok(()));
        assert_eq!(budget.check(Timestamp(2 * HOUR), USD(100)), Ok(()));
    }

    #[test]
    fn a_call_counts_where_it_was_reserved() {
        let mut budget = Budget::new(USD(100), BudgetPeriod::Hour);
        let late = budget.reserve(Timestamp(HOUR), USD(60)).unwrap();
        let released = budget.reserve(Timestamp(2 * HOUR), USD(100)).unwrap();
        budget.settle(Timestamp(2 * HOUR + 1), late, USD(60));
        assert_eq!(budget.spent(Timestamp(2 * HOUR + 1)).amount, USD(0));
        assert_eq!(budget.reserved(Timestamp(2 * HOUR + 1)), USD(100));
        budget.release(Timestamp(2 * HOUR + 2), released);
        assert_eq!(budget.left(Timestamp(2 * HOUR + 2)), USD(100));
    }

    #[test]
    fn spending_outlives_a_restart_and_a_clock_set_back() {
        let mut budget = Budget::new(USD(100), BudgetPeriod::Day);
        let now = Timestamp(1_700_000_000_000);
        let hold = budget.reserve(now, USD(90)).unwrap();
        budget.settle(now, hold, USD(90));
        let kept = serde_json::to_string(&budget.spent(now)).unwrap();
        let kept: Spent = serde_json::from_str(&kept).unwrap();
        let budget = Budget::restored(USD(100), BudgetPeriod::Day, kept);
        assert_eq!(budget.left(now), USD(10));
        assert_eq!(budget.left(Timestamp(0)), USD(10));
        assert_eq!(
            budget.left(now.after(std::time::Duration::from_secs(86_400))),
            USD(100)
        );
    }
}
