//! The gate before the models: who may ask now, which deployment answers, what becomes of failures.
//!
//! A **flight** is one request of a caller, from its arrival to its only end. It makes **attempts**, each one
//! call of one deployment. The gate decides, by the moments that it is handed; whoever drives it makes the
//! calls and tells how they went. Records of money are emitted before the call that they pay for.
//!
//! A flight ends exactly once. Once a caller saw content of an answer, no other attempt may speak.

mod admission;
mod config;
mod deployment;
mod failure;
mod flight;
mod ledger;
mod say;
mod settle;
mod view;

pub use config::{
    BudgetAction, BudgetConfig, DeploymentConfig, FailureClass, Fallback, GateConfig, Hedge,
    KeyConfig, Limits, Member, ModelConfig, Pricing,
};
pub use failure::GateError;
pub use flight::{Ask, AttemptId, FlightId};
pub use ledger::{BudgetKey, LedgerEntry, Spender};
pub use say::{Effect, Ending, Input, Outcome, Success};
pub use view::{BudgetView, DeploymentView};

use deployment::{Deployment, Endpoint};
use flight::Flight;
use mainstay_contract::Timestamp;
use mainstay_resilience::{BudgetTree, RateLimit};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The gate.
#[derive(Debug)]
pub struct Gate {
    models: HashMap<Arc<str>, ModelConfig>,
    /// Deployments keep their number while the process lives; one that is no longer configured is not in
    /// `names`, and its last flights end in peace.
    deployments: Vec<Deployment>,
    names: HashMap<Arc<str>, usize>,
    endpoints: HashMap<Arc<str>, Endpoint>,
    keys: HashMap<Arc<str>, Key>,
    budgets: BTreeMap<BudgetKey, BudgetConfig>,
    tree: BudgetTree<BudgetKey>,
    flights: HashMap<FlightId, Flight>,
    wakes: BTreeSet<(Timestamp, FlightId)>,
    effects: VecDeque<Effect>,
    /// Flights that got a place while something else was under way.
    admissions: VecDeque<(usize, FlightId)>,
    /// Flights that wait for what others have reserved, first come first.
    budget_waiters: BTreeSet<FlightId>,
    is_money_freed: bool,
    next_flight: u64,
    next_call: u64,
}

/// A caller's key and what it uses.
#[derive(Debug)]
struct Key {
    config: KeyConfig,
    requests: Option<RateLimit>,
    tokens: Option<RateLimit>,
    active: usize,
}

impl Gate {
    /// A gate of which nothing is in use.
    #[must_use]
    pub fn new(now: Timestamp, config: GateConfig) -> Self {
        let mut gate = Self {
            models: HashMap::new(),
            deployments: Vec::new(),
            names: HashMap::new(),
            endpoints: HashMap::new(),
            keys: HashMap::new(),
            budgets: BTreeMap::new(),
            tree: BudgetTree::default(),
            flights: HashMap::new(),
            wakes: BTreeSet::new(),
            effects: VecDeque::new(),
            admissions: VecDeque::new(),
            budget_waiters: BTreeSet::new(),
            is_money_freed: false,
            next_flight: 0,
            next_call: 0,
        };
        gate.configure(now, config);
        gate
    }

    /// The id for the next flight.
    pub fn next_id(&mut self) -> FlightId {
        self.next_flight += 1;
        FlightId(self.next_flight)
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Asked { flight, ask } => self.arrive(now, flight, ask),
            Input::Content { attempt } => self.commit(now, attempt),
            Input::Ended { attempt, outcome } => self.end_attempt(now, attempt, outcome),
            Input::Left { flight, came } => self.leave(now, flight, came),
            Input::Ready {
                deployment,
                is_ready,
            } => self.set_ready(now, &deployment, is_ready),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        for at in 0..self.deployments.len() {
            for flight in self.deployments[at].queue.expire(now) {
                self.queue_expired(now, at, flight);
            }
        }
        while let Some(&(at, flight)) = self.wakes.first() {
            if at > now {
                break;
            }
            self.wakes.remove(&(at, flight));
            self.wake(now, flight);
        }
        self.let_in(now);
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let queues = self
            .deployments
            .iter()
            .filter_map(|deployment| deployment.queue.poll_timeout());
        let wake = self.wakes.first().map(|(at, _)| *at);
        queues.chain(wake).min()
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Exchanges the configuration. What is in use stays so: what was spent, limits that are used up,
    /// breakers that are open, flights on their way.
    pub fn configure(&mut self, now: Timestamp, config: GateConfig) {
        let mut admitted = Vec::new();
        let mut names = HashMap::new();
        for (name, settings) in config.deployments {
            let endpoint = Arc::clone(&settings.endpoint);
            let known = self.endpoints.entry(endpoint);
            known
                .and_modify(|endpoint| endpoint.configure(settings.breaker))
                .or_insert_with(|| Endpoint::new(settings.breaker));
            match self.names.get(&name) {
                Some(&at) => {
                    let came = self.deployments[at].configure(now, settings);
                    admitted.extend(came.into_iter().map(|flight| (at, flight)));
                    names.insert(name, at);
                }
                None => {
                    names.insert(Arc::clone(&name), self.deployments.len());
                    self.deployments.push(Deployment::new(name, settings));
                }
            }
        }
        self.names = names;
        self.models = config.models;
        let mut keys = HashMap::new();
        for (name, settings) in config.keys {
            let known = self.keys.remove(&name);
            keys.insert(name, Key::configured(now, known, settings));
        }
        self.keys = keys;
        let gone: Vec<_> = self.tree.iter().map(|(key, _)| key.clone()).collect();
        for key in gone.iter().filter(|key| !config.budgets.contains_key(*key)) {
            self.tree.remove(key);
        }
        for (key, budget) in &config.budgets {
            self.tree.set(key.clone(), budget.limit, budget.period);
        }
        self.budgets = config.budgets;
        self.admissions.extend(admitted);
        self.let_in(now);
    }
}

impl Key {
    fn configured(now: Timestamp, known: Option<Self>, config: KeyConfig) -> Self {
        let known = known.map(|key| (key.requests, key.tokens, key.active));
        let (requests, tokens, active) = known.unwrap_or_default();
        Self {
            requests: deployment::rate(now, requests, config.limits.requests),
            tokens: deployment::rate(now, tokens, config.limits.tokens),
            active,
            config,
        }
    }
}
