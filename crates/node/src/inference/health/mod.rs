//! Servers that are asked whether they take requests, each by a task of its own for as long as its model is in
//! the manifest.

mod course;

pub use course::{HealthFailure, HealthState, HealthStatus};

use crate::clock;
use course::Course;
use mainstay_contract::Timestamp;
use mainstay_gateway::Gateway;
use mainstay_manifest::HealthCheck;
use mainstay_providers::{HealthProbe, ProbeError};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long a start waits for the first answers of the servers.
const FIRST: Duration = Duration::from_secs(2);

/// A server that is to be asked.
pub(super) struct Asked {
    pub(super) probe: HealthProbe,
    pub(super) check: HealthCheck,
    /// Where its API begins: another server has another health.
    pub(super) base_url: String,
}

/// Those who ask, by the model.
pub(super) struct Probers {
    /// Absent once the node ends.
    running: Mutex<Option<BTreeMap<Arc<str>, Prober>>>,
    failed: Family<Failed, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    model: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    model: String,
}

/// One who asks. It ends with this.
struct Prober {
    asked: Arc<Asked>,
    health: Arc<Health>,
    /// Absent before it begins.
    task: Option<AbortHandle>,
}

/// What is known of a server, as long as anybody wants to know.
struct Health {
    course: Mutex<Option<Course>>,
    is_known: watch::Sender<bool>,
}

impl Default for Probers {
    fn default() -> Self {
        Self {
            running: Mutex::new(Some(BTreeMap::new())),
            failed: Family::default(),
        }
    }
}

impl Probers {
    /// Takes over whom to ask. Who is not to be asked in this way any more is told of no more when this
    /// returns; new ones are asked from [`Self::begin`] on. Returns those of whom nothing is known.
    pub(super) fn exchange(&self, wanted: &BTreeMap<Arc<str>, Arc<Asked>>) -> Vec<Arc<str>> {
        let mut anew = Vec::new();
        let mut running = self.lock();
        let Some(running) = &mut *running else {
            return anew;
        };
        let mut before = std::mem::take(running);
        for (name, asked) in wanted {
            let prober = match before.remove(name) {
                Some(known) if Arc::ptr_eq(&known.asked, asked) => known,
                known => {
                    let course = known.and_then(|known| known.course_for(asked));
                    if course.is_none() {
                        anew.push(Arc::clone(name));
                    }
                    Prober::new(asked, course)
                }
            };
            running.insert(Arc::clone(name), prober);
        }
        anew
    }

    /// Lets those ask who do not yet. The gateway knows their models.
    pub(super) fn begin(&self, gateway: &Gateway) {
        for (name, prober) in self.lock().iter_mut().flatten() {
            if prober.task.is_none() {
                let asking = Asking {
                    name: Arc::clone(name),
                    asked: Arc::clone(&prober.asked),
                    health: Arc::clone(&prober.health),
                    gateway: gateway.clone(),
                    failed: self.failed.clone(),
                };
                prober.task = Some(tokio::spawn(asking.run()).abort_handle());
            }
        }
    }

    /// Waits until every server was asked once, but not for long: who asks at once is not to be refused only
    /// because nobody has looked yet.
    pub(super) async fn known(&self) {
        let health = |prober: &Prober| prober.health.is_known.subscribe();
        let waiting: Vec<_> = match &*self.lock() {
            Some(running) => running.values().map(health).collect(),
            None => Vec::new(),
        };
        let all = async {
            for mut known in waiting {
                let _gone = known.wait_for(|is_known| *is_known).await;
            }
        };
        let _late = tokio::time::timeout(FIRST, all).await;
    }

    /// How the server of a model is doing; nothing where it is not asked.
    pub(super) fn status(&self, name: &str) -> Option<HealthStatus> {
        let running = self.lock();
        running.as_ref()?.get(name)?.status()
    }

    /// Ends them all, for good.
    pub(super) fn stop(&self) {
        *self.lock() = None;
    }

    /// The text that Prometheus reads.
    pub(super) fn metrics_text(&self) -> String {
        let mut registry = Registry::with_prefix("mainstay_inference");
        let since = Family::<Name, Gauge>::default();
        for (name, prober) in self.lock().iter().flatten() {
            if let Some(status) = prober.status() {
                let model = name.to_string();
                let seconds = i64::try_from(status.since.0 / 1000).unwrap_or(i64::MAX);
                since.get_or_create(&Name { model }).set(seconds);
            }
        }
        let help = "Checks of a model's health that failed, by reason";
        registry.register("health_checks_failed", help, self.failed.clone());
        let help = "When a model's health last changed, in seconds since 1970";
        registry.register("health_since_seconds", help, since);
        let mut text = String::new();
        if encode(&mut text, &registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<Arc<str>, Prober>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prober {
    fn new(asked: &Arc<Asked>, course: Option<Course>) -> Self {
        let is_known = course.is_some();
        let course = course.unwrap_or_else(|| Course::new(clock::now(), asked.check.clone()));
        Self {
            asked: Arc::clone(asked),
            health: Arc::new(Health {
                course: Mutex::new(Some(course)),
                is_known: watch::Sender::new(is_known),
            }),
            task: None,
        }
    }

    /// Ends it. What it learned holds for another way of asking, but not for another server.
    fn course_for(self, asked: &Asked) -> Option<Course> {
        let is_same =
            self.asked.base_url == asked.base_url && self.asked.check.url == asked.check.url;
        let course = self.health.lock().take().filter(|_| is_same)?;
        Some(course.asked_by(asked.check.clone()))
    }

    fn status(&self) -> Option<HealthStatus> {
        let course = self.health.lock();
        course.as_ref().map(|course| course.status().clone())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        *self.health.lock() = None;
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Option<Course>> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of a prober.
struct Asking {
    name: Arc<str>,
    asked: Arc<Asked>,
    health: Arc<Health>,
    gateway: Gateway,
    failed: Family<Failed, Counter>,
}

impl Asking {
    async fn run(self) {
        while self.tell(self.asked.probe.ask().await) {
            tokio::time::sleep(self.asked.check.interval).await;
        }
    }

    /// Takes in how a check ended, and tells the gateway; says whether to go on. The lock is held all the
    /// while, so that nothing is told after the end.
    fn tell(&self, outcome: Result<(), ProbeError>) -> bool {
        let mut course = self.health.lock();
        let Some(course) = &mut *course else {
            return false;
        };
        let now = clock::now();
        let before = course.status().state;
        course.take(now, outcome.map_err(|error| self.failure(now, &error)));
        let status = course.status();
        let failure = status.last_failure.as_ref();
        let failure = failure.map_or("", |failure| &failure.message);
        match status.state {
            state if state == before => {}
            HealthState::Ready => tracing::info!(model = %self.name, "a model's server is ready"),
            _ => {
                tracing::warn!(model = %self.name, failure, "a model's server is out of service");
            }
        }
        let is_ready = course.is_ready();
        let retry_after = (!is_ready).then_some(self.asked.check.interval);
        let gateway = &self.gateway;
        gateway.set_ready(&self.name, is_ready, retry_after, failure);
        self.health.is_known.send_replace(true);
        true
    }

    fn failure(&self, at: Timestamp, error: &ProbeError) -> HealthFailure {
        let (model, reason) = (self.name.to_string(), error.reason());
        self.failed.get_or_create(&Failed { model, reason }).inc();
        HealthFailure {
            at,
            reason,
            message: error.to_string(),
        }
    }
}
