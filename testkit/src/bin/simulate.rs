//! Runs the simulation of sessions: `simulate [--first SEED] [--seeds SCHEDULES] [--only]`.
//!
//! Without `--only`, schedules of growing seeds run on every core until there were so many. With it,
//! every schedule of one seed runs, and the trace of the first that fails is printed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it reports to a person"
)]

use mainstay_testkit::simulation::{self, Report, World};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

struct Options {
    first: u64,
    schedules: u64,
    is_only: bool,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: simulate [--first SEED] [--seeds SCHEDULES] [--only]");
        return ExitCode::from(2);
    };
    if options.is_only {
        one(options.first)
    } else {
        many(&options)
    }
}

fn options() -> Option<Options> {
    let mut options = Options {
        first: 1,
        schedules: 100_000,
        is_only: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--first" => options.first = arguments.next()?.parse().ok()?,
            "--seeds" | "--schedules" => options.schedules = arguments.next()?.parse().ok()?,
            "--only" => options.is_only = true,
            _ => return None,
        }
    }
    Some(options)
}

fn many(options: &Options) -> ExitCode {
    let started = Instant::now();
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let each = options.schedules.div_ceil(workers);
    let run = |worker: u64| {
        let first = options.first + worker * 1_000_000;
        move || simulation::run(first, each)
    };
    let threads: Vec<_> = (0..workers)
        .map(|worker| thread::spawn(run(worker)))
        .collect();
    let mut total = Report::default();
    for thread in threads {
        match thread.join() {
            Ok(Ok(report)) => add(&mut total, report),
            Ok(Err(broken)) => {
                eprintln!("{broken}");
                return ExitCode::FAILURE;
            }
            Err(_) => return ExitCode::FAILURE,
        }
    }
    println!(
        "{} schedules of {} seeds: {} crashes, {} records, {} effects outside, {:.1} s",
        total.schedules,
        total.seeds,
        total.crashes,
        total.records,
        total.effects,
        started.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn add(total: &mut Report, report: Report) {
    total.schedules += report.schedules;
    total.seeds += report.seeds;
    total.crashes += report.crashes;
    total.records += report.records;
    total.effects += report.effects;
}

fn one(seed: u64) -> ExitCode {
    let mut report = Report::default();
    match simulation::sweep(seed, &mut report) {
        Ok(()) => {
            println!("seed {seed}: {report:?}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            let crashes: Vec<u64> = broken.point.into_iter().collect();
            let mut world = World::new(seed, &crashes);
            let _told_above = world.run();
            eprintln!("{}\n{broken}", world.trace().text);
            ExitCode::FAILURE
        }
    }
}
