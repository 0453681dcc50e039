//! Seeded simulation of one session: a world with a journal, a model, tools, a tracker outside and
//! callers, all drawn from a seed, and a crash at every point where durability matters.
//!
//! A schedule is one run of one seed with its crashes at chosen points; the first schedule of a seed
//! is undisturbed and counts the points. What is checked afterwards is checked against a reference
//! that is kept beside the machine and knows nothing of its code ([`reference`]).

mod reference;
mod world;

pub use world::{Trace, World};

use std::fmt;

/// How many crashes one schedule may have: at its point, and again while it recovers.
const SECOND_CRASH_EVERY: u64 = 3;

/// What a run of the simulation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs, each with its own crashes.
    pub schedules: u64,
    /// Seeds that they were made from.
    pub seeds: u64,
    /// Crashes that happened.
    pub crashes: u64,
    /// Records that became durable.
    pub records: u64,
    /// Times that an effect outside took place.
    pub effects: u64,
}

/// A broken promise, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// The point of the crash; none for the undisturbed run.
    pub point: Option<u64>,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, point, what } = self;
        match point {
            Some(point) => write!(f, "seed {seed}, crash at point {point}: {what}")?,
            None => write!(f, "seed {seed}, undisturbed: {what}")?,
        }
        write!(
            f,
            "\nrepeat: cargo run --release -p mainstay-testkit --bin simulate -- --first {seed} --only"
        )
    }
}

/// Runs schedules from a seed on, until so many were run.
///
/// # Errors
/// The first [`Broken`] promise.
pub fn run(first: u64, schedules: u64) -> Result<Report, Broken> {
    let mut report = Report::default();
    let mut seed = first;
    while report.schedules < schedules {
        sweep(seed, &mut report)?;
        seed += 1;
    }
    Ok(report)
}

/// Runs every schedule of one seed.
///
/// # Errors
/// The first [`Broken`] promise.
pub fn sweep(seed: u64, report: &mut Report) -> Result<(), Broken> {
    report.seeds += 1;
    let whole = one(seed, &[], report)?;
    for point in 0..whole.points {
        let mut crashes = vec![point];
        if (seed + point).is_multiple_of(SECOND_CRASH_EVERY) {
            crashes.push(point + 1 + seed % 5);
        }
        one(seed, &crashes, report)?;
    }
    Ok(())
}

/// Runs one schedule and checks it.
///
/// # Errors
/// The [`Broken`] promise.
pub fn one(seed: u64, crashes: &[u64], report: &mut Report) -> Result<Trace, Broken> {
    let mut world = World::new(seed, crashes);
    let ran = world.run();
    let trace = world.trace();
    report.schedules += 1;
    report.crashes += trace.crashes;
    report.records += trace.records;
    report.effects += trace.effects;
    let checked = ran.and_then(|()| reference::check(&world));
    let point = crashes.first().copied();
    checked
        .map(|()| trace)
        .map_err(|what| Broken { seed, point, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        for seed in 0..200 {
            let mut report = Report::default();
            let first = one(seed, &[2, 5], &mut report).unwrap();
            let second = one(seed, &[2, 5], &mut report).unwrap();
            assert_eq!(first.text, second.text, "seed {seed}");
            assert!(!first.text.is_empty());
        }
    }

    #[test]
    fn a_few_thousand_schedules_keep_every_promise() {
        let report = run(1, 3000).unwrap_or_else(|broken| panic!("{broken}"));
        assert!(report.crashes > 2000, "{report:?}");
    }
}
