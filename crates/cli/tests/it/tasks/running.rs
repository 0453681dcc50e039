//! Running commands: what they find, what they may hold, and that nothing of them outlives them.

use super::Tasks;
use crate::harness::wait_until;
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn the_environment_is_what_was_declared() {
    let tasks =
        Tasks::new("  t: {command: [env], env: [SEEN, UNSET, 'FIXED=a b'], pass_env: [PASSED]}\n");
    let mut command = tasks.command(&["t"]);
    command
        .env("SEEN", "1")
        .env("PASSED", "2")
        .env("SECRET", "3");
    let run = super::TaskRun::of(crate::harness::Ran::of(&command.output().unwrap()));
    let mut names: Vec<String> = run.ok().said().lines().map(str::to_owned).collect();
    names.retain(|line| !line.starts_with("MAINSTAY_TASK="));
    names.sort();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(names, ["FIXED=a b", "PASSED=2", path, "SEEN=1"]);
}

#[test]
fn every_finding_of_the_graph_comes_at_once_with_its_place() {
    let tasks = Tasks::new(
        "  a: {command: [x], after: [b]}\n  \
           b: {command: [x], after: [a, nothing]}\n  \
           c: {command: [x], outputs: [o/x]}\n  \
           d: {command: [x], outputs: ['o/**']}\n  \
           e: {command: [x], inputs: ['q/**'], outputs: ['q/**']}\n  \
           f: {command: [x], inputs: [g.out], outputs: [f.out]}\n  \
           g: {command: [x], inputs: [f.out], outputs: [g.out]}\n  \
           h: {command: [x], after: [h]}\n  \
           i: {command: [x], inputs: [../outside]}\n",
    );
    let findings = tasks.findings();
    let told: Vec<(u64, &str)> = findings
        .iter()
        .map(|found| {
            let line = found["line"].as_u64().unwrap();
            (line, found["problem"]["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            (4, "cycle"),
            (5, "unknown_reference"),
            (7, "overlap"),
            (8, "overlap"),
            (9, "cycle"),
            (11, "cycle"),
            (12, "value"),
        ],
        "{findings:#?}"
    );
    let hint = findings[4]["hint"].as_str().unwrap();
    assert!(hint.contains("`w:f` reads what `w:g` makes"), "{hint}");
}

#[test]
fn what_reads_an_output_waits_for_it() {
    let tasks = Tasks::new(
        "  use: {shell: 'cat gen/*.txt > all', inputs: ['gen/*.txt'], outputs: [all]}\n  \
           make: {shell: 'sleep 0.05; mkdir -p gen; echo one > gen/a.txt', inputs: [], outputs: [gen/a.txt]}\n",
    );
    tasks.run(&["use"]).ok();
    assert_eq!(tasks.read("all"), "one\n");
}

#[test]
fn mutexes_hold_within_a_run_and_between_runs() {
    let body = "test ! -e lock || exit 1; echo > lock; sleep 0.03; rm lock";
    let mut manifest = String::new();
    for number in 0..4 {
        manifest.push_str(&format!("  t{number}: {{shell: '{body}', mutex: db}}\n"));
    }
    manifest.push_str("  all: {command: ['true'], after: [t0, t1, t2, t3]}\n");
    let tasks = Tasks::new(&manifest);
    let spawn = || tasks.command(&["--jobs", "8", "all"]).spawn().unwrap();
    let runs = [spawn(), spawn()];
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn jobs_weights_and_tags_bound_what_runs_at_once() {
    let body = "echo > on-$0; ls on-* | wc -l >> seen-$1; sleep 0.05; rm on-$0";
    let mut manifest =
        String::from("version: 1\nname: w\nconcurrency: {tags: {slow: 1}}\ntasks:\n");
    for number in 0..4 {
        let line =
            format!("  t{number}: {{command: [sh, -c, '{body}', t{number}, tag], tags: [slow]}}\n");
        manifest.push_str(&line);
        let line =
            format!("  h{number}: {{command: [sh, -c, '{body}', h{number}, weight], weight: 9}}\n");
        manifest.push_str(&line);
    }
    manifest.push_str("  tag: {command: ['true'], after: [t0, t1, t2, t3]}\n");
    manifest.push_str("  weight: {command: ['true'], after: [h0, h1, h2, h3]}\n");
    let tasks = Tasks::of(&manifest);
    for kind in ["tag", "weight"] {
        tasks.run(&["--jobs", "4", kind]).ok();
        let seen = tasks.read(&format!("seen-{kind}"));
        assert!(
            seen.lines().all(|line| line.trim() == "1"),
            "{kind}: {seen}"
        );
    }
}

#[test]
fn it_is_tried_again_where_it_fails() {
    let tasks = Tasks::new(
        "  t: {shell: 'echo >> tries; test $(wc -l < tries) -ge 3', retries: 2}\n  \
           u: {command: ['false'], retries: 1}\n",
    );
    assert_eq!(tasks.run(&["t"]).ok().ended("t")["attempts"], 3);
    let run = tasks.run(&["u"]);
    run.failed_with("u", "task.failed");
    assert_eq!(run.ended("u")["attempts"], 2);
}

#[test]
fn what_escapes_is_found_and_ended() {
    let tasks = Tasks::new(
        "  t: {shell: 'setsid sh -c \"trap : TERM; while :; do sleep 0.1; done\" & \
             env -i setsid sleep 300 >/dev/null 2>&1 & \
             sleep 0.1; echo done'}\n",
    );
    let began = Instant::now();
    let run = tasks.run(&["t"]);
    assert_eq!(run.ok().said(), "done\n");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "who holds stdout delays nothing"
    );
    assert!(
        run.ended("t")["escaped"].as_u64().unwrap() >= 1,
        "{:?}",
        run.ran
    );
}

#[test]
fn whoever_ignores_the_first_word_hears_the_second() {
    let tasks = Tasks::new(
        "  t: {shell: 'trap \"\" TERM INT; echo up; while :; do sleep 0.01; done', grace: 1h}\n",
    );
    let log = tasks.path("log");
    let mut command = tasks.command(&["t"]);
    command.stdout(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    wait_until("it is up", || {
        std::fs::read_to_string(&log).unwrap().contains("up")
    });
    for _ in 0..2 {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn bytes_come_through_as_they_are_and_again_from_the_cache() {
    let tasks = Tasks::new(
        "  t: {command: [printf, 'a\\000\\377\\n\\tb'], inputs: []}\n  \
           long: {shell: 'head -c 3000000 /dev/zero; echo end >&2', inputs: []}\n",
    );
    for task in ["t", "long"] {
        let raw = || {
            let output = tasks
                .place
                .command(&["-q", "task", "run", task])
                .output()
                .unwrap();
            assert!(output.status.success());
            (output.stdout, output.stderr)
        };
        let first = raw();
        assert_eq!(raw(), first);
    }
    let output = tasks
        .place
        .command(&["-q", "task", "run", "t"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"a\0\xff\n\tb");
}

#[test]
fn outputs_of_tasks_that_run_together_do_not_mix() {
    let body = "for i in 1 2 3 4 5 6; do echo $0 $i; sleep 0.01; done";
    let mut manifest = String::new();
    for number in 0..4 {
        manifest.push_str(&format!(
            "  t{number}: {{command: [sh, -c, '{body}', t{number}]}}\n"
        ));
    }
    manifest.push_str("  all: {command: ['true'], after: [t0, t1, t2, t3]}\n");
    let ran = Tasks::new(&manifest).plain(&["--jobs", "4", "all"]);
    let names: Vec<&str> = ran.ok().stdout.lines().map(|line| &line[..2]).collect();
    let blocks = names.chunks(6);
    assert_eq!(names.len(), 24);
    for block in blocks {
        assert!(
            block.iter().all(|name| *name == block[0]),
            "{:?}",
            ran.stdout
        );
    }
}

#[test]
fn a_node_elsewhere_is_not_asked_for_what_is_here() {
    let tasks = Tasks::new("  t: {command: ['true']}\n");
    let args = ["--json", "--url", "http://127.0.0.1:1", "task", "why", "t"];
    tasks
        .place
        .mainstay(&args)
        .failed_with("runtime.invalid_request");
}

#[test]
fn names_mean_what_one_expects() {
    let tasks = Tasks::of(
        "version: 1\nname: w\nprojects: [apps/*]\ntasks: {top: {command: [echo, top]}}\n",
    );
    tasks.write(
        "apps/a/mainstay.yaml",
        "tasks: {x: {command: [echo, ax]}, y: {command: [echo, ay], after: ['b:x']}}\n",
    );
    tasks.write(
        "apps/b/mainstay.yaml",
        "version: 1\nname: b\ntasks: {x: {command: [echo, bx]}}\n",
    );
    let said = |args: &[&str], from: &str| {
        let mut command = tasks.command(args);
        let run = command.current_dir(tasks.path(from)).output().unwrap();
        let run = super::TaskRun::of(crate::harness::Ran::of(&run));
        let mut said: Vec<String> = run.said().lines().map(str::to_owned).collect();
        said.sort();
        (said.join(" "), run.ran.exit)
    };
    assert_eq!(said(&[":x"], "."), ("ax bx".to_owned(), 0));
    assert_eq!(said(&["a:y"], "."), ("ay bx".to_owned(), 0));
    assert_eq!(said(&["x"], "apps/b"), ("bx".to_owned(), 0));
    assert_eq!(said(&["top"], "apps/b"), ("top".to_owned(), 0));
    let ran = tasks.place.mainstay(&["--json", "task", "run", "a:z"]);
    let report = ran.failed_with("runtime.not_found");
    assert!(
        report["message"]
            .as_str()
            .unwrap()
            .contains("`a:x` or `a:y`"),
        "{report}"
    );
    let graph = tasks
        .place
        .mainstay(&["--json", "task", "graph", "a:y"])
        .ok()
        .json();
    assert_eq!(
        graph["edges"],
        json!([{"from": "b:x", "to": "a:y", "kind": "after"}])
    );
}

#[test]
fn waiting_for_a_turn_is_no_work() {
    let tasks = Tasks::new(
        "  a: {shell: 'sleep 0.6', mutex: [m]}\n  b: {shell: 'true', mutex: [m], follows: [a]}\n  c: {shell: 'true', mutex: [m]}\n",
    );
    let run = tasks.run(&["--jobs", "3", "a", "b", "c"]);
    let took = |task: &str| run.ok().ended(task)["took_ms"].as_u64().unwrap();
    assert!(took("a") >= 500);
    assert!(
        took("c") < took("a"),
        "c waits for the mutex or is before a: {run:?}"
    );
}

#[test]
fn names_do_not_command_the_terminal() {
    let name = "x\u{1b}[2J\u{9b}31m\rw:t: up to date\nw:u: is new";
    let tasks = Tasks::new(
        "  t: {shell: 'printf \"\\033[1mloud\\033[0m\\n\"; ls x*', inputs: ['x*']}\n  \
           u: {command: [\"a\\e[31m\"], inputs: [\"gone\\e]0;x\\n\"], env: [PATH]}\n",
    );
    tasks
        .write(".gitignore", "/cache\n/data\n")
        .write(name, "1");
    tasks.git(&["init", "-q"]);
    tasks.git(&["add", "-A"]);
    tasks.git(&["commit", "-qm", "one"]);
    let said = format!("\u{1b}[1mloud\u{1b}[0m\n{name}\n");
    assert_eq!(tasks.plain(&["t"]).ok().stdout, said);
    assert_eq!(tasks.plain(&["t"]).ok().stdout, said, "repeated as it was");
    tasks.write(name, "2");
    for args in [
        &["task", "why", "t"][..],
        &["task", "why", "u"],
        &["task", "affected", "--since", "HEAD"],
        &["task", "ls"],
        &["task", "run", "u"],
        &["-f", "a\u{1b}[2J", "check"],
    ] {
        let ran = tasks.place.mainstay(args);
        for text in [&ran.stdout, &ran.stderr] {
            let is_told =
                |line: &str| !line.contains(char::is_control) && !line.starts_with("w:u: is new");
            assert!(text.lines().all(is_told), "{args:?}: {ran:?}");
        }
    }
    let told = tasks.place.mainstay(&["task", "why", "t"]).stdout;
    assert!(
        told.contains(r"`x\u{1b}[2J\u{9b}31m\rw:t: up to date\nw:u: is new` has other content"),
        "{told}"
    );
}

/// Runs a task from within another; `cache`: the way there from the current folder.
fn nested(cache: &str, task: &str) -> String {
    let binary = super::binary();
    format!("{binary} --json --cache-dir {cache} task run {task}")
}

/// Makes `out`, and fails where somebody else does so meanwhile.
const ALONE: &str = "mkdir busy || exit 1; echo >> runs; for i in 1 2 3 4 5; do echo $i >> out; sleep 0.02; done; rmdir busy";

#[test]
fn runs_within_tasks_of_one_run_wait_for_each_other_and_not_for_it() {
    let gen_task = format!("gen: {{shell: '{ALONE}', inputs: [], outputs: [out]}}");
    let inner = nested("cache", "gen");
    let deeper = nested("cache", "x");
    let there = format!("cd b && {}", nested("../cache", "back"));
    let tasks = Tasks::new(&format!(
        "  {gen_task}\n  \
           x: {{shell: '{inner}'}}\n  \
           y: {{shell: '{inner}'}}\n  \
           z: {{shell: '{deeper}'}}\n  \
           there: {{shell: '{there}'}}\n  \
           all: {{command: ['true'], after: [x, y, z, there]}}\n"
    ));
    let back = format!("cd .. && {}", nested("cache", "gen"));
    tasks.write(
        "b/mainstay.yaml",
        &format!("version: 1\nname: b\ntasks:\n  back: {{shell: '{back}'}}\n"),
    );
    tasks.run(&["--jobs", "5", "all"]).ok();
    assert_eq!(tasks.read("out"), "1\n2\n3\n4\n5\n");
    assert_eq!(tasks.read("runs"), "\n", "whoever waited finds the result");
}

#[test]
fn a_run_within_a_task_waits_for_others_in_another_workspace() {
    let there = format!("cd b && exec {}", nested("../cache", "gen"));
    let tasks = Tasks::new(&format!("  there: {{shell: '{there}'}}\n"));
    tasks.write(
        "b/mainstay.yaml",
        "version: 1\nname: b\ntasks:\n  gen: {shell: 'test ! -e begun || exit 1; touch begun; until test -e go; do sleep 0.01; done; rm begun'}\n",
    );
    let mut other = tasks.command(&["gen"]);
    let other = other.current_dir(tasks.path("b")).stdout(Stdio::null());
    let mut other = other.spawn().unwrap();
    wait_until("it begins", || tasks.path("b/begun").exists());
    let log = tasks.path("log");
    let mut run = tasks.command(&["there"]);
    run.stdout(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut run = run.spawn().unwrap();
    wait_until("the other one waits or is over", || {
        tasks.read("log").contains("waiting") || run.try_wait().unwrap().is_some()
    });
    tasks.write("b/go", "");
    assert!(run.wait().unwrap().success(), "{}", tasks.read("log"));
    assert!(other.wait().unwrap().success());
}

#[test]
fn runs_that_wait_for_each_others_workspaces_are_told() {
    let meet =
        |own: &str, other: &str| format!("touch {own}; until test -e {other}; do sleep 0.01; done");
    let tasks = Tasks::new(&format!(
        "  x: {{shell: 'cd b && {}'}}\n  \
           y: {{shell: '{}'}}\n  \
           there: {{shell: '{}; cd b && {}'}}\n  \
           gen: {{command: ['true']}}\n  \
           all: {{command: ['true'], after: [x, y]}}\n",
        nested("../cache", "back"),
        nested("cache", "there"),
        meet("one", "two"),
        nested("../cache", "gen"),
    ));
    let back = format!("cd ..; {}; {}", meet("two", "one"), nested("cache", "gen"));
    tasks.write(
        "b/mainstay.yaml",
        &format!(
            "version: 1\nname: b\ntasks:\n  back: {{shell: '{back}'}}\n  gen: {{command: ['true']}}\n"
        ),
    );
    let run = tasks.run(&["--jobs", "2", "--keep-going", "all"]);
    assert_eq!(run.outcome("all"), "skipped");
    assert!(
        run.said()
            .contains("waits for one that this run is part of")
    );
}
