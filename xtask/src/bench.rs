//! `bench FACE`: runs the programs that measure, and sets their figures against the promises.
//!
//! A figure is measured by an example program of some crate, built for release. It ends with one line
//! of JSON on stdout: `{"value": 0.31}`, a median in the figure's unit. What it says before that line,
//! and on stderr, is shown. Figures run one after the other, so that none disturbs another.

use crate::place::{Failure, Place};
use Bound::{AtLeast, Below};
use serde::Deserialize;
use std::process::{Command, Stdio};

/// Whether small or large values are good.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// The value must stay below this.
    Below(f64),
    /// The value must reach this.
    AtLeast(f64),
}

/// One promise and the program that checks it.
#[derive(Debug)]
struct Figure {
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    package: &'static str,
    example: &'static str,
    arguments: &'static [&'static str],
}

/// What a program's last line says.
#[derive(Debug, Deserialize)]
struct Measured {
    value: f64,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::Below(limit) => value < limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    fn words(self, unit: &str) -> String {
        match self {
            Self::Below(limit) => format!("below {limit} {unit}"),
            Self::AtLeast(limit) => format!("at least {limit} {unit}"),
        }
    }
}

/// The promises for sessions, in the order of the table in `docs/benchmarks.md`.
const SESSIONS: &[Figure] = &[
    node(
        "journaled step, overhead, p50",
        "ms",
        Below(0.5),
        "bench_sessions",
        &["overhead"],
    ),
    node(
        "64 sessions, durable steps",
        "1/s",
        AtLeast(3000.0),
        "bench_sessions",
        &["rate"],
    ),
    node(
        "store growth a step",
        "KB",
        Below(1.5),
        "bench_sessions",
        &["step"],
    ),
    node(
        "bytes, K=150 over K=50",
        "×",
        Below(3.1),
        "bench_sessions",
        &["bytes"],
    ),
    node(
        "time, K=150 over K=50",
        "×",
        Below(3.3),
        "bench_sessions",
        &["time"],
    ),
    node(
        "10,000 parked sessions",
        "MB",
        Below(200.0),
        "bench_sessions",
        &["parked"],
    ),
    node(
        "first new step after SIGKILL",
        "ms",
        Below(250.0),
        "bench_process",
        &["recovery"],
    ),
    runtimes(
        "sandbox over bubblewrap, p50",
        "×",
        Below(1.0),
        "bench_sandbox",
        &["start"],
    ),
    node(
        "mainstay --version",
        "ms",
        Below(5.0),
        "bench_process",
        &["version"],
    ),
    node(
        "idle node, resident",
        "MB",
        Below(40.0),
        "bench_process",
        &["idle"],
    ),
    runtimes(
        "step that changes nothing",
        "ms",
        Below(2.0),
        "bench_workspace",
        &["still"],
    ),
    runtimes(
        "step that changes one file",
        "ms",
        Below(3.0),
        "bench_workspace",
        &["edit"],
    ),
];

/// The promises for tasks.
const TASKS: &[Figure] = &[
    tasks(
        "1,000 tasks, nothing to do, over ninja",
        "×",
        Below(1.5),
        &["warm"],
    ),
    tasks(
        "1,000 tasks, nothing to do",
        "s",
        Below(0.05),
        &["warm-seconds"],
    ),
    tasks("1,000 tasks, all restored", "s", Below(0.10), &["restore"]),
    tasks(
        "1,000 tasks from nothing, over ninja",
        "×",
        Below(1.1),
        &["cold"],
    ),
    tasks(
        "1,000 tasks, nothing to do, over turbo",
        "×",
        Below(1.0),
        &["turbo"],
    ),
    tasks("one leaf changed, over ninja", "×", Below(2.0), &["leaf"]),
    tasks(
        "2 GB in 2,000 files restored, over cp",
        "×",
        Below(1.1),
        &["large-restore"],
    ),
    tasks(
        "2 GB in 2,000 files, nothing to do",
        "s",
        Below(0.02),
        &["large-noop"],
    ),
    tasks("10,000 tasks over 1,000", "×", Below(12.0), &["scale"]),
    tasks(
        "an agent's call of a task, answered from the cache",
        "ms",
        Below(1.0),
        &["tool"],
    ),
    tasks(
        "memory for 10 GB of output",
        "MB",
        Below(200.0),
        &["memory"],
    ),
];

/// A figure of the task runner.
const fn tasks(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    arguments: &'static [&'static str],
) -> Figure {
    Figure {
        title,
        unit,
        bound,
        package: "mainstay-runner",
        example: "bench_tasks",
        arguments,
    }
}

/// A figure that an example of the node measures.
const fn node(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    example: &'static str,
    arguments: &'static [&'static str],
) -> Figure {
    let package = "mainstay-node";
    Figure {
        title,
        unit,
        bound,
        package,
        example,
        arguments,
    }
}

/// A figure that an example of the runtimes measures.
const fn runtimes(
    title: &'static str,
    unit: &'static str,
    bound: Bound,
    example: &'static str,
    arguments: &'static [&'static str],
) -> Figure {
    let package = "mainstay-runtimes";
    Figure {
        title,
        unit,
        bound,
        package,
        example,
        arguments,
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Sessions,
    Tasks,
}

pub(crate) fn run(place: &Place, face: Face) -> Result<(), Failure> {
    let figures = match face {
        Face::Sessions => SESSIONS,
        Face::Tasks => TASKS,
    };
    cargo(place, &["build", "--release", "--package", "mainstay-cli"])?;
    let mut rows = Vec::new();
    let mut broken = 0;
    for figure in figures {
        println!("== {}", figure.title);
        let (said, is_kept) = match measure(place, figure) {
            Ok(Measured { value }) => (
                format!("{value:.3} {}", figure.unit),
                figure.bound.holds(value),
            ),
            Err(failure) => (format!("not measured: {failure}"), false),
        };
        broken += usize::from(!is_kept);
        rows.push(row(figure, &said, is_kept));
    }
    println!("\n| figure | promise | measured | kept | command |\n|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    match broken {
        0 => Ok(()),
        count => Err(Failure::Found(format!(
            "{count} promises are not kept or not measured"
        ))),
    }
}

fn row(figure: &Figure, said: &str, is_kept: bool) -> String {
    let Figure {
        title,
        unit,
        bound,
        package,
        example,
        arguments,
    } = figure;
    let (promise, kept) = (bound.words(unit), if is_kept { "yes" } else { "**no**" });
    let arguments = arguments.join(" ");
    format!(
        "| {title} | {promise} | {said} | {kept} | `cargo run --release -p {package} --example {example} -- \
         {arguments}` |"
    )
}

/// Builds a figure's program, runs it and reads its last line.
fn measure(place: &Place, figure: &Figure) -> Result<Measured, Failure> {
    let Figure {
        package,
        example,
        arguments,
        ..
    } = figure;
    let mut command = vec![
        "run",
        "--release",
        "--package",
        package,
        "--example",
        example,
        "--",
    ];
    command.extend(*arguments);
    let said = cargo(place, &command)?;
    let mut lines = said.lines().rev();
    let last = lines.next().unwrap_or_default();
    lines.rev().for_each(|line| println!("{line}"));
    let read = serde_json::from_str(last);
    read.map_err(|error| Failure::Found(format!("its last line is no figure ({error}): {last}")))
}

/// Runs cargo and answers what it wrote to stdout.
fn cargo(place: &Place, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(place.root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::Io("cargo".to_owned(), error))?;
    if !output.status.success() {
        return Err(Failure::Found(format!(
            "cargo {} failed",
            arguments.join(" ")
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_or_break() {
        assert!(Bound::Below(0.5).holds(0.49) && !Bound::Below(0.5).holds(0.5));
        assert!(Bound::AtLeast(3.0).holds(3.0) && !Bound::AtLeast(3.0).holds(2.9));
        assert!(!Bound::Below(1.0).holds(f64::NAN) && !Bound::AtLeast(1.0).holds(f64::NAN));
    }
}
