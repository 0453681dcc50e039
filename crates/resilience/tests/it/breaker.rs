//! A breaker by hand, and on random schedules beside a model that keeps everything for ever.

use mainstay_contract::Timestamp;
use mainstay_resilience::{Breaker, BreakerConfig, BreakerState, Outcome, Permit, Refused};
use proptest::prelude::*;
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config(failures: u32, probes: u32) -> BreakerConfig {
    BreakerConfig {
        failures,
        failure_percent: 50,
        window: ms(1_000),
        open_for: ms(500),
        probes,
        probe_timeout: Some(ms(300)),
    }
}

fn fail(breaker: &mut Breaker, now: Timestamp) {
    if let Ok(permit) = breaker.admit(now) {
        breaker.record(now, permit, Outcome::Failure);
    }
}

#[test]
fn only_recent_failures_open_it_and_a_probe_closes_it() {
    let mut breaker = Breaker::new(config(2, 1));
    fail(&mut breaker, Timestamp(0));
    fail(&mut breaker, Timestamp(1_000));
    assert_eq!(breaker.state(Timestamp(1_000)), BreakerState::Closed);
    let early = breaker.admit(Timestamp(1_500)).unwrap();
    fail(&mut breaker, Timestamp(1_999));
    let retry_after = ms(499);
    assert_eq!(
        breaker.admit(Timestamp(2_000)),
        Err(Refused { retry_after })
    );
    let probe = breaker.admit(Timestamp(2_499)).unwrap();
    assert!(matches!(probe, Permit::Probe { .. }));
    breaker.record(Timestamp(2_500), early, Outcome::Failure);
    assert_eq!(breaker.state(Timestamp(2_500)), BreakerState::HalfOpen);
    let retry_after = ms(299);
    assert_eq!(
        breaker.admit(Timestamp(2_500)),
        Err(Refused { retry_after })
    );
    breaker.record(Timestamp(2_600), probe, Outcome::Success);
    assert_eq!(breaker.state(Timestamp(2_600)), BreakerState::Closed);
}

#[test]
fn failed_probes_double_the_open_time_up_to_eight_times() {
    let mut breaker = Breaker::new(config(1, 1));
    let mut now = Timestamp(0);
    fail(&mut breaker, now);
    for open_ms in [500, 1_000, 2_000, 4_000, 4_000] {
        let retry_after = ms(open_ms);
        assert_eq!(breaker.admit(now), Err(Refused { retry_after }));
        now = now.after(retry_after);
        fail(&mut breaker, now);
    }
    now = now.after(ms(4_000));
    let probe = breaker.admit(now).unwrap();
    breaker.record(now, probe, Outcome::Success);
    fail(&mut breaker, now);
    let remaining = ms(500);
    assert_eq!(breaker.state(now), BreakerState::Open { remaining });
}

#[test]
fn a_neutral_end_and_a_lost_probe_give_the_place_back() {
    let mut breaker = Breaker::new(config(1, 1));
    fail(&mut breaker, Timestamp(0));
    let probe = breaker.admit(Timestamp(500)).unwrap();
    breaker.record(Timestamp(510), probe, Outcome::Neutral);
    let lost = breaker.admit(Timestamp(510)).unwrap();
    assert!(breaker.admit(Timestamp(809)).is_err());
    let other = breaker.admit(Timestamp(810)).unwrap();
    // The lost one comes back after all: it frees no place of the other, but it tells the truth.
    breaker.record(Timestamp(820), lost, Outcome::Success);
    assert_eq!(breaker.state(Timestamp(820)), BreakerState::Closed);
    breaker.record(Timestamp(830), other, Outcome::Failure);
    assert_eq!(breaker.state(Timestamp(830)), BreakerState::Closed);
}

#[test]
fn a_clock_set_back_does_not_keep_it_open() {
    let mut breaker = Breaker::new(config(1, 1));
    fail(&mut breaker, Timestamp(9_000_000));
    assert!(breaker.admit(Timestamp(1_000)).is_err());
    assert!(breaker.admit(Timestamp(1_500)).is_ok());
}

/// Calls one after another, so many a second, of which some fail; whether it was ever open, and when first.
fn opened_after(
    breaker: &mut Breaker,
    begin: u64,
    rate: u64,
    fails: impl Fn(u64) -> bool,
) -> Option<u64> {
    (0..rate * 60).find_map(|number| {
        let now = Timestamp(begin + number * 1_000 / rate);
        let Ok(permit) = breaker.admit(now) else {
            return Some(now.0 - begin);
        };
        let outcome = if fails(number) {
            Outcome::Failure
        } else {
            Outcome::Success
        };
        breaker.record(now, permit, outcome);
        None
    })
}

#[test]
fn failures_among_many_successes_leave_it_closed() {
    for (rate, one_in) in [(400, 1_000), (400, 10), (4_000, 4), (10, 10), (1, 3)] {
        let mut breaker = Breaker::new(BreakerConfig::default());
        let opened = opened_after(&mut breaker, 0, rate, |number| number % one_in == 0);
        assert_eq!(opened, None, "every {one_in}th of {rate} a second");
    }
    for (rate, one_in, opens_at) in [(400, 2, 23), (1, 2, 9_000), (1, 1, 5_000)] {
        let mut breaker = Breaker::new(BreakerConfig::default());
        let opened = opened_after(&mut breaker, 0, rate, |number| number % one_in == 0);
        let opened = opened.unwrap();
        assert!(
            opened <= opens_at,
            "every {one_in}th of {rate} a second: {opened} ms"
        );
    }
}

#[test]
fn who_goes_down_after_good_days_is_noticed_at_once() {
    for (rate, within) in [(1, 5_000), (3, 1_667), (20, 1_001), (400, 1_003)] {
        let mut breaker = Breaker::new(BreakerConfig::default());
        assert_eq!(opened_after(&mut breaker, 0, rate, |_| false), None);
        let opened = opened_after(&mut breaker, 60_000, rate, |_| true).unwrap();
        assert!(opened <= within, "{opened} ms at {rate} a second");
    }
}

/// The same rules over complete histories.
#[derive(Default)]
struct Model {
    /// When each call counts as having ended, and whether it failed.
    ended: Vec<(u64, bool)>,
    succeeded: Option<u64>,
    opened: Option<u64>,
    probes: Vec<(u64, u64)>,
    successes: u32,
    is_probing: bool,
    doublings: u32,
    era: u64,
}

impl Model {
    fn remaining(&self, now: u64) -> Option<u64> {
        let until = self.opened? + (500 << self.doublings.min(3));
        (!self.is_probing && now < until).then(|| until - now)
    }

    /// The retry-after, or whether the permit is a probe's.
    fn admit(&mut self, now: u64, probes: u32, id: u64) -> Result<bool, u64> {
        if self.opened.is_none() {
            return Ok(false);
        }
        if let Some(remaining) = self.remaining(now) {
            return Err(remaining);
        }
        self.is_probing = true;
        let alive = self.probes.iter().map(|(_, since)| since + 300);
        let alive: Vec<u64> = alive.filter(|until| now < *until).collect();
        if alive.len() >= (probes - self.successes) as usize {
            return Err(alive.iter().min().unwrap_or(&0) - now);
        }
        self.probes.push((id, now));
        Ok(true)
    }

    fn open(&mut self, now: u64, doublings: u32) {
        *self = Self {
            opened: Some(now),
            doublings,
            era: self.era + 1,
            ..Self::default()
        };
    }

    /// A call counts with the first of its thirtieth of the window.
    fn end(&mut self, now: u64, is_failure: bool) {
        let last = self.ended.last().map(|(time, _)| *time);
        let time = last.filter(|time| (now - time) * 30 < 1_000).unwrap_or(now);
        self.ended.push((time, is_failure));
    }

    fn record(&mut self, now: u64, call: &Call, outcome: Outcome, config: &BreakerConfig) {
        if call.era != self.era {
            return;
        }
        self.probes.retain(|(id, _)| *id != call.id);
        match (outcome, call.is_probe) {
            (Outcome::Failure, true) => self.open(now, self.doublings + 1),
            (Outcome::Success, false) => {
                self.end(now, false);
                self.succeeded = Some(now);
            }
            (Outcome::Failure, false) => {
                self.end(now, true);
                let recent = self.ended.iter().filter(|(time, _)| now - time < 1_000);
                let recent: Vec<bool> = recent.map(|(_, is_failure)| *is_failure).collect();
                let failed = recent.iter().filter(|is_failure| **is_failure).count();
                let in_a_row = self.ended.iter().rev().take_while(|(_, failed)| *failed);
                let is_quiet = self.succeeded.is_none_or(|at| (now - at) * 30 >= 1_000);
                let is_down = is_quiet && in_a_row.count() >= config.failures as usize;
                let is_share = failed * 100 >= recent.len() * config.failure_percent as usize;
                if failed >= config.failures as usize && (is_share || is_down) {
                    self.open(now, 0);
                }
            }
            (Outcome::Success, true) => {
                self.successes += 1;
                if self.successes == config.probes {
                    let era = self.era + 1;
                    *self = Self {
                        era,
                        ..Self::default()
                    };
                }
            }
            _ => {}
        }
    }
}

struct Call {
    permit: Permit,
    era: u64,
    id: u64,
    is_probe: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Admit,
    End(prop::sample::Index, Outcome),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        2 => Just(Outcome::Success),
        2 => Just(Outcome::Failure),
        1 => Just(Outcome::Neutral)
    ];
    prop_oneof![
        1 => (0..400u64).prop_map(Step::Pass),
        1 => (0..40u64).prop_map(Step::Pass),
        3 => Just(Step::Admit),
        3 => (any::<prop::sample::Index>(), outcome).prop_map(|(which, how)| Step::End(which, how)),
    ]
}

proptest! {
    #[test]
    fn it_follows_the_model(
        failures in 1..4u32, percent in 1..=100u32, probes in 1..4u32,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let config = BreakerConfig { failure_percent: percent, ..config(failures, probes) };
        let (mut breaker, mut model) = (Breaker::new(config), Model::default());
        let mut calls: Vec<Call> = Vec::new();
        let mut now = 1_000_000;
        for (id, step) in (0u64..).zip(steps) {
            match step {
                Step::Pass(ms) => now += ms,
                Step::Admit => match (breaker.admit(Timestamp(now)), model.admit(now, probes, id)) {
                    (Ok(permit), Ok(is_probe)) => {
                        prop_assert_eq!(matches!(permit, Permit::Probe { .. }), is_probe);
                        calls.push(Call { permit, era: model.era, id, is_probe });
                    }
                    (Err(refused), Err(wait)) => prop_assert_eq!(refused.retry_after, ms(wait)),
                    other => prop_assert!(false, "{:?}", other),
                },
                Step::End(_, _) if calls.is_empty() => {}
                Step::End(which, outcome) => {
                    let call = calls.swap_remove(which.index(calls.len()));
                    model.record(now, &call, outcome, &config);
                    breaker.record(Timestamp(now), call.permit, outcome);
                }
            }
            let state = match (model.opened, model.remaining(now)) {
                (None, _) => BreakerState::Closed,
                (Some(_), Some(remaining)) => BreakerState::Open { remaining: ms(remaining) },
                (Some(_), None) => BreakerState::HalfOpen,
            };
            prop_assert_eq!(breaker.state(Timestamp(now)), state);
            let alive = model.probes.iter().filter(|(_, since)| now < since + 300).count();
            prop_assert!(alive <= probes as usize);
        }
        // However it stands, and though no outcome comes any more, somebody gets through at last.
        prop_assert!(breaker.admit(Timestamp(now + 8 * 500)).is_ok());
    }
}
