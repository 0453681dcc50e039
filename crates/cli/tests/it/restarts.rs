//! Nodes that come and go, in good order or not, and those who look on.

use crate::harness::{Place, Server, manifest, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};

const SLOW: &str = "- {text: slow, delay: 20s}\n";

fn place(script: &str) -> Place {
    let models = "  m: {provider: script, file: script.yaml}\n";
    Place::new(&manifest(models, "    max_attempts: 1\n"), script)
}

async fn start_turn(server: &Server, turn: &str) {
    let body = json!({"agent": "a", "input": "go", "turn_id": turn});
    let (status, answer) = server.post("/api/sessions/s/turns", &body).await;
    assert_eq!(status, 202, "{answer}");
}

fn count(place: &Place, kind: &str) -> usize {
    let events = place.events("s");
    events.iter().filter(|event| event["kind"] == kind).count()
}

/// A node that is at work on turn `t`.
async fn serve_at_work(place: &Place) -> Server {
    let server = place.serve();
    start_turn(&server, "t").await;
    wait_until("the turn is at work", || {
        count(place, "workspace_opened") > 0
    });
    server
}

/// A command whose events are read as they come.
struct Followed {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Followed {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut child = place.command(args).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until an event of this kind.
    fn until(&mut self, kind: &str) -> Value {
        for line in self.lines.by_ref() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["kind"] == kind {
                return event;
            }
        }
        panic!("the output ended before {kind}");
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test]
async fn a_stop_in_good_order_is_no_crash() {
    let place = place(SLOW);
    for round in 0..4 {
        let server = serve_at_work(&place).await;
        assert_eq!(count(&place, "turn_suspended"), round);
        assert_eq!(server.stop(), Some(0));
    }
    assert_eq!(count(&place, "turn_suspended"), 4);
    assert_eq!(count(&place, "turn_quarantined"), 0);
    let view = place.mainstay(&["--json", "session", "show", "s"]).json();
    assert_eq!(view["turns"][0]["attempt"], 0, "{view}");
}

#[tokio::test]
async fn who_only_looks_sets_nothing_going() {
    let place = place(SLOW);
    let server = serve_at_work(&place).await;
    server.kill();
    let before = place.events("s").len();
    for _ in 0..3 {
        place.mainstay(&["session", "show", "s"]).ok();
        place.mainstay(&["session", "ls"]).ok();
        place.mainstay(&["session", "diff", "s"]).ok();
        place.mainstay(&["doctor"]);
    }
    assert_eq!(place.events("s").len(), before);
    place.mainstay(&["session", "cancel", "s"]).ok();
    let view = place.mainstay(&["--json", "session", "show", "s"]).json();
    assert_eq!(view["turns"][0]["state"], "cancelled", "{view}");
    place.mainstay(&["session", "replay", "t"]).ok();
}

#[test]
fn a_run_outlives_the_node_that_began_it() {
    let script = "- {text: first, delay: 20s}\n";
    let place = place(script);
    let holder = Followed::start(&place, &["--json", "run", "a", "hold", "--session", "h"]);
    let mut holder = holder;
    holder.until("workspace_opened");
    place.write("script.yaml", "- {text: second, delay: 300ms}\n");
    let mut guest = Followed::start(&place, &["--json", "run", "a", "go", "--session", "s"]);
    guest.until("turn_started");
    drop(holder);
    let result = guest.until("result");
    assert_eq!(result["data"]["state"], "completed", "{result}");
    assert_eq!(guest.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn events_are_followed_from_node_to_node() {
    let place = place("- {text: one}\n- {text: two}\n");
    let server = place.serve();
    start_turn(&server, "one").await;
    let mut follower = Followed::start(&place, &["--json", "session", "events", "s", "--follow"]);
    let first = follower.until("turn_completed");
    assert_eq!(first["turn"], "one");
    server.kill();
    let server = place.serve();
    start_turn(&server, "two").await;
    let second = follower.until("turn_accepted");
    assert_eq!(
        second["seq"].as_u64(),
        first["seq"].as_u64().map(|seq| seq + 1)
    );
    follower.until("turn_completed");
}

#[tokio::test]
async fn a_tool_that_must_not_be_repeated_may_finish_before_the_stop() {
    let call =
        "- tool_calls: [{name: shell, arguments: {command: 'sleep 1; echo x >> /dev/null'}}]\n";
    let place = Place::new(
        "version: 1\nmodels:\n  m: {provider: script, file: script.yaml}\nagents:\n  a:\n    \
         model: m\n    tools: [{shell: {effect: once}}]\n",
        &format!("{call}- {{text: done}}\n"),
    );
    let server = place.serve();
    start_turn(&server, "t").await;
    wait_until("the tool is intended", || {
        count(&place, "tool_intended") > 0
    });
    assert_eq!(server.stop(), Some(0));
    assert_eq!(count(&place, "tool_completed"), 1);
    let server = place.serve();
    assert_eq!(server.settled("t").await["state"], "completed");
    assert_eq!(count(&place, "tool_intended"), 1);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left() {
    use futures_util::StreamExt;
    let place = place("- {text: one}\n- {text: two}\n");
    let server = place.serve();
    start_turn(&server, "one").await;
    server.settled("one").await;
    server.kill();
    let server = place.serve();
    let request = server
        .client()
        .get(format!("{}/api/sessions/s/events", server.url));
    let request = request
        .bearer_auth(&server.key)
        .header("last-event-id", "2");
    let response = request
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    start_turn(&server, "two").await;
    let mut text = String::new();
    let mut stream = response.bytes_stream();
    while text.matches("turn_completed").count() < 2 {
        text.push_str(&String::from_utf8_lossy(
            &stream.next().await.unwrap().unwrap(),
        ));
    }
    let ids = text.lines().filter_map(|line| line.strip_prefix("id:"));
    let ids: Vec<u64> = ids.map(|id| id.trim().parse().unwrap()).collect();
    let expected: Vec<u64> = (3..3 + ids.len() as u64).collect();
    assert_eq!(ids, expected, "{text}");
}

/// Kills the sandbox helper above the command that has this marker.
fn kill_helper(marker: &str) {
    let line = |process: i32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    };
    let processes = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
    };
    let parent = |process: i32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().parse::<i32>().ok()
    };
    let is_tool =
        |&process: &i32| line(process).starts_with("sleep") && line(process).contains(marker);
    wait_until("the tool runs", || {
        processes().any(|process| is_tool(&process))
    });
    let mut process = processes().find(is_tool).unwrap();
    let mut helpers = Vec::new();
    while let Some(above) = parent(process).filter(|&above| above > 1) {
        if line(above).contains("__sandbox") {
            helpers.push(above);
        }
        process = above;
    }
    // Init, helper, zygote: the second is the one that would tell.
    let helper = rustix::process::Pid::from_raw(helpers[1]).unwrap();
    rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_sandbox_that_dies_is_repeated_where_that_is_harmless() {
    let marker = format!("1.{}", std::process::id());
    let place = self::place(&format!(
        "- tool_calls: [{{name: shell, arguments: {{command: 'echo x >> log; sleep {marker}; cat log'}}}}]\n\
         - text: done\n"
    ));
    let mut run = Followed::start(&place, &["--json", "run", "a", "go", "--session", "s"]);
    kill_helper(&marker);
    let result = run.until("result");
    assert_eq!(result["data"]["state"], "completed", "{result}");
    assert_eq!(count(&place, "tool_completed"), 1);
    place.mainstay(&["session", "apply", "s"]).ok();
    assert_eq!(
        place.read("work/log"),
        "x\n",
        "the first run was rolled back"
    );
}

#[test]
fn a_sandbox_that_dies_leaves_what_is_once_in_doubt() {
    let marker = format!("2.{}", std::process::id());
    let place = Place::new(
        "version: 1\nmodels:\n  m: {provider: script, file: script.yaml}\nagents:\n  a:\n    \
         model: m\n    tools: [{shell: {effect: once}}]\n",
        &format!(
            "- tool_calls: [{{name: shell, arguments: {{command: 'sleep {marker}'}}}}]\n- text: done\n"
        ),
    );
    let mut run = Followed::start(&place, &["--json", "run", "a", "go", "--session", "s"]);
    kill_helper(&marker);
    let result = run.until("result");
    assert_eq!(result["data"]["state"], "in_doubt", "{result}");
    assert_eq!(result["data"]["error"]["effect"], "unknown", "{result}");
    let busy = place.mainstay(&["--json", "session", "rm", "s"]);
    let report = busy.failed_with("runtime.session_execution_busy");
    assert_eq!(report["retry"]["advice"], "after_fix", "{report}");
    assert!(
        report["hints"].to_string().contains("session resolve"),
        "{report}"
    );
}

#[test]
fn an_interrupt_ends_the_turn_before_the_command() {
    let place = place(
        "- tool_calls: [{name: shell, arguments: {command: 'echo x > made; sleep 60'}}]\n- text: done\n",
    );
    let mut run = Followed::start(&place, &["--json", "run", "a", "go", "--session", "s"]);
    run.until("tool_started");
    let pid = rustix::process::Pid::from_child(&run.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
    let view = place.mainstay(&["--json", "session", "show", "s"]).json();
    assert_eq!(view["turns"][0]["state"], "cancelled", "{view}");
    place.mainstay(&["session", "rm", "s"]).ok();
}

#[tokio::test]
async fn a_cancel_that_a_stop_cut_short_is_finished_by_the_next() {
    let place = place(SLOW);
    let server = serve_at_work(&place).await;
    server.kill();
    // Asked for, and stopped before it happened.
    place.mainstay(&["session", "cancel", "s"]).ok();
    place.mainstay(&["session", "cancel", "s"]).ok();
    let view = place.mainstay(&["--json", "session", "show", "s"]).json();
    assert_eq!(view["turns"][0]["state"], "cancelled", "{view}");
    place.mainstay(&["session", "replay", "t"]).ok();
}
