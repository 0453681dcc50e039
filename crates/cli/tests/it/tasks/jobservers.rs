//! GNU make's jobserver, from both sides: make that starts us, and make that we start.

use super::{TaskRun, Tasks};
use crate::harness::{Ran, wait_until};
use std::process::Command;

/// A shell script that notes how many of its kind run at once. `$0` is its own name.
const JOB: &str = "echo > on-$0; ls on-* | wc -l >> seen; sleep 0.1; rm on-$0";

fn has_make() -> bool {
    let has = Command::new("make").arg("--version").output().is_ok();
    if !has {
        crate::harness::skipped("there is no make");
    }
    has
}

/// A makefile whose `all` runs this many jobs.
fn makefile(kind: &str, jobs: usize) -> String {
    let names: Vec<String> = (0..jobs).map(|number| format!("{kind}{number}")).collect();
    let job = JOB.replace("$0", "$@");
    let own = format!("ls on-{kind}* | wc -l >> seen-{kind}");
    let job = job.replace("; sleep", &format!("; {own}; sleep"));
    let all = names.join(" ");
    format!("all: {all}\n{all}:\n\t@{job}\n")
}

/// The most that ran at once.
fn most(tasks: &Tasks, name: &str) -> usize {
    let seen = tasks.read(name);
    seen.lines()
        .map(|line| line.trim().parse().unwrap())
        .max()
        .unwrap()
}

/// Runs a makefile whose only command starts us.
fn made(tasks: &Tasks, prefix: &str, jobs: &str, target: &str) -> Ran {
    let command = tasks.command(&["--jobs", "8", target]);
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
    let line = words.join(" ");
    tasks.write("Makefile", &format!("all:\n\t@{prefix}{line}\n"));
    let mut make = Command::new("make");
    make.args([jobs, "all"]).current_dir(tasks.path("."));
    make.env("HOME", tasks.place.path());
    for name in ["MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "MAKELEVEL"] {
        make.env_remove(name);
    }
    let ran = Ran::of(&make.output().unwrap());
    // So make says it where tokens are missing at its end, or are too many.
    assert!(!ran.stderr.contains("jobserver tokens"), "{ran:?}");
    ran
}

/// Six tasks that note how many run at once, and one that needs them.
fn six(extra: &str) -> Tasks {
    let mut manifest = String::new();
    for number in 0..6 {
        manifest.push_str(&format!(
            "  t{number}: {{command: [sh, -c, '{JOB}', t{number}]}}\n"
        ));
    }
    manifest.push_str("  all: {command: ['true'], after: [t0, t1, t2, t3, t4, t5]}\n");
    Tasks::new(&format!("{manifest}{extra}"))
}

#[test]
fn make_that_starts_us_says_how_much_runs_at_once() {
    if !has_make() {
        return;
    }
    let tasks = six("");
    made(&tasks, "+", "-j3", "all").ok();
    assert_eq!(most(&tasks, "seen"), 3);
}

#[test]
fn what_was_taken_from_make_is_given_back_in_every_case() {
    if !has_make() {
        return;
    }
    let tasks = six(
        "  fails: {command: [sh, -c, 'sleep 0.1; exit 3'], after: []}\n  \
           late: {shell: 'make -f inner.mk all; sleep 300', jobserver: true, weight: 4, timeout: 400ms}\n  \
           bad: {command: ['true'], after: [fails, late, t0, t1]}\n",
    );
    tasks.write("inner.mk", &makefile("x", 40));
    let ran = made(&tasks, "+", "-j4", "bad");
    assert_ne!(ran.exit, 0);
    let late = six(
        "  late: {shell: 'make -f inner.mk all', jobserver: true, weight: 4, timeout: 400ms}\n",
    );
    late.write("inner.mk", &makefile("x", 40));
    let ran = made(&late, "+", "-j4", "late");
    assert!(ran.stdout.contains("timed_out"), "{ran:?}");
    assert!(most(&late, "seen-x") >= 2);
}

#[test]
fn a_jobserver_that_is_closed_is_told_and_ignored() {
    if !has_make() {
        return;
    }
    let tasks = six("");
    let ran = made(&tasks, "", "-j2", "all");
    let told = ran.ok().stdout.matches("\"event\":\"jobserver\"").count();
    assert_eq!(told, 1, "{ran:?}");
    assert!(most(&tasks, "seen") > 2);
}

#[test]
fn makes_that_we_start_share_the_jobs_and_each_keeps_to_its_weight() {
    if !has_make() {
        return;
    }
    let tasks = Tasks::new(
        "  a: {shell: 'make -f a.mk all', jobserver: true, weight: 4}\n  \
           b: {shell: 'make -f b.mk all', jobserver: true, weight: 2}\n  \
           both: {command: ['true'], after: [a, b]}\n",
    );
    tasks
        .write("a.mk", &makefile("a", 16))
        .write("b.mk", &makefile("b", 8));
    tasks.run(&["--jobs", "4", "both"]).ok();
    assert_eq!(most(&tasks, "seen"), 4);
    assert!(most(&tasks, "seen-b") <= 2);
    assert!(most(&tasks, "seen-a") >= 3);
}

#[test]
fn who_comes_later_gets_its_part() {
    if !has_make() {
        return;
    }
    // Both want everything; `b` begins when `a` has it all.
    let tasks = Tasks::new(
        "  a: {shell: 'make -f a.mk all', jobserver: true, weight: 6}\n  \
           b: {shell: 'while [ ! -e seen-a ] || [ $(wc -l < seen-a) -lt 8 ]; do sleep 0.01; done; make -f b.mk all', jobserver: true, weight: 6}\n  \
           c: {shell: 'while [ ! -e seen-b ]; do sleep 0.01; done; true', weight: 2}\n  \
           all: {command: ['true'], after: [a, b, c]}\n",
    );
    tasks
        .write("a.mk", &makefile("a", 60))
        .write("b.mk", &makefile("b", 12));
    tasks.run(&["--jobs", "6", "all"]).ok();
    assert!(most(&tasks, "seen") <= 6);
    assert!(most(&tasks, "seen-b") >= 2, "{}", tasks.read("seen-b"));
}

#[test]
fn jobs_of_a_command_come_from_the_make_that_started_us() {
    if !has_make() {
        return;
    }
    let tasks = six(
        "  m: {shell: 'make -f inner.mk all', jobserver: true, weight: 8}\n  \
           both: {command: ['true'], after: [m, all]}\n",
    );
    tasks.write("inner.mk", &makefile("x", 12));
    let ran = made(&tasks, "+", "-j3", "both");
    let run = TaskRun::of(ran);
    run.ok();
    assert_eq!(most(&tasks, "seen"), 3);
}

#[test]
fn who_waits_for_a_token_hears_a_signal() {
    let tasks = Tasks::new(
        "  a: {shell: 'echo > begun-a; sleep 300'}\n  b: {shell: 'echo > begun-b; sleep 300'}\n  \
           both: {command: ['true'], after: [a, b]}\n",
    );
    let fifo = tasks.path("tokens");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut command = tasks.command(&["--jobs", "2", "both"]);
    command.env(
        "MAKEFLAGS",
        format!("-j3 --jobserver-auth=fifo:{}", fifo.display()),
    );
    let child = command.spawn().unwrap();
    let begun = || ["begun-a", "begun-b"].map(|name| tasks.path(name).exists());
    wait_until("one has begun", || begun().contains(&true));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let run = TaskRun::of(Ran::of(&child.wait_with_output().unwrap()));
    assert_eq!(run.ran.exit, 143);
    assert_eq!(
        (run.outcome("a"), run.outcome("b")),
        ("cancelled", "cancelled")
    );
    assert_eq!(
        begun().iter().filter(|has| **has).count(),
        1,
        "one needs no token"
    );
}
