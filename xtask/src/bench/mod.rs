//! `bench FACE`: runs the programs that measure, and sets their figures against the promises.
//!
//! A figure is measured by an example program of some crate, built for release. It ends with one line
//! of JSON on stdout: `{"value": 0.31}`, a median in the figure's unit. What it says before that line,
//! and on stderr, is shown. Figures run one after the other, so that none disturbs another.

mod figures;

use crate::place::{Failure, Place};
use crate::test::{target, tools};
use figures::{INFERENCE, SESSIONS, TASKS};
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
#[serde(rename_all = "snake_case")]
enum Measured {
    Value(f64),
    Skipped(String),
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

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Sessions,
    Tasks,
    Inference,
}

pub(crate) fn run(place: &Place, face: Face) -> Result<(), Failure> {
    let figures = match face {
        Face::Sessions => SESSIONS,
        Face::Tasks => TASKS,
        Face::Inference => INFERENCE,
    };
    if face == Face::Inference {
        let missing = tools::set_up(&target(place), tools::PEERS);
        missing.iter().for_each(|without| println!("{without}"));
    }
    cargo(place, &["build", "--release", "--package", "mainstay-cli"])?;
    let mut rows = Vec::new();
    let mut broken = 0;
    for figure in figures {
        println!("== {}", figure.title);
        let (said, is_kept) = match measure(place, figure) {
            Ok(Measured::Value(value)) => (
                format!("{value:.3} {}", figure.unit),
                figure.bound.holds(value),
            ),
            Ok(Measured::Skipped(why)) => {
                rows.push(row(figure, &why, "skipped"));
                continue;
            }
            Err(failure) => (format!("not measured: {failure}"), false),
        };
        broken += usize::from(!is_kept);
        rows.push(row(figure, &said, if is_kept { "yes" } else { "**no**" }));
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

fn row(figure: &Figure, said: &str, kept: &str) -> String {
    let Figure {
        title,
        unit,
        bound,
        package,
        example,
        arguments,
    } = figure;
    let promise = bound.words(unit);
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
