//! Exchanging the configuration while flights are on their way.

use super::deployment::{self, Deployment, Endpoint};
use super::flight::{Classes, Flight, Link, State};
use super::seek::Freed;
use super::{BudgetConfig, BudgetKey, DeploymentConfig, Gate, GateConfig, Key, KeyConfig};
use super::{ModelConfig, Route};
use mainstay_contract::Timestamp;
use mainstay_resilience::{BudgetPeriod, Spent};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

impl Gate {
    /// Exchanges the configuration. What is in use stays so: what was spent, limits that are used up,
    /// breakers that are open, flights on their way. Flights that wait for a deployment that is gone go on
    /// to the next of their chain. Where deployments of one endpoint disagree about its breaker, the first
    /// by name decides. `past` knows what a budget that is new had spent in the window around `now`.
    pub fn configure(
        &mut self,
        now: Timestamp,
        config: GateConfig,
        past: impl Fn(&BudgetKey, BudgetPeriod) -> Spent,
    ) {
        let deployments: BTreeMap<_, _> = config.deployments.into_iter().collect();
        self.configure_endpoints(&deployments);
        self.configure_deployments(now, deployments);
        let is_present = |at: usize| !self.deployments[at].is_removed;
        let present = self.names.iter().filter(|(_, at)| is_present(**at));
        let present = present.map(|(name, at)| (Arc::clone(name), *at)).collect();
        let models = config.models.into_iter();
        self.models = models
            .map(|(name, model)| (name, route(&present, &model)))
            .collect();
        let mut keys = HashMap::with_capacity(config.keys.len());
        for (name, settings) in config.keys {
            let known = self.keys.remove(&name);
            self.next_key += 1;
            keys.insert(name, Key::configured(now, known, self.next_key, settings));
        }
        self.keys = keys;
        self.configure_budgets(now, config.budgets, past);
        self.reconsider(now, |state| state == State::Saving);
        self.let_in(now);
    }

    fn configure_endpoints(&mut self, deployments: &BTreeMap<Arc<str>, DeploymentConfig>) {
        let mut breakers = BTreeMap::new();
        for settings in deployments.values() {
            let breaker = breakers.entry(&settings.endpoint);
            breaker.or_insert(settings.breaker);
        }
        for (name, breaker) in breakers {
            match self.endpoint_names.get(name) {
                Some(&at) => self.endpoints[at].configure(breaker),
                None => {
                    let at = self.endpoints.len();
                    self.endpoint_names.insert(Arc::clone(name), at);
                    self.endpoints.push(Endpoint::new(breaker));
                }
            }
        }
    }

    fn configure_deployments(
        &mut self,
        now: Timestamp,
        deployments: BTreeMap<Arc<str>, DeploymentConfig>,
    ) {
        for deployment in &mut self.deployments {
            deployment.is_removed |= !deployments.contains_key(&deployment.name);
        }
        for (name, settings) in deployments {
            let endpoint = self.endpoint_names.get(&settings.endpoint).copied();
            let endpoint = endpoint.unwrap_or_default();
            match self.names.get(&name) {
                Some(&at) => {
                    let admitted = self.deployments[at].configure(now, endpoint, settings);
                    let admitted = admitted.into_iter();
                    self.freed
                        .extend(admitted.map(|seat| Freed::Place(at, seat)));
                    self.freed.push_back(Freed::Line(at));
                }
                None => {
                    let at = self.deployments.len();
                    self.names.insert(Arc::clone(&name), at);
                    self.deployments
                        .push(Deployment::new(name, endpoint, settings));
                }
            }
        }
    }

    /// Sessions that are held to a budget stay so.
    fn configure_budgets(
        &mut self,
        now: Timestamp,
        mut budgets: BTreeMap<BudgetKey, BudgetConfig>,
        past: impl Fn(&BudgetKey, BudgetPeriod) -> Spent,
    ) {
        self.held.retain(|key| !budgets.contains_key(key));
        for key in &self.held {
            budgets.extend(
                self.budgets
                    .get_key_value(key)
                    .map(|(key, budget)| (key.clone(), *budget)),
            );
        }
        for key in self
            .budgets
            .keys()
            .filter(|key| !budgets.contains_key(*key))
        {
            self.tree.remove(key);
        }
        for (key, budget) in &budgets {
            let (limit, period) = (budget.limit, budget.period);
            let spent = match self.tree.get(key) {
                Some(known) if known.period() == period => {
                    self.tree.set(key.clone(), limit, period);
                    continue;
                }
                // What was spent counts on, also where the new window reaches back further.
                Some(known) => {
                    let (past, known) = (past(key, period), known.spent(now));
                    if past.amount > known.amount {
                        past
                    } else {
                        known
                    }
                }
                None => past(key, period),
            };
            self.tree.restore(key.clone(), limit, period, spent);
        }
        self.budgets = budgets;
    }

    /// Whether a deployment is ready. Who waits for one that is not goes on to the next of its chain.
    pub(super) fn set_ready(
        &mut self,
        now: Timestamp,
        name: &Arc<str>,
        is_ready: bool,
        retry_after: Option<Duration>,
        reason: String,
    ) {
        let Some(&at) = self.names.get(name) else {
            return;
        };
        let deployment = &mut self.deployments[at];
        deployment.ready_again = retry_after.map_or(Timestamp(0), |after| now.after(after));
        deployment.unready_for = reason;
        let was_ready = std::mem::replace(&mut deployment.is_ready, is_ready);
        if was_ready && !is_ready {
            self.reconsider(now, |_| false);
            self.let_in(now);
        }
    }

    /// Lets those go on who wait for a deployment that takes nobody, and others in such a state.
    fn reconsider(&mut self, now: Timestamp, others: impl Fn(State) -> bool) {
        let is_stuck = |flight: &Flight| {
            flight.state != State::Calling && !self.deployments[flight.deployment()].is_open()
        };
        let mut waiting: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| others(flight.state) || is_stuck(flight))
            .map(|(id, flight)| (*id, flight.state))
            .collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
        for (id, state) in waiting {
            match state {
                State::Saving | State::Resting => {
                    self.stop_saving(id);
                    self.seek(now, id, None);
                }
                State::Queued | State::Held | State::Calling => self.resume(now, id),
            }
        }
    }
}

impl Key {
    fn configured(now: Timestamp, known: Option<Self>, number: u64, config: KeyConfig) -> Self {
        let known = known.map(|key| (key.number, key.requests, key.tokens, key.active));
        let (number, requests, tokens, active) = known.unwrap_or((number, None, None, 0));
        Self {
            number,
            requests: deployment::rate(now, requests, config.limits.requests),
            tokens: deployment::rate(now, tokens, config.limits.tokens),
            active,
            config,
        }
    }
}

/// The chain of a model. One that stands in for itself does so once.
fn route(names: &HashMap<Arc<str>, usize>, model: &ModelConfig) -> Route {
    let members = model.members.iter().filter_map(|member| {
        Some(Link {
            deployment: *names.get(&member.deployment)?,
            weight: member.weight,
            on: Classes::ALL,
            is_spent: false,
        })
    });
    let mut links: Vec<_> = members.collect();
    let members = links.len();
    for fallback in &model.fallback {
        let Some(&deployment) = names.get(&fallback.deployment) else {
            continue;
        };
        let mut known = links.iter().take(members);
        if !known.any(|link| link.deployment == deployment) {
            links.push(Link {
                deployment,
                weight: 0,
                on: Classes::of(&fallback.on),
                is_spent: false,
            });
        }
    }
    Route { links, members }
}
