//! `mainstay --url … task run`.

use super::{RUNS, STUBBORN, is_there, process};
use crate::harness::{LIMIT, Ran, Server, wait_until};
use crate::tasks::{TaskRun, Tasks};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Instant;

/// What people read, without the times that differ from run to run.
fn timeless_text(text: &[u8]) -> String {
    let mut timeless = String::new();
    for c in String::from_utf8_lossy(text).chars() {
        match c.is_ascii_digit() {
            true if timeless.ends_with('0') => {}
            true => timeless.push('0'),
            false => timeless.push(c),
        }
    }
    timeless
        .replace("0.0 s", "0 ms")
        .replace(", saved 0 ms", "")
}

/// `mainstay --url … task run`.
fn elsewhere(server: &Server, tasks: &Tasks, args: &[&str]) -> std::process::Command {
    let mut command = tasks.place.command(&["--url", &server.url]);
    command.env("MAINSTAY_KEY", &server.key).args(args);
    command
}

#[test]
fn a_run_elsewhere_looks_like_one_here() {
    let manifest = "  a: {shell: 'echo one; printf \"\\377\\n\" >&2; echo x > out', inputs: [], outputs: [out]}\n  \
                      b: {shell: 'for i in 1 2 3; do echo b$i; sleep 0.01; done', inputs: [out], outputs: []}\n  \
                      c: {shell: 'for i in 1 2 3; do echo c$i; sleep 0.01; done; exit 4', inputs: [out], after: [b]}\n";
    let (there, here) = (Tasks::new(manifest), Tasks::new(manifest));
    let server = there.place.serve();
    for args in [
        &["task", "run", "-j1", "-k", "b", "c"][..],
        &["task", "run", "b"],
    ] {
        let far = elsewhere(&server, &there, args).output().unwrap();
        let near = here.place.command(args).output().unwrap();
        assert_eq!(far.stdout, near.stdout);
        assert_eq!(timeless_text(&far.stderr), timeless_text(&near.stderr));
        assert_eq!(far.status.code(), near.status.code());
    }
    let run = elsewhere(&server, &there, &["--json", "task", "run", "c"]);
    let run = TaskRun::of(Ran::of(&{ run }.output().unwrap()));
    run.failed_with("c", "task.failed");
    assert_eq!(run.events.last().unwrap()["event"], "summary");
    assert!(run.said().ends_with("c1\nc2\nc3\n"), "{:?}", run.ran);
    let profile = there.path("profile.json");
    let args = ["task", "run", "b", "--profile", profile.to_str().unwrap()];
    assert!(
        elsewhere(&server, &there, &args)
            .status()
            .unwrap()
            .success()
    );
    let profile: Value = serde_json::from_str(&there.read("profile.json")).unwrap();
    assert_eq!(profile["traceEvents"].as_array().unwrap().len(), 2);
    let unknown = elsewhere(&server, &there, &["--json", "task", "run", "x"]);
    Ran::of(&{ unknown }.output().unwrap()).failed_with("runtime.not_found");
    server.kill();
    let gone = ["--json", "--url", "http://127.0.0.1:1", "task", "run", "b"];
    there.place.mainstay(&gone).failed_with("node.unreachable");
}

#[tokio::test]
async fn an_interrupt_here_stops_the_run_there() {
    let tasks = Tasks::new(&format!("  t: {{shell: '{STUBBORN}', grace: 1h}}\n"));
    let server = tasks.place.serve();
    let log = tasks.path("log");
    let mut command = elsewhere(&server, &tasks, &["--json", "task", "run", "t"]);
    command.stdout(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut child = command.spawn().unwrap();
    let (own, left) = (process(&tasks, "pid"), process(&tasks, "left"));
    wait_until("its first words are here", || {
        tasks.read("log").contains("up")
    });
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    let deadline = Instant::now() + LIMIT;
    while server.get(RUNS).await.1[0]["stop_asked"] != true {
        assert!(Instant::now() < deadline, "the first one is not heard");
    }
    kill_process(pid, Signal::INT).unwrap();
    wait_until("it has ended", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!is_there(&own) && !is_there(&left));
}

#[test]
fn whoever_follows_a_node_that_stops_hears_how_it_ended() {
    for (more, word) in [("", "\"started\""), (", persistent: true", "\"ready\"")] {
        let tasks = Tasks::new(&format!(
            "  t: {{shell: 'echo $$ > pid; exec sleep 1000'{more}}}\n"
        ));
        let server = tasks.place.serve();
        let mut command = elsewhere(&server, &tasks, &["--json", "task", "run", "t"]);
        command.stdout(std::fs::File::create(tasks.path("log")).unwrap());
        let child = command.spawn().unwrap();
        let own = process(&tasks, "pid");
        wait_until("its first words are here", || {
            tasks.read("log").contains(word)
        });
        assert_eq!(server.stop(), Some(0));
        assert!(!is_there(&own));
        let ended = child.wait_with_output().unwrap();
        let exit = mainstay_contract::Code::TaskCancelled.info().exit;
        assert_eq!(ended.status.code(), Some(i32::from(exit)), "{more}");
        assert!(tasks.read("log").contains("\"stopped\":true"));
    }
}

/// A way to a node on which every connection breaks after so many bytes of answers. Gives its URL.
fn breaking_way(server: &Server, bytes: u64) -> String {
    let node = server.url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            let Ok(node) = TcpStream::connect(&node) else {
                return;
            };
            let (mut from, mut to) = (caller.try_clone().unwrap(), node.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || {
                let _broken = std::io::copy(&mut (&node).take(bytes), &mut &caller);
                for side in [caller, node] {
                    let _gone = side.shutdown(std::net::Shutdown::Both);
                }
            });
        }
    });
    url
}

#[test]
fn a_connection_that_breaks_loses_nothing_and_repeats_nothing() {
    let tasks = Tasks::new("  t: {shell: 'for i in $(seq 100); do echo $i; sleep 0.001; done'}\n");
    let server = tasks.place.serve();
    let url = breaking_way(&server, 3000);
    let mut command = tasks.place.command(&["--url", &url, "task", "run", "t"]);
    let ran = command.env("MAINSTAY_KEY", &server.key).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let expected: String = (1..=100).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), expected);
}
