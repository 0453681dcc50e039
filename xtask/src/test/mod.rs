//! `test`: sets the machine up, runs every check and every test, and says what was skipped and why.

mod machine;
mod options;
mod step;
mod tally;
pub(crate) mod tools;

pub(crate) use options::Options;
pub(crate) use step::target;

use crate::place::{Failure, Place};
use crate::{layers, tidy};
use machine::Machine;
use std::time::Instant;
use step::{Done, Step};
use tally::Tally;

pub(crate) fn run(place: &Place, options: Options) -> Result<(), Failure> {
    let started = Instant::now();
    let machine = Machine::set_up(&target(place))?;
    let mut done = Vec::new();
    for step in steps(&machine, options) {
        done.push(step.run(place));
    }
    for (title, chore) in [
        ("layers", layers::run as fn(&Place) -> _),
        ("tidy", tidy::run),
    ] {
        done.push(step::chore(title, || chore(place)));
    }
    let total = summary(&machine, &done);
    println!("\nall in {:.0} s", started.elapsed().as_secs_f64());
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed,
        total.failed,
        total.skipped()
    );
    if total.failed == 0 {
        return Ok(());
    }
    let is_bad = |done: &&Done| done.tally.failed > 0;
    let titles: Vec<&str> = done
        .iter()
        .filter(is_bad)
        .map(|done| done.title.as_str())
        .collect();
    Err(Failure::Found(format!("failed: {}", titles.join(", "))))
}

/// What cargo runs, cheapest first.
fn steps(machine: &Machine, options: Options) -> Vec<Step> {
    let mut steps = vec![
        Step::check("format", &["fmt", "--all", "--check"]),
        Step::check(
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
    ];
    let suites: &[(&str, &[&str])] = &[
        ("tests", &["--workspace", "--exclude", "mainstay-cli"]),
        ("end-to-end tests", &["--package", "mainstay-cli"]),
    ];
    for (title, which) in suites {
        steps.push(if machine.has_nextest {
            Step::nextest(title, which)
        } else {
            Step::cargo_test(title, which)
        });
        if options.is_quick {
            return steps;
        }
    }
    let seeds = options.seeds.to_string();
    steps.push(Step::doc_tests());
    steps.push(Step::check(
        "simulation",
        &[
            "run",
            "--release",
            "--package",
            "mainstay-testkit",
            "--bin",
            "simulate",
            "--",
            "--seeds",
            &seeds,
        ],
    ));
    steps
}

fn summary(machine: &Machine, done: &[Done]) -> Tally {
    let mut total = Tally::default();
    println!(
        "\n{:<18} {:>8} {:>8} {:>8} {:>9}",
        "step", "passed", "failed", "skipped", "seconds"
    );
    for Done { title, tally, took } in done {
        let seconds = took.as_secs_f64();
        let skipped = tally.skipped();
        println!(
            "{title:<18} {:>8} {:>8} {skipped:>8} {seconds:>9.1}",
            tally.passed, tally.failed
        );
        total.add(tally);
    }
    for (reason, count) in &total.reasons {
        println!("skipped {count}: {reason}");
    }
    for missing in &machine.missing {
        println!("not here: {missing}");
    }
    total
}
