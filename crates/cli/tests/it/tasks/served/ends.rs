//! Ends of runs that were not their own: stopped, with their node, without their worker.

use super::{RUNS, STUBBORN, WAITS, begin, cancel, frames, is_there, over, process};
use crate::harness::{LIMIT, Server, wait_until};
use crate::tasks::Tasks;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn whoever_ignores_the_first_word_is_ended_by_the_second() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{STUBBORN}', grace: 1h}}\n"));
    let server = tasks.place.serve();
    let run = begin(&server, "t").await;
    let (own, left) = (process(&tasks, "pid"), process(&tasks, "left"));
    assert_eq!(cancel(&server, &run).await, 202);
    assert!(is_there(&own));
    assert_eq!(cancel(&server, &run).await, 202);
    let view = over(&server, &run).await;
    assert_eq!(view["state"], "stopped", "{view}");
    assert_eq!(view["error"]["code"], "task.cancelled");
    assert!(!is_there(&own) && !is_there(&left));
    assert_eq!(cancel(&server, &run).await, 200);
}

#[tokio::test]
async fn a_node_that_stops_ends_its_runs_and_says_so() {
    let tasks = Tasks::new(
        "  t: {shell: 'setsid sh -c \"echo \\$\\$ > left; exec sleep 1000\" & echo $$ > pid; exec sleep 1000'}\n",
    );
    let server = tasks.place.serve();
    let run = begin(&server, "t").await;
    let (own, left) = (process(&tasks, "pid"), process(&tasks, "left"));
    let path = format!("{}{RUNS}/{run}/events", server.url);
    let follower = server.client().get(path).bearer_auth(&server.key);
    let follower = follower.header("accept", "text/event-stream").send();
    let follower = follower.await.unwrap();
    assert_eq!(server.stop(), Some(0));
    assert!(!is_there(&own) && !is_there(&left));
    let text = follower.text().await.unwrap();
    assert!(text.contains("\"stopped\":true"), "{text}");
    let next = tasks.place.serve();
    assert_eq!(next.get(&format!("{RUNS}/{run}")).await.0, 404);
}

#[tokio::test]
async fn a_node_that_is_asked_twice_waits_for_nobody() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{STUBBORN}', grace: 1h}}\n"));
    let server = tasks.place.serve();
    begin(&server, "t").await;
    let (own, left) = (process(&tasks, "pid"), process(&tasks, "left"));
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let deadline = Instant::now() + LIMIT;
    while server.post(RUNS, &json!({ "tasks": ["t"] })).await.1["code"] != "node.unreachable" {
        assert!(Instant::now() < deadline, "runs still begin");
    }
    let began = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(began.elapsed() < std::time::Duration::from_secs(9));
    assert!(!is_there(&own) && !is_there(&left));
}

#[tokio::test]
async fn a_node_that_is_killed_leaves_no_process() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{STUBBORN}', grace: 1h}}\n"));
    let server = tasks.place.serve();
    begin(&server, "t").await;
    let (own, left) = (process(&tasks, "pid"), process(&tasks, "left"));
    server.kill();
    wait_until("everything is gone", || !is_there(&own) && !is_there(&left));
}

#[tokio::test]
async fn a_worker_that_is_killed_has_failed_and_the_next_run_goes_on() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{WAITS}', cache: false}}\n"));
    let server = tasks.place.serve();
    let run = begin(&server, "t").await;
    frames(&server, &run, None, 1).await;
    let worker: i32 = children(&server)[0].parse().unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    let view = over(&server, &run).await;
    assert_eq!(view["state"], "failed", "{view}");
    assert_eq!(view["error"]["code"], "runtime.internal");
    let last = frames(&server, &run, None, usize::MAX).await.pop().unwrap();
    assert_eq!(
        (last.kind.as_str(), &last.data["report"]),
        ("broken", &view["error"])
    );
    tasks.write("go", "");
    let next = begin(&server, "t").await;
    assert_eq!(over(&server, &next).await["state"], "succeeded");
}

/// The processes that a node has started or adopted, but for the one that forks its sandboxes.
fn children(server: &Server) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let lists = threads
        .flatten()
        .map(|thread| thread.path().join("children"));
    let lists: String = lists
        .filter_map(|list| std::fs::read_to_string(list).ok())
        .collect();
    let command = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
    let own = lists.split_whitespace().filter(|pid| {
        let command = command(pid).unwrap_or_default();
        !command.contains("__sandbox")
    });
    own.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_node_adopts_nobody() {
    let tasks = Tasks::new(
        "  t: {shell: '(setsid sleep 0.05 &); (env -i sleep 0.05 &); exit 0', cache: false}\n",
    );
    let server = tasks.place.serve();
    for _ in 0..3 {
        let body = json!({ "tasks": ["t"] });
        let (_, run) = server.post(&format!("{RUNS}?wait=60"), &body).await;
        assert_eq!(run["state"], "succeeded", "{run}");
    }
    wait_until("its workers are gone", || children(&server).is_empty());
}
