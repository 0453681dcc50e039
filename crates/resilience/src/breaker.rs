//! The circuit breaker (M. Nygard, "Release It!"): closed while calls go well, open after too many
//! failures in a window, half-open while a few probes find out whether calls go well again.
//!
//! It opens where enough calls failed and these are a large enough share of those that ended: under
//! load the failures of a provider in good health are many, but its successes are more. Where nothing
//! succeeds any more, it does not wait until earlier successes have left the window.
//! A call that began before the breaker opened says nothing about the time after, so its outcome
//! is dropped; the permit knows when it was given. Each failed probe doubles the time that the
//! breaker stays open, to at most eight times the configured one; closing forgets the doubling.

use crate::window::Window;
use mainstay_contract::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Eight times the configured time, as a power of two.
const DOUBLINGS_MAX: u32 = 3;

/// When a breaker opens and how it closes. Times in whole milliseconds; a count of zero means one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerConfig {
    /// This many failures open it, if they are a large enough share.
    pub failures: u32,
    /// So many of a hundred calls that ended in the window must have failed, or all that ended since the
    /// last success, if there are `failures` of them and it is a thirtieth of the window ago.
    pub failure_percent: u32,
    /// How recent calls must be to count, give or take a thirtieth.
    pub window: Duration,
    /// How long it stays open at first.
    pub open_for: Duration,
    /// How many probes may be under way when half-open, and how many must succeed to close it.
    pub probes: u32,
    /// After how long a probe without an outcome loses its place to another; `open_for` if absent.
    pub probe_timeout: Option<Duration>,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            failure_percent: 50,
            window: Duration::from_secs(30),
            open_for: Duration::from_secs(15),
            probes: 1,
            probe_timeout: None,
        }
    }
}

/// Leave for one call, to be handed to [`Breaker::record`] when the call has ended.
#[must_use = "the outcome of the call must be recorded"]
#[derive(Debug, PartialEq, Eq)]
pub enum Permit {
    /// A call through a closed breaker.
    Ordinary {
        /// Between which two changes of the breaker it was given.
        generation: u64,
    },
    /// One of the few calls through a half-open breaker.
    Probe {
        /// Between which two changes of the breaker it was given.
        generation: u64,
        /// Which probe.
        number: u64,
    },
}

/// The breaker lets nobody through at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open; retry in {} ms", .retry_after.as_millis())]
pub struct Refused {
    /// When it is worth asking again: the end of the open time, or when a probe's place falls free
    /// at the latest.
    pub retry_after: Duration,
}

/// How a call ended, to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The other side did its work.
    Success,
    /// The other side failed.
    Failure,
    /// Nothing was learned about the other side: the caller left, or asked for something wrong.
    Neutral,
}

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All pass.
    Closed,
    /// None passes.
    Open {
        /// For how long yet.
        remaining: Duration,
    },
    /// Probes pass.
    HalfOpen,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open { since: Timestamp },
    HalfOpen { probes: Vec<Probe>, successes: u32 },
}

#[derive(Debug)]
struct Probe {
    number: u64,
    since: Timestamp,
}

/// A breaker before one target.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    phase: Phase,
    /// Grows with each opening and closing.
    generation: u64,
    doublings: u32,
    probe_last: u64,
    opened_at: Timestamp,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            phase: Phase::Closed(Window::default()),
            generation: 0,
            doublings: 0,
            probe_last: 0,
            opened_at: Timestamp::default(),
        }
    }

    /// Asks leave for a call.
    ///
    /// # Errors
    /// When to ask again, where the breaker is open or its probes are all under way.
    pub fn admit(&mut self, now: Timestamp) -> Result<Permit, Refused> {
        if let Phase::Open { since } = &mut self.phase {
            // A clock that was set back must not keep the breaker open for longer.
            *since = now.min(*since);
        }
        match self.state(now) {
            BreakerState::Closed => Ok(Permit::Ordinary {
                generation: self.generation,
            }),
            BreakerState::Open {
                remaining: retry_after,
            } => Err(Refused { retry_after }),
            BreakerState::HalfOpen => self.admit_probe(now),
        }
    }

    /// Tells how an admitted call ended.
    pub fn record(&mut self, now: Timestamp, permit: Permit, outcome: Outcome) {
        match (permit, &mut self.phase) {
            (Permit::Ordinary { generation }, Phase::Closed(window))
                if generation == self.generation && outcome != Outcome::Neutral =>
            {
                let BreakerConfig {
                    failures,
                    failure_percent,
                    window: length,
                    ..
                } = self.config;
                window.record(now, length, outcome);
                if outcome == Outcome::Failure
                    && window.is_bad(now, length, failures.max(1), failure_percent)
                {
                    self.open(now);
                }
            }
            (Permit::Probe { generation, number }, Phase::HalfOpen { probes, successes })
                if generation == self.generation =>
            {
                // A probe that lost its place still tells the truth, late.
                probes.retain(|probe| probe.number != number);
                match outcome {
                    Outcome::Neutral => {}
                    Outcome::Failure => {
                        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
                        self.open(now);
                    }
                    Outcome::Success => {
                        *successes += 1;
                        if *successes >= self.config.probes {
                            self.close();
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// What it would do with a call now.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match &self.phase {
            Phase::Closed(_) => BreakerState::Closed,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Open { since } => {
                let open_for = self.config.open_for.saturating_mul(1 << self.doublings);
                let remaining = open_for.saturating_sub(now.since(*since));
                if remaining.is_zero() {
                    BreakerState::HalfOpen
                } else {
                    BreakerState::Open { remaining }
                }
            }
        }
    }

    /// When it opened last; the beginning of time if it never did.
    #[must_use]
    pub fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// Other thresholds and times from now on. It stays open or closed, and permits stay good.
    pub fn set_config(&mut self, config: BreakerConfig) {
        self.config = config;
    }

    /// Closes it by an operator's word, forgetting all failures.
    pub fn close(&mut self) {
        self.generation += 1;
        self.doublings = 0;
        self.phase = Phase::Closed(Window::default());
    }

    fn open(&mut self, now: Timestamp) {
        self.generation += 1;
        self.phase = Phase::Open { since: now };
        self.opened_at = now;
    }

    fn admit_probe(&mut self, now: Timestamp) -> Result<Permit, Refused> {
        let timeout = self.config.probe_timeout.unwrap_or(self.config.open_for);
        if matches!(self.phase, Phase::Open { .. }) {
            self.phase = Phase::HalfOpen {
                probes: Vec::new(),
                successes: 0,
            };
        }
        if let Phase::HalfOpen { probes, successes } = &mut self.phase {
            for probe in probes.iter_mut() {
                probe.since = now.min(probe.since);
            }
            probes.retain(|probe| now.since(probe.since) < timeout);
            let wanted = count(self.config.probes.saturating_sub(*successes));
            if let Some(oldest) = probes.first().filter(|_| probes.len() >= wanted) {
                let retry_after = timeout.saturating_sub(now.since(oldest.since));
                return Err(Refused { retry_after });
            }
            self.probe_last += 1;
            let number = self.probe_last;
            probes.push(Probe { number, since: now });
        }
        Ok(Permit::Probe {
            generation: self.generation,
            number: self.probe_last,
        })
    }
}

fn count(configured: u32) -> usize {
    usize::try_from(configured.max(1)).unwrap_or(usize::MAX)
}
