//! A second bookkeeping, from the ledger and from what the providers billed.

use super::given::CALL;
use mainstay_contract::{Timestamp, Usd};
use mainstay_inference::{
    Ask, AttemptId, BudgetAction, BudgetConfig, BudgetKey, DeploymentConfig, FlightId, GateConfig,
    LedgerEntry, Pricing, Spender, Tokens,
};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Accounts {
    budgets: BTreeMap<BudgetKey, (BudgetConfig, Account)>,
    /// Reserved and not yet settled, by the number of the call.
    reserved: BTreeMap<u64, Reserved>,
    /// The last entry, which a call has to follow at once.
    last: Option<u64>,
    calls: BTreeMap<AttemptId, Option<u64>>,
    prices: BTreeMap<AttemptId, bool>,
    /// What is yet to be settled, in order.
    billed: Vec<(AttemptId, Option<Tokens>)>,
    costs: BTreeMap<FlightId, u64>,
    settled: u64,
    numbers: u64,
}

#[derive(Debug, Default)]
struct Account {
    /// Tells an account from an earlier one under the same key.
    number: u64,
    window: Timestamp,
    spent: u64,
    reserved: u64,
}

#[derive(Debug)]
struct Reserved {
    usd: u64,
    parts: Vec<(BudgetKey, u64, Timestamp)>,
    /// What stood in these budgets before, with their limits.
    before: Vec<(u64, u64, u64)>,
}

impl Account {
    fn turn(&mut self, config: &BudgetConfig, now: Timestamp) {
        let window = config.period.start(now);
        if window > self.window {
            (self.window, self.spent, self.reserved) = (window, 0, 0);
        }
    }
}

impl Accounts {
    pub(crate) fn new(now: Timestamp, config: &GateConfig) -> Self {
        let mut accounts = Self::default();
        accounts.configure(now, config);
        accounts
    }

    pub(crate) fn configure(&mut self, now: Timestamp, config: &GateConfig) {
        let mut known = std::mem::take(&mut self.budgets);
        for (key, budget) in &config.budgets {
            let account = match known.remove(key) {
                Some((old, account)) if old.period == budget.period => account,
                other => {
                    self.numbers += 1;
                    let mut account = Account::default();
                    if let Some((old, known)) = other {
                        account = known;
                        account.turn(&old, now);
                    }
                    (account.number, account.reserved) = (self.numbers, 0);
                    account
                }
            };
            self.budgets.insert(key.clone(), (*budget, account));
        }
    }

    /// What a provider counted for a call that was open; absent where it counted nothing.
    pub(crate) fn bill(&mut self, attempt: AttemptId, tokens: Option<Tokens>) {
        self.billed.push((attempt, tokens));
    }

    pub(crate) fn record(&mut self, now: Timestamp, entry: LedgerEntry) {
        assert!(self.last.is_none(), "a reservation without its call");
        match entry {
            LedgerEntry::Reserved {
                call,
                spender,
                deployment,
                usd,
                at,
            } => {
                assert_eq!(at, now);
                let keys = keys(&spender, deployment);
                let mut reserved = Reserved {
                    usd: usd.nanos(),
                    parts: Vec::new(),
                    before: Vec::new(),
                };
                for key in keys {
                    let Some((config, account)) = self.budgets.get_mut(&key) else {
                        continue;
                    };
                    account.turn(config, now);
                    if config.action != BudgetAction::Warn {
                        let limit = config.limit.nanos();
                        reserved
                            .before
                            .push((account.spent, account.reserved, limit));
                    }
                    account.reserved += reserved.usd;
                    reserved.parts.push((key, account.number, account.window));
                }
                assert!(!reserved.parts.is_empty());
                assert!(self.reserved.insert(call, reserved).is_none());
                self.last = Some(call);
            }
            LedgerEntry::Settled {
                call, usd, tokens, ..
            } => self.settle(now, call, usd, tokens),
        }
    }

    fn settle(&mut self, now: Timestamp, call: u64, usd: Usd, tokens: Tokens) {
        let reserved = self.reserved.remove(&call);
        let of_call = |(attempt, counted): &(AttemptId, Option<Tokens>)| {
            let number = self.calls.get(attempt);
            let is_it = match reserved {
                Some(_) => number == Some(&Some(call)),
                None => number == Some(&None),
            };
            is_it && counted.unwrap_or_default() == tokens
        };
        let place = self.billed.iter().position(of_call).unwrap();
        let (attempt, counted) = self.billed.remove(place);
        let is_priced = self.prices[&attempt];
        if counted.is_some() && is_priced {
            assert_eq!(usd.nanos(), tokens.total() * 1_000);
        }
        if counted.is_none() {
            let expected = reserved.as_ref().map_or(0, |reserved| reserved.usd);
            assert!(usd.nanos() == expected || !is_priced || reserved.is_none());
        }
        *self.costs.entry(attempt.flight).or_default() += usd.nanos();
        self.settled += usd.nanos();
        let Some(reserved) = reserved else { return };
        for (key, number, window) in reserved.parts {
            let Some((config, account)) = self.budgets.get_mut(&key) else {
                continue;
            };
            account.turn(config, now);
            if account.number == number && account.window == window {
                account.reserved -= reserved.usd;
                account.spent += usd.nanos();
            }
        }
    }

    /// A call is made, after what pays for it was written down.
    pub(crate) fn called(&mut self, attempt: AttemptId, ask: &Ask, settings: &DeploymentConfig) {
        let call = self.last.take();
        self.calls.insert(attempt, call);
        let is_priced = matches!(settings.pricing, Pricing::Known(_));
        self.prices.insert(attempt, is_priced);
        let Some(call) = call else { return };
        let reserved = &self.reserved[&call];
        if let Some(output) = ask.output_tokens_max {
            assert_eq!(reserved.usd, (ask.input_tokens + output) * (CALL / 100));
        }
        for (spent, held, limit) in &reserved.before {
            let fits = spent + held + reserved.usd <= *limit || reserved.usd == 0;
            let is_last = ask.output_tokens_max.is_none() && *held == 0 && spent < limit;
            assert!(fits || is_last, "{spent} {held} {limit} {}", reserved.usd);
        }
    }

    pub(crate) fn cost(&self, flight: FlightId) -> Usd {
        Usd::from_nanos(self.costs.get(&flight).copied().unwrap_or_default())
    }

    /// Whatever was reserved is settled, and whatever was billed is written down.
    pub(crate) fn assert_balanced(&self) {
        assert!(self.reserved.is_empty() && self.last.is_none());
        let nothing = |(_, counted): &(AttemptId, Option<Tokens>)| {
            counted.unwrap_or_default() == Tokens::default()
        };
        assert!(self.billed.iter().all(nothing), "{:?}", self.billed);
        assert_eq!(self.costs.values().sum::<u64>(), self.settled);
    }
}

fn keys(spender: &Spender, deployment: std::sync::Arc<str>) -> Vec<BudgetKey> {
    let mut keys = vec![BudgetKey::Deployment(deployment)];
    keys.extend(spender.key.iter().cloned().map(BudgetKey::Key));
    keys.extend(spender.agent.iter().cloned().map(BudgetKey::Agent));
    keys.extend(spender.sessions.iter().cloned().map(BudgetKey::Session));
    keys.sort();
    keys.dedup();
    keys
}
