//! Whether a call can be paid for. It has to fit into every budget that it falls under; where it does not
//! because of what others have reserved, it waits for these to settle.

use super::flight::{Flight, State};
use super::seek::Freed;
use super::{BudgetAction, BudgetKey, FlightId, Gate, Pricing};
use crate::InferenceError;
use mainstay_contract::{Timestamp, Usd};
use mainstay_resilience::Exceeded;
use std::time::Duration;

/// How long a flight waits at least for others' calls to settle: most take no longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a call can be paid for.
pub(super) enum Payment {
    /// From these budgets, now.
    Possible(Purse),
    /// Perhaps later.
    Later(Delay),
    /// No.
    Never(InferenceError),
}

/// What is to be reserved.
#[derive(Debug, Default)]
pub(super) struct Purse {
    pub(super) budgets: Vec<BudgetKey>,
    pub(super) usd: Usd,
}

/// What a flight without money waits for.
pub(super) enum Delay {
    /// For others to settle, until then at the latest.
    Settlements(BudgetKey, Timestamp),
    /// For the next window, which begins then.
    Window(Timestamp),
}

/// What a budget that is too small says.
enum Verdict {
    Pass,
    Settlements(Timestamp),
    Window(Timestamp),
    Refused,
}

impl Gate {
    pub(super) fn payment(&self, now: Timestamp, flight: &mut Flight, at: usize) -> Payment {
        if self.budgets.is_empty() || matches!(self.deployments[at].config.pricing, Pricing::Free) {
            return Payment::Possible(Purse::default());
        }
        let budgets = self.counting(flight, at);
        let Some(first) = budgets.first() else {
            return Payment::Possible(Purse::default());
        };
        let Some(usd) = self.reservation(flight, at) else {
            return Payment::Never(InferenceError::PriceUnknown {
                origin: self.origin(at),
                budget: first.to_string(),
            });
        };
        let mut later = None;
        let mut refused: Option<(&BudgetKey, Exceeded)> = None;
        for key in &budgets {
            let (Some(config), Some(budget)) = (self.budgets.get(key), self.tree.get(key)) else {
                continue;
            };
            let Err(exceeded) = budget.check(now, usd) else {
                continue;
            };
            if config.action == BudgetAction::Warn {
                flight.warn(format!("the budget of {key} is used up"));
                continue;
            }
            match self.verdict(now, flight, at, config.action, &exceeded) {
                Verdict::Pass => {}
                Verdict::Settlements(until) => {
                    later.get_or_insert_with(|| Delay::Settlements(key.clone(), until));
                }
                Verdict::Window(resets) => {
                    let resets = match later {
                        Some(Delay::Window(other)) => resets.max(other),
                        _ => resets,
                    };
                    later = Some(Delay::Window(resets));
                }
                Verdict::Refused => {
                    let is_longer = refused
                        .as_ref()
                        .is_none_or(|(_, known)| rank(exceeded.resets_at) > rank(known.resets_at));
                    if is_longer {
                        refused = Some((key, exceeded));
                    }
                }
            }
        }
        match (refused, later) {
            (Some((key, exceeded)), _) => Payment::Never(self.exceeded(at, key, &exceeded)),
            (None, Some(delay)) => Payment::Later(delay),
            (None, None) => Payment::Possible(Purse { budgets, usd }),
        }
    }

    fn verdict(
        &self,
        now: Timestamp,
        flight: &Flight,
        at: usize,
        action: BudgetAction,
        exceeded: &Exceeded,
    ) -> Verdict {
        let Exceeded {
            asked,
            spent,
            reserved,
            limit,
            resets_at,
        } = *exceeded;
        // Who names no bound may be the last: nobody else is under way, and something is left.
        let is_bound = flight.ask.output_tokens_max.is_some();
        let may_fit = |spent: Usd| spent.plus(asked) <= limit || (!is_bound && spent < limit);
        if reserved == Usd::ZERO && may_fit(spent) {
            return Verdict::Pass;
        }
        let patience = self.deployments[at].config.limits.queue_timeout;
        let end = flight.in_time(flight.since.after(patience.max(PATIENCE)));
        if may_fit(spent) && now < end {
            let until = resets_at.map_or(end, |resets| resets.min(end));
            return Verdict::Settlements(until);
        }
        match resets_at {
            Some(resets)
                if action == BudgetAction::Throttle
                    && may_fit(Usd::ZERO)
                    && flight.ask.deadline.is_none_or(|deadline| resets < deadline) =>
            {
                Verdict::Window(resets)
            }
            _ => Verdict::Refused,
        }
    }

    fn exceeded(&self, at: usize, key: &BudgetKey, exceeded: &Exceeded) -> InferenceError {
        InferenceError::BudgetExceeded {
            origin: self.origin(at),
            deployment: self.deployments[at].name.to_string(),
            budget: key.to_string(),
            limit: exceeded.limit,
            spent: exceeded.spent,
            reserved: exceeded.reserved,
            resets_at_unix_ms: exceeded.resets_at.map(|at| at.0),
        }
    }

    /// The budgets that a call falls under.
    fn counting(&self, flight: &Flight, at: usize) -> Vec<BudgetKey> {
        let mut keys = flight.ask.spender.budgets(&self.deployments[at].name);
        keys.retain(|key| self.budgets.contains_key(key));
        keys
    }

    fn expected_output(&self, flight: &Flight, at: usize) -> u64 {
        let usual = || self.deployments[at].usual_output();
        flight.ask.output_tokens_max.unwrap_or_else(usual)
    }

    pub(super) fn expected_tokens(&self, flight: &Flight, at: usize) -> u64 {
        let output = self.expected_output(flight, at);
        flight.ask.input_tokens.saturating_add(output)
    }

    /// What a call may cost; nothing where nobody knows.
    fn reservation(&self, flight: &Flight, at: usize) -> Option<Usd> {
        match &self.deployments[at].config.pricing {
            Pricing::Known(price) => {
                let output = self.expected_output(flight, at);
                let input = flight.ask.input_tokens;
                Some(match flight.ask.has_audio {
                    true => price.worst_case(input, output),
                    false => price.worst_case_without_audio(input, output),
                })
            }
            Pricing::Free => Some(Usd::ZERO),
            Pricing::Unknown => None,
        }
    }

    /// Lets a flight wait for money. It has no place.
    pub(super) fn save_up(&mut self, id: FlightId, flight: &mut Flight, delay: Delay) {
        flight.state = State::Saving;
        let until = match delay {
            Delay::Settlements(key, until) => {
                self.savers.entry(key.clone()).or_default().insert(id);
                flight.saving_for = Some(key);
                until
            }
            Delay::Window(until) => {
                flight.since = until;
                until
            }
        };
        self.set_wake(id, flight, Some(until));
    }

    pub(super) fn stop_saving(&mut self, id: FlightId) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if let Some(key) = flight.saving_for.take() {
            self.remove_saver(&key, id);
        }
    }

    pub(super) fn remove_saver(&mut self, key: &BudgetKey, id: FlightId) {
        if let Some(savers) = self.savers.get_mut(key) {
            savers.remove(&id);
            if savers.is_empty() {
                self.savers.remove(key);
            }
        }
    }

    /// Tells those who wait for these budgets of a settlement.
    pub(super) fn tell_savers(&mut self, flight: &Flight, at: usize) {
        if self.savers.is_empty() {
            return;
        }
        for key in flight.ask.spender.budgets(&self.deployments[at].name) {
            if self.savers.contains_key(&key) {
                self.freed.push_back(Freed::Money(key));
            }
        }
    }

    /// Lets the first of those who wait for a budget try again; the next only where that one goes on.
    pub(super) fn money_freed(&mut self, now: Timestamp, key: &BudgetKey) {
        let savers = self.savers.get(key);
        let Some(&id) = savers.and_then(|savers| savers.first()) else {
            return;
        };
        self.stop_saving(id);
        self.seek(now, id, None);
        let flight = self.flights.get(&id);
        let is_back = flight.is_some_and(|flight| flight.saving_for.as_ref() == Some(key));
        if !is_back && self.savers.contains_key(key) {
            self.freed.push_back(Freed::Money(key.clone()));
        }
    }
}

/// Never is later than any time.
fn rank(resets_at: Option<Timestamp>) -> (bool, Option<Timestamp>) {
    (resets_at.is_none(), resets_at)
}
