//! Measures the task runner as a whole, beside ninja and cp: `cargo xtask bench tasks` runs it with one
//! word for each figure.
//!
//! The workspace is a tree of projects with ten tasks each; a task puts ten inputs of 1 KiB and the
//! beginning of its predecessor's output together. Both tools work on copies of one workspace, in turns,
//! and every output is compared with what it has to be.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a program that measures prints what it found and may fail loudly"
)]

mod agent;
mod place;

use place::Place;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 7;

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let value = match word.as_str() {
        "warm" => over_ninja(&|_, _| {}),
        "warm-seconds" => seconds(1000),
        "restore" => restored(&Place::in_memory(1000)),
        "restore-disk" => restored(&Place::new(1000)),
        "cold" => cold(),
        "turbo" => over_turbo(),
        "leaf" => over_ninja(&|place, round| place.touch_leaf(round)),
        "scale" => seconds(10_000) / seconds(1000),
        "large-restore" => large_restore(),
        "large-noop" => large_noop(),
        "memory" => memory(),
        "tool" => agent::call(false),
        "tool-restored" => agent::call(true),
        other => panic!("{other}: no such figure"),
    };
    println!("{{\"value\": {value}}}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Our median over another's, both told.
fn over(other: &str, ours: Vec<f64>, others: Vec<f64>) -> f64 {
    let (ours, others) = (median(ours), median(others));
    println!("mainstay {ours:.4} s, {other} {others:.4} s");
    ours / others
}

/// Runs a command to its success; how long it took, in seconds.
fn timed(mut command: Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let status = command.stderr(Stdio::inherit()).status().unwrap();
    let took = began.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}");
    took
}

/// Our time over ninja's, after the same preparation of both, in turns.
fn over_ninja(prepare: &dyn Fn(&Place, usize)) -> f64 {
    let place = Place::new(1000);
    let (mut ours, mut ninjas) = (Vec::new(), Vec::new());
    timed(place.ninja());
    timed(place.mainstay());
    for round in 0..ROUNDS {
        prepare(&place, round);
        ninjas.push(timed(place.ninja()));
        ours.push(timed(place.mainstay()));
        place.check();
    }
    over("ninja", ours, ninjas)
}

/// Our time over Turborepo's where there is nothing to do. Turborepo starts every command through npm, of
/// which only a shell's start is left here, and none at all where nothing runs.
fn over_turbo() -> f64 {
    let place = Place::new(1000);
    place.add_turbo();
    timed(place.mainstay());
    timed(place.turbo());
    place.check_turbo();
    let (mut ours, mut turbos) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        turbos.push(timed(place.turbo()));
        ours.push(timed(place.mainstay()));
    }
    over("turbo", ours, turbos)
}

/// Everything from nothing, in memory: on ext4 the making of files is slow for minutes after many were
/// removed, and what came before this figure would be measured with it.
fn cold() -> f64 {
    let (mut ours, mut ninjas) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let place = Place::in_memory(1000);
        ninjas.push(timed(place.ninja()));
        ours.push(timed(place.mainstay()));
        place.check();
    }
    over("ninja", ours, ninjas)
}

/// Everything brought back. As with `cold`, on ext4 it is the making of files that is measured where others
/// were removed before.
fn restored(place: &Place) -> f64 {
    seconds_in(place, &Place::remove_outputs)
}

/// Our time for a workspace that was built before, in seconds.
fn seconds(tasks: usize) -> f64 {
    seconds_in(&Place::new(tasks), &|_| {})
}

fn seconds_in(place: &Place, prepare: &dyn Fn(&Place)) -> f64 {
    timed(place.mainstay());
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        prepare(place);
        ours.push(timed(place.mainstay()));
        place.check();
    }
    let ours = median(ours);
    println!("{ours:.4} s");
    ours
}

/// 2,000 incompressible files of 1 MiB brought back, over a copy of them.
fn large_restore() -> f64 {
    let place = Place::large(2000);
    timed(place.mainstay());
    let (mut ours, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let copy = place.path("copy");
        let mut command = Command::new("cp");
        command.arg("-r").arg(place.path("ours/out")).arg(&copy);
        copies.push(timed(command));
        fs::remove_dir_all(copy).unwrap();
        fs::remove_dir_all(place.path("ours/out")).unwrap();
        place.settle();
        ours.push(timed(place.mainstay()));
        place.settle();
    }
    over("cp -r", ours, copies)
}

fn large_noop() -> f64 {
    let place = Place::large(2000);
    timed(place.mainstay());
    median((0..ROUNDS).map(|_| timed(place.mainstay())).collect())
}

/// The most memory that a run takes whose command writes 10 GB to its standard output and to a file, in MB.
fn memory() -> f64 {
    let place = Place::flood(5_000_000_000);
    let mut command = place.mainstay();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0.0) / 1000.0);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    peak
}
