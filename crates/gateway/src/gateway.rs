//! The gate with a clock, a ledger and providers.

use crate::ledger::{Ledger, UsageRow};
use crate::log::FailureLog;
use crate::mail::{Directive, Receiver, Sender, mail};
use crate::metrics::Metrics;
use crate::settings::{ModelInfo, Settings};
use crate::telemetry::Telemetry;
use crate::trace::{FlowTrace, Question};
use mainstay_contract::Timestamp;
use mainstay_inference::{
    Ask, BudgetKey, BudgetView, DeploymentView, Effect, Ending, FlightId, Gate, GateConfig,
    InferenceError, Input, LedgerEntry, Origin, Outcome, Provider, Tokens,
};
use mainstay_resilience::{BudgetPeriod, Priority};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Models behind one door. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    settings: RwLock<Arc<Settings>>,
    clock: Clock,
    timer: Notify,
    metrics: Metrics,
    log: FailureLog,
    telemetry: Option<Telemetry>,
}

struct State {
    gate: Gate,
    mail: HashMap<FlightId, Sender>,
    ledger: Ledger,
    /// When the timer is set to ring.
    armed: Option<Timestamp>,
}

/// Wall-clock time that never goes back while the process lives.
struct Clock {
    started: Instant,
    at_start: Duration,
}

impl Clock {
    fn now(&self) -> Timestamp {
        Timestamp(0).after(self.at_start + self.started.elapsed())
    }
}

impl Gateway {
    /// Opens a gateway. What the ledger knows to be spent counts from the first request on. Has to be called
    /// within a runtime.
    #[must_use]
    pub fn open(settings: Settings, ledger: Ledger) -> Self {
        let clock = Clock {
            started: Instant::now(),
            at_start: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        };
        let now = clock.now();
        let mut gate = Gate::new(now, GateConfig::default());
        gate.resume_calls(ledger.last_call());
        let past = |key: &BudgetKey, period| ledger.spent(key, period, now);
        gate.configure(now, settings.gate.clone(), past);
        let inner = Arc::new(Inner {
            state: Mutex::new(State {
                gate,
                mail: HashMap::new(),
                ledger,
                armed: None,
            }),
            settings: RwLock::new(Arc::new(settings)),
            clock,
            timer: Notify::new(),
            metrics: Metrics::new(),
            log: FailureLog::default(),
            telemetry: Telemetry::from_environment(),
        });
        tokio::spawn(ring(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// Exchanges the settings. Requests under way end as they began.
    pub fn configure(&self, settings: Settings) {
        let now = self.now();
        let mut state = self.state();
        let State { gate, ledger, .. } = &mut *state;
        // Those who wait are let in at once, so a budget that is new has to know what was spent before.
        let past = |key: &BudgetKey, period| ledger.spent(key, period, now);
        gate.configure(now, settings.gate.clone(), past);
        self.deliver(&mut state, now);
        drop(state);
        let mut place = self
            .inner
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(settings);
    }

    /// What is served now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        let settings = self.inner.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// A model that callers may name.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<Arc<ModelInfo>> {
        self.settings().models.get(name).cloned()
    }

    /// Whose key this is.
    #[must_use]
    pub fn key(&self, secret: &str) -> Option<(Arc<str>, Priority)> {
        let hash = blake3::hash(secret.as_bytes());
        self.settings().keys.get(hash.as_bytes()).cloned()
    }

    /// Every deployment as it is now.
    #[must_use]
    pub fn deployments(&self) -> Vec<DeploymentView> {
        self.state().gate.deployments(self.now())
    }

    /// Every budget as it is now.
    #[must_use]
    pub fn budgets(&self) -> Vec<BudgetView> {
        self.state().gate.budgets(self.now())
    }

    /// What was used, by day, key, agent and model.
    #[must_use]
    pub fn usage(&self) -> Vec<UsageRow> {
        self.state().ledger.usage()
    }

    /// Makes what is written down safe from a loss of power.
    pub fn sync(&self) {
        let mut state = self.state();
        state.ledger.flush();
        let ledger = state.ledger.handle();
        drop(state);
        if let Some(Err(error)) = ledger.map(|file| file.sync_data()) {
            tracing::error!(%error, "the ledger of spending could not be made safe");
        }
    }

    /// Tells whether a deployment is ready, how long until that may change, where known, and why it is not; the
    /// reason is told to callers, and empty where it is not known.
    pub fn set_ready(
        &self,
        deployment: &Arc<str>,
        is_ready: bool,
        retry_after: Option<Duration>,
        reason: &str,
    ) {
        self.tell(Input::Ready {
            deployment: Arc::clone(deployment),
            is_ready,
            retry_after,
            reason: reason.to_owned(),
        });
    }

    /// Sends the traces that are left.
    pub fn shutdown(&self) {
        if let Some(telemetry) = &self.inner.telemetry {
            telemetry.shutdown();
        }
    }

    pub(crate) fn telemetry(&self) -> Option<&Telemetry> {
        self.inner.telemetry.as_ref()
    }

    /// Tells how a request ended, where somebody wants it told.
    pub(crate) fn tell_trace(
        &self,
        trace: Option<Box<FlowTrace>>,
        ending: Option<&Ending>,
        question: Question<'_>,
    ) {
        let (Some(mut trace), Some(telemetry)) = (trace, self.telemetry()) else {
            return;
        };
        trace.over(ending, question.model(), &self.settings());
        telemetry.request(&trace, question);
    }

    pub(crate) fn log(&self) -> &FailureLog {
        &self.inner.log
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Counts a response to a path below `/v1`, whoever made it.
    pub fn responded(&self, status: u16) {
        self.inner.metrics.responded(status);
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner
            .metrics
            .text(&self.deployments(), &self.budgets())
    }

    pub(crate) fn provider(&self, deployment: &str) -> Option<Arc<dyn Provider>> {
        self.settings().providers.get(deployment).cloned()
    }

    /// The time by its clock, which deadlines are told by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Holds the sessions of who asks to what each may spend; what they spent before counts. Others are not
    /// written down: nobody asks for their sums, and callers can make up any number of them.
    fn hold_sessions(&self, state: &mut State, now: Timestamp, ask: &mut Ask) {
        let of_agent = |agent| self.settings().session_budgets.get(agent).copied();
        let spender = &mut ask.spender;
        let limit = ask.session_budget;
        let Some(limit) = limit.or_else(|| spender.agent.as_ref().and_then(of_agent)) else {
            spender.sessions.clear();
            return;
        };
        for session in &mut spender.sessions {
            // Two agents may have sessions of one name, and none is to spend what is another's.
            if let Some(agent) = &spender.agent {
                *session = Arc::from(format!("{agent}/{session}"));
            }
            let key = BudgetKey::Session(Arc::clone(session));
            let spent = || state.ledger.spent(&key, BudgetPeriod::Total, now);
            state.gate.hold_session(now, &key, limit, spent);
        }
    }

    /// Lets a flight begin.
    pub(crate) fn ask(&self, mut ask: Ask) -> (FlightId, Receiver) {
        let (sender, receiver) = mail();
        let now = self.now();
        let mut state = self.state();
        self.hold_sessions(&mut state, now, &mut ask);
        let flight = state.gate.next_id();
        state.mail.insert(flight, sender);
        state.gate.handle(now, Input::Asked { flight, ask });
        self.deliver(&mut state, now);
        (flight, receiver)
    }

    /// Tells the gate what happened.
    pub(crate) fn tell(&self, input: Input) {
        let now = self.now();
        let mut state = self.state();
        if let Input::Left { flight, .. } = &input {
            state.mail.remove(flight);
            self.inner.metrics.left();
        }
        state.gate.handle(now, input);
        self.deliver(&mut state, now);
    }

    /// Does what the gate asks for, and wakes the timer where there is more for it.
    fn deliver(&self, state: &mut State, now: Timestamp) {
        self.carry_out(state, now);
        self.wake_timer(state, now);
    }

    /// Does what the gate asks for, in its order: what is written down comes before the call it pays for.
    fn carry_out(&self, state: &mut State, now: Timestamp) {
        // Why the reservation for the call that follows is not in the ledger.
        let mut unwritten = None;
        while let Some(effect) = state.gate.poll_effect() {
            match effect {
                Effect::Record(entry) => {
                    self.inner.metrics.used(&entry);
                    let is_reservation = matches!(entry, LedgerEntry::Reserved { .. });
                    let written = state.ledger.write(&entry);
                    unwritten = written.err().filter(|_| is_reservation);
                }
                Effect::Call { attempt, .. } if unwritten.is_some() => {
                    let outcome = not_written(unwritten.take());
                    state.gate.handle(now, Input::Ended { attempt, outcome });
                }
                Effect::Call {
                    attempt,
                    deployment,
                    failures,
                    warnings,
                } => {
                    self.inner.metrics.called(&deployment);
                    let directive = Directive::Call {
                        attempt,
                        deployment,
                        failures,
                        warnings,
                    };
                    state.send(attempt.flight, directive);
                }
                Effect::Cancel { attempt } => {
                    state.send(attempt.flight, Directive::Cancel(attempt));
                }
                Effect::Finish { flight, ending } => {
                    self.inner.metrics.ended(&ending);
                    state.send(flight, Directive::Finish(ending));
                    state.mail.remove(&flight);
                }
            }
        }
    }

    /// Wakes the timer's task where it has something to do before the moment that it waits for. What the ledger
    /// holds is written there, so that no answer waits for it.
    fn wake_timer(&self, state: &mut State, now: Timestamp) {
        let due = state.gate.poll_timeout();
        let is_sooner = match (due, state.armed) {
            (Some(due), Some(armed)) => due < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_sooner {
            state.armed = due.map(|due| due.max(now));
        }
        if is_sooner || state.ledger.is_due() {
            self.inner.timer.notify_one();
        }
    }

    /// Does what is due; says how long until there is more. A gateway that nobody holds any more is noticed
    /// within a second.
    fn tick(&self) -> Duration {
        let now = self.now();
        let mut state = self.state();
        state.gate.handle_timeout(now);
        self.carry_out(&mut state, now);
        if state.ledger.is_due() {
            state.ledger.flush();
        }
        let due = state.gate.poll_timeout();
        state.armed = due;
        let wait = due.map_or(Duration::from_secs(1), |due| due.since(now));
        wait.clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&self, flight: FlightId, directive: Directive) {
        if let Some(mail) = self.mail.get(&flight) {
            mail.send(directive);
        }
    }
}

/// How a call ends that was not made, because what it may cost is not in the ledger.
fn not_written(error: Option<std::io::Error>) -> Outcome {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let kind = error.as_ref().map(std::io::Error::kind);
    Outcome::Failed {
        error: InferenceError::LedgerFailed {
            origin: Origin::default(),
            is_disk_full: matches!(kind, Some(StorageFull | QuotaExceeded)),
            message: error.map_or_else(String::new, |error| error.to_string()),
        },
        tokens: Tokens::default(),
    }
}

/// Rings whenever something of the gate is due, and ends with the gateway.
async fn ring(inner: std::sync::Weak<Inner>) {
    loop {
        let Some(alive) = inner.upgrade() else { return };
        let gateway = Gateway { inner: alive };
        let timer = gateway.inner.timer.notified();
        let wait = gateway.tick();
        let _rung = tokio::time::timeout(wait, timer).await;
    }
}
