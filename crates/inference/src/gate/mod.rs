//! The gate before the models: who may ask now, which deployment answers, what becomes of failures.
//!
//! A **flight** is one request of a caller, from its arrival to its only end. It makes **attempts**, each one
//! call of one deployment. The gate decides, by the moments that it is handed; whoever drives it makes the
//! calls and tells how they went. Records of money are emitted before the call that they pay for.
//!
//! A flight ends exactly once. Once a caller saw content of an answer, no other attempt may speak.

mod arrive;
mod call;
mod config;
mod configure;
mod deployment;
mod failure;
mod flight;
mod held;
mod ledger;
mod money;
mod pace;
mod say;
mod seek;
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
use flight::{Flight, Link};
use mainstay_contract::Timestamp;
use mainstay_resilience::{BudgetTree, RateLimit, Spent};
use seek::Freed;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// The gate.
#[derive(Debug)]
pub struct Gate {
    models: HashMap<Arc<str>, Route>,
    /// Deployments and endpoints keep their numbers while the process lives, also those that are no longer
    /// configured: their last calls end in peace.
    deployments: Vec<Deployment>,
    names: HashMap<Arc<str>, usize>,
    endpoints: Vec<Endpoint>,
    endpoint_names: HashMap<Arc<str>, usize>,
    keys: HashMap<Arc<str>, Key>,
    budgets: BTreeMap<BudgetKey, BudgetConfig>,
    /// Those of them that are not configured: of sessions, told by who asks.
    held: BTreeSet<BudgetKey>,
    /// With so many of them, those at rest are forgotten.
    held_max: usize,
    tree: BudgetTree<BudgetKey>,
    flights: HashMap<FlightId, Box<Flight>>,
    wakes: BTreeSet<(Timestamp, FlightId)>,
    effects: VecDeque<Effect>,
    /// What became free while something else was under way.
    freed: VecDeque<Freed>,
    /// Flights that wait for what others have reserved, by the budget, first come first.
    savers: BTreeMap<BudgetKey, BTreeSet<FlightId>>,
    next_flight: u64,
    next_call: u64,
    next_key: u64,
}

/// Who may answer for a model.
#[derive(Debug)]
struct Route {
    /// Its members, then those who stand in for them.
    links: Vec<Link>,
    members: usize,
}

/// A caller's key and what it uses.
#[derive(Debug)]
struct Key {
    /// Tells it from a later one of the same name.
    number: u64,
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
            endpoints: Vec::new(),
            endpoint_names: HashMap::new(),
            keys: HashMap::new(),
            budgets: BTreeMap::new(),
            held: BTreeSet::new(),
            held_max: held::AT_REST,
            tree: BudgetTree::default(),
            flights: HashMap::new(),
            wakes: BTreeSet::new(),
            effects: VecDeque::new(),
            freed: VecDeque::new(),
            savers: BTreeMap::new(),
            next_flight: 0,
            next_call: 0,
            next_key: 0,
        };
        gate.configure(now, config, |_, _| Spent::default());
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
            Input::Expired {
                flight,
                came,
                error,
            } => self.time_out(now, flight, came, error),
            Input::Ready {
                deployment,
                is_ready,
                retry_after,
                reason,
            } => self.set_ready(now, &deployment, is_ready, retry_after, reason),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
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
        self.wakes.first().map(|(at, _)| *at)
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }
}
