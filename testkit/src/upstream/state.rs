//! What the upstream remembers: requests by model, and what is in progress.

use super::playing::Ended;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests of one model that are kept.
const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct State {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    models: BTreeMap<String, Model>,
    attempts: HashMap<(String, String), u64>,
    connections: u64,
    health: Health,
    health_checks: u64,
}

/// How the upstream answers who asks for its health.
#[derive(Debug, Clone, Copy)]
pub(super) enum Health {
    Status(u16),
    Silence,
}

impl Default for Health {
    fn default() -> Self {
        Self::Status(200)
    }
}

#[derive(Debug, Default)]
struct Model {
    hits: u64,
    open: u64,
    left: u64,
    key: Option<String>,
    requests: VecDeque<Value>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; its number.
    pub(super) fn arrived(&self, model: &str, request: Value) -> u64 {
        let mut known = self.lock();
        let model = known.models.entry(model.to_owned()).or_default();
        model.hits += 1;
        if model.requests.len() == KEPT {
            model.requests.pop_front();
        }
        model.requests.push_back(request);
        model.hits
    }

    pub(super) fn begun(self: &Arc<Self>, model: &str) -> Flight {
        let mut known = self.lock();
        known.models.entry(model.to_owned()).or_default().open += 1;
        Flight {
            state: Arc::clone(self),
            model: model.to_owned(),
            is_over: false,
        }
    }

    /// Counts the requests of a key for a model.
    pub(super) fn attempt(&self, model: &str, key: &str) -> u64 {
        let mut known = self.lock();
        let count = known
            .attempts
            .entry((model.to_owned(), key.to_owned()))
            .or_default();
        *count += 1;
        *count
    }

    pub(super) fn is_key(&self, model: &str, key: &str) -> bool {
        let known = self.lock();
        known
            .models
            .get(model)
            .is_some_and(|model| model.key.as_deref() == Some(key))
    }

    pub(super) fn set_key(&self, model: &str, key: &str) {
        let mut known = self.lock();
        known.models.entry(model.to_owned()).or_default().key = Some(key.to_owned());
    }

    pub(super) fn set_health(&self, health: Health) {
        self.lock().health = health;
    }

    /// Counts a question for the health, and says how it is.
    pub(super) fn health_asked(&self) -> Health {
        let mut known = self.lock();
        known.health_checks += 1;
        known.health
    }

    pub(super) fn health_checks(&self) -> u64 {
        self.lock().health_checks
    }

    pub(super) fn hits(&self) -> BTreeMap<String, u64> {
        let known = self.lock();
        let hits = known.models.iter().filter(|(_, model)| model.hits > 0);
        hits.map(|(name, model)| (name.clone(), model.hits))
            .collect()
    }

    pub(super) fn requests(&self, model: &str) -> Vec<Value> {
        let known = self.lock();
        let requests = known
            .models
            .get(model)
            .map(|model| model.requests.iter().cloned().collect());
        requests.unwrap_or_default()
    }

    /// What is in progress, and how many requests were left before their end.
    pub(super) fn open(&self) -> Value {
        let known = self.lock();
        let count = |of: fn(&Model) -> u64| -> BTreeMap<&String, u64> {
            let counted = known.models.iter().map(|(name, model)| (name, of(model)));
            counted.filter(|(_, count)| *count > 0).collect()
        };
        json!({
            "connections": known.connections,
            "requests": known.models.values().map(|model| model.open).sum::<u64>(),
            "by_model": count(|model| model.open),
            "left": count(|model| model.left),
        })
    }

    pub(super) fn connected(self: &Arc<Self>) -> Connection {
        self.lock().connections += 1;
        Connection(Arc::clone(self))
    }
}

/// A connection that stands.
pub(super) struct Connection(Arc<State>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
    }
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct Flight {
    state: Arc<State>,
    model: String,
    is_over: bool,
}

impl Ended for Option<Flight> {
    fn ended(&mut self) {
        if let Some(flight) = self {
            flight.is_over = true;
        }
        *self = None;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut known = self.state.lock();
        if let Some(model) = known.models.get_mut(&self.model) {
            model.open -= 1;
            model.left += u64::from(!self.is_over);
        }
    }
}
