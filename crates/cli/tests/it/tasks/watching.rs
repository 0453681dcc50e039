//! `task run --watch`: rounds, what begins them, and what stays up meanwhile.

use super::Tasks;
use crate::harness::{LIMIT, wait_until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A run that watches, with its events in a file.
struct Rounds<'t> {
    tasks: &'t Tasks,
    child: Child,
}

impl<'t> Rounds<'t> {
    fn start(tasks: &'t Tasks, args: &[&str]) -> Self {
        let mut all = vec!["--watch"];
        all.extend(args);
        Self::of(tasks, tasks.command(&all))
    }

    fn of(tasks: &'t Tasks, mut command: Command) -> Self {
        let log = std::fs::File::create(tasks.path("cache-log")).unwrap();
        let child = command.stdout(log).stderr(Stdio::null()).spawn().unwrap();
        Self { tasks, child }
    }

    /// What it said so far, whole lines.
    fn events(&self) -> Vec<Value> {
        let said = self.tasks.read("cache-log");
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        let lines = whole.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until it waits for the time of this number, and gives what it said since the time before.
    #[track_caller]
    fn waits(&self, number: usize) -> Round {
        let deadline = Instant::now() + LIMIT;
        loop {
            let events = self.events();
            let mut rounds = events.split_inclusive(|event| event["event"] == "watching");
            if let Some(round) = rounds.nth(number - 1)
                && round.last().unwrap()["event"] == "watching"
            {
                return Round(round.to_vec());
            }
            assert!(Instant::now() < deadline, "no wait {number}: {events:#?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Ends it; its exit code.
    fn stop(mut self) -> Option<i32> {
        self.signal();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Rounds<'_> {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What was said from one wait to the next.
#[derive(Debug)]
struct Round(Vec<Value>);

impl Round {
    fn of(&self, event: &str) -> Vec<&Value> {
        let all = self.0.iter();
        all.filter(|found| found["event"] == event).collect()
    }

    /// Whose commands were started.
    fn started(&self) -> Vec<&str> {
        let names = self.of("started").into_iter();
        names.map(|event| event["task"].as_str().unwrap()).collect()
    }

    /// The tasks whose changes began it.
    fn changed(&self) -> Vec<&str> {
        let rounds = self.of("round").into_iter();
        let changed = rounds.flat_map(|round| round["changed"].as_array().unwrap());
        changed
            .map(|found| found["task"].as_str().unwrap())
            .collect()
    }

    fn said(&self) -> String {
        let texts = self.of("output").into_iter();
        texts.filter_map(|event| event["text"].as_str()).collect()
    }
}

fn pid(tasks: &Tasks, name: &str) -> Pid {
    Pid::from_raw(tasks.read(name).trim().parse().unwrap()).unwrap()
}

fn is_alive(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

#[test]
fn what_is_affected_runs_again_and_nothing_else() {
    let tasks = Tasks::new(
        "  a: {shell: 'cat a.in | tr a-z A-Z > a.out', inputs: [a.in], outputs: [a.out]}\n  \
           b: {command: [cp, b.in, b.out], inputs: [b.in], outputs: [b.out]}\n  \
           all: {shell: 'cat a.out b.out', inputs: [a.out, b.out]}\n  \
           tell: {command: [echo, told], after: [b], inputs: [none*]}\n",
    );
    tasks.write("a.in", "one\n").write("b.in", "two\n");
    let rounds = Rounds::start(&tasks, &["all", "tell"]);
    let first = rounds.waits(1);
    assert_eq!(first.started().len(), 4);
    assert_eq!(first.of("summary").len(), 1);

    tasks.write("a.in", "three\n");
    let second = rounds.waits(2);
    assert_eq!(second.changed(), ["w:a"], "{second:?}");
    assert_eq!(second.started(), ["w:a", "w:all"]);
    assert_eq!(second.said(), "THREE\ntwo\n");
    let changes = &second.of("round")[0]["changed"][0]["changes"];
    assert_eq!(
        *changes,
        json!([{"kind": "input", "path": "a.in", "change": "content"}])
    );

    // The same outputs: nothing behind it runs.
    tasks.write("a.in", "Three\n");
    assert_eq!(rounds.waits(3).started(), ["w:a"]);
    // Another run of the workspace is not kept waiting.
    let other = tasks.run(&["--force", "b"]);
    assert!(
        other
            .ok()
            .events
            .iter()
            .all(|event| event["event"] != "waiting")
    );
    assert_eq!(rounds.stop(), Some(0));
}

#[test]
fn what_stays_up_is_restarted_only_where_it_has_to() {
    let tasks = Tasks::new(
        "  build: {shell: 'head -n 1 source > built', inputs: [source], outputs: [built]}\n  \
           other: {command: ['true']}\n  \
           server: {shell: 'echo $$ > pid; echo up; exec sleep 300', inputs: [config], after: [build], persistent: true, ready: {line: up}}\n  \
           test: {shell: 'cat test.in', inputs: [test.in], after: [server]}\n",
    );
    tasks
        .write("source", "1\n")
        .write("config", "1")
        .write("test.in", "1");
    let rounds = Rounds::start(&tasks, &["server", "test"]);
    assert_eq!(rounds.waits(1).started(), ["w:build", "w:server", "w:test"]);
    let first = pid(&tasks, "pid");
    // It began while its run had the workspace, and does not keep it.
    let other = tasks.run(&["other"]);
    assert!(
        other
            .ok()
            .events
            .iter()
            .all(|event| event["event"] != "waiting")
    );

    tasks.write("test.in", "2");
    assert_eq!(rounds.waits(2).started(), ["w:test"]);
    tasks.write("source", "1\nmore\n");
    assert_eq!(
        rounds.waits(3).started(),
        ["w:build"],
        "with the same outputs"
    );
    assert_eq!(pid(&tasks, "pid"), first);

    tasks.write("source", "2\n");
    assert_eq!(rounds.waits(4).started()[..2], ["w:build", "w:server"]);
    let second = pid(&tasks, "pid");
    assert!(!is_alive(first) && is_alive(second));
    tasks.write("config", "2");
    let round = rounds.waits(5);
    assert_eq!(round.started()[0], "w:server", "{round:?}");
    let third = pid(&tasks, "pid");
    assert!(!is_alive(second) && is_alive(third));

    // It dies: told, and begun again with the next change.
    kill_process(third, Signal::KILL).unwrap();
    wait_until("its end is told", || {
        let events = rounds.events();
        events.iter().any(|event| event["outcome"] == "failed")
    });
    tasks.write("test.in", "3");
    assert!(rounds.waits(6).started().contains(&"w:server"));
    let last = pid(&tasks, "pid");
    assert_eq!(rounds.stop(), Some(0));
    assert!(!is_alive(last));
}

#[test]
fn a_manifest_that_is_wrong_is_told_and_mended() {
    let task = |text: &str| {
        format!("version: 1\nname: w\ntasks: {{t: {{command: [echo, {text}], inputs: []}}}}\n")
    };
    let tasks = Tasks::of(&task("one"));
    let rounds = Rounds::start(&tasks, &["t"]);
    assert_eq!(rounds.waits(1).said(), "one\n");
    tasks.write(
        "mainstay.yaml",
        "version: 1\ntasks: {t: {comand: [echo]}}\n",
    );
    let round = rounds.waits(2);
    let told = round
        .0
        .iter()
        .find(|event| event["code"] == "manifest.invalid");
    assert!(told.is_some() && round.started().is_empty(), "{round:?}");
    tasks.write("mainstay.yaml", &task("two"));
    let round = rounds.waits(3);
    assert_eq!(round.said(), "two\n");
    assert_eq!(round.of("round")[0]["manifests"], true);
    assert_eq!(rounds.stop(), Some(0));
}

#[test]
fn a_failure_is_waited_out() {
    let tasks = Tasks::new(
        "  t: {shell: 'grep good source', inputs: [source]}\n  u: {command: [echo, u], after: [t], inputs: []}\n",
    );
    tasks.write("source", "bad\n");
    let rounds = Rounds::start(&tasks, &["u"]);
    let first = rounds.waits(1);
    assert_eq!(first.of("summary")[0]["failed"], 1, "{first:?}");
    tasks.write("source", "good\n");
    let second = rounds.waits(2);
    assert_eq!(second.said(), "good\nu\n");
    tasks.write("source", "bad\n");
    rounds.waits(3);
    assert_eq!(rounds.stop(), Some(1), "the last round failed");
}

#[test]
fn a_signal_leaves_nothing_whether_it_waits_or_runs() {
    let server = "server: {shell: 'echo $$ > pid; exec sleep 300', inputs: [], persistent: true}\n  \
                  slow: {shell: 'echo $$ > slow.pid; exec sleep 300', inputs: [], after: [server]}\n";
    let tasks = Tasks::new(&format!("  {server}"));
    let rounds = Rounds::start(&tasks, &["server"]);
    rounds.waits(1);
    let up = pid(&tasks, "pid");
    assert!(is_alive(up));
    assert_eq!(rounds.stop(), Some(0));
    assert!(!is_alive(up));

    let rounds = Rounds::start(&tasks, &["slow"]);
    wait_until("it runs", || {
        std::fs::read_to_string(tasks.path("slow.pid")).is_ok_and(|pid| pid.ends_with('\n'))
    });
    let (up, slow) = (pid(&tasks, "pid"), pid(&tasks, "slow.pid"));
    assert_eq!(rounds.stop(), Some(143));
    assert!(!is_alive(up) && !is_alive(slow));
}

#[test]
fn what_writes_its_own_inputs_ends_and_hears_of_others() {
    let tasks =
        Tasks::new("  t: {shell: 'cat source; date +%N >> log', inputs: [source, 'log*']}\n");
    tasks.write("source", "one\n");
    let rounds = Rounds::start(&tasks, &["t"]);
    let first = rounds.waits(1);
    assert_eq!(first.of("restless").len(), 1, "{first:?}");
    assert_eq!(first.started().len(), 3, "{first:?}");
    tasks.write("source", "two\n");
    let second = rounds.waits(2);
    assert_eq!(second.said(), "two\n", "{second:?}");
    assert_eq!(second.of("restless").len(), 0, "it was told");
    tasks.write("log", "by somebody else\n");
    assert_eq!(rounds.waits(3).said(), "two\n");
    assert_eq!(rounds.stop(), Some(0));
}

#[test]
fn a_change_while_it_runs_leads_to_another_round() {
    let tasks = Tasks::new(
        "  t: {shell: 'cat source; echo > begun; while [ ! -e go ]; do sleep 0.01; done', inputs: [source]}\n",
    );
    tasks.write("source", "one\n");
    let rounds = Rounds::start(&tasks, &["t"]);
    wait_until("it runs", || tasks.path("begun").exists());
    for text in ["a", "b", "two\n"] {
        tasks.write("source", text);
    }
    tasks.write("go", "");
    let round = rounds.waits(1);
    assert_eq!(round.said(), "one\ntwo\n", "{round:?}");
    assert_eq!(round.of("summary").len(), 2);
    assert_eq!(rounds.stop(), Some(0));
}

#[test]
fn a_node_elsewhere_is_not_asked_to_watch() {
    let tasks = Tasks::new("  t: {command: ['true']}\n");
    let args = [
        "--json",
        "--url",
        "http://127.0.0.1:1",
        "task",
        "run",
        "--watch",
        "t",
    ];
    let ran = tasks.place.mainstay(&args);
    ran.failed_with("runtime.invalid_request");
}

#[test]
fn folders_and_projects_that_come_go_and_are_replaced_are_seen() {
    let tasks = Tasks::of(
        "version: 1\nname: w\nprojects: [apps/*]\ntasks: {t: {shell: 'cat src/*/f', inputs: ['src/**']}}\n",
    );
    tasks.write("src/a/f", "a\n");
    let project = |word: &str| format!("tasks: {{t: {{command: [echo, {word}], inputs: []}}}}\n");
    tasks.write("apps/one/mainstay.yaml", &project("one"));
    let rounds = Rounds::start(&tasks, &[":t"]);
    assert_eq!(rounds.waits(1).started().len(), 2);
    tasks.write("src/b/f", "b\n");
    assert_eq!(rounds.waits(2).said(), "a\nb\n");
    let (from, to) = (tasks.path("src/b"), tasks.path("moved"));
    std::fs::rename(&from, &to).unwrap();
    assert_eq!(rounds.waits(3).said(), "a\n");
    tasks.write("moved/f", "c\n");
    std::fs::rename(&to, &from).unwrap();
    assert_eq!(rounds.waits(4).said(), "a\nc\n");
    tasks.write("apps/two/mainstay.yaml", &project("two"));
    let round = rounds.waits(5);
    assert_eq!(
        (round.said().as_str(), round.started()),
        ("two\n", vec!["two:t"])
    );
    assert_eq!(rounds.stop(), Some(0));
}

#[test]
fn what_was_up_when_its_run_was_killed_is_ended_by_the_next() {
    let tasks = Tasks::new(
        "  server: {shell: 'echo $$ > pid; exec sleep 300', inputs: [], persistent: true}\n  other: {command: ['true']}\n",
    );
    let rounds = Rounds::start(&tasks, &["server"]);
    rounds.waits(1);
    // Another run has the lock and gives it back meanwhile.
    tasks.run(&["other"]).ok();
    let up = pid(&tasks, "pid");
    drop(rounds);
    assert!(is_alive(up), "it was killed and could end nothing");
    tasks.run(&["other"]).ok();
    wait_until("it is gone", || !is_alive(up));
    let left = std::fs::read_dir(tasks.path("cache/tasks/workspaces"));
    let folders = left.into_iter().flatten().flatten();
    for folder in folders {
        let notes = std::fs::read_dir(folder.path().join("up"));
        assert_eq!(notes.into_iter().flatten().count(), 0);
    }
}
