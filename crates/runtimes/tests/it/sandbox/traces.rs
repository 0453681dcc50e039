//! Nothing is left behind, and a helper or zygote that dies is no end.

use super::place::{Place, is_running, until};
use mainstay_runtimes::sandbox::{ExitKind, SandboxError};
use std::fs;
use std::path::PathBuf;

/// The zygote, the helper and the init, from the top, above the process that has this marker in its command line.
fn helpers(marker: &str) -> Vec<i32> {
    let line = |process: i32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut process = processes.find(|&process| line(process).contains(marker));
    let mut found = Vec::new();
    while let Some(child) = process.filter(|&process| process > 1) {
        if line(child).contains("__sandbox") {
            found.push(child);
        }
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        process = parent.and_then(|parent| parent.trim().parse().ok());
    }
    found.reverse();
    found
}

fn kill(process: i32) {
    let process = rustix::process::Pid::from_raw(process).unwrap();
    let _gone = rustix::process::kill_process(process, rustix::process::Signal::KILL);
}

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .count()
}

#[tokio::test]
async fn a_run_leaves_nothing() {
    let place = Place::new().await;
    let before = mounts();
    let mut spec = place.script("echo x > made; setsid -f sleep 54321");
    spec.memory_bytes = Some(200 << 20);
    spec.pids = Some(20);
    assert_eq!(place.run(&spec).await.status, ExitKind::Code(0));
    place.sandbox.settled().await;
    assert_eq!(mounts(), before);
    assert_eq!(place.groups(), Vec::<PathBuf>::new());
    let left = fs::read_dir(place.path("scratch")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn helpers_that_are_killed_are_told_and_replaced() {
    let place = Place::new().await;
    let marker = format!("76543{}", std::process::id());
    let spec = place.script(&format!("sleep {marker}"));
    let killed = async {
        until("it runs", || is_running(&marker)).await;
        helpers(&marker).into_iter().for_each(kill);
    };
    let (exit, ()) = tokio::join!(place.sandbox.run(&spec, None), killed);
    let error = exit.unwrap_err();
    assert!(matches!(error, SandboxError::HelperDied { .. }), "{error}");
    until("the tool is dead", || !is_running(&marker)).await;
    assert_eq!(place.prints("echo again").await, "again\n");
}

#[tokio::test]
async fn a_zygote_ends_with_its_node() {
    let place = Place::new().await;
    let marker = format!("56789{}", std::process::id());
    let spec = place.script(&format!("sleep {marker}"));
    let seen = async {
        until("it runs", || is_running(&marker)).await;
        helpers(&marker)
    };
    let alive = tokio::select! {
        exit = place.sandbox.run(&spec, None) => panic!("it ended: {exit:?}"),
        alive = seen => alive,
    };
    assert_eq!(alive.len(), 3);
    drop(place);
    let is_there = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    until("all helpers are gone", || !alive.iter().any(is_there)).await;
}

#[tokio::test]
async fn what_a_killed_node_left_is_removed_by_the_next() {
    let place = Place::new().await;
    if place.sandbox.support().cgroup.is_none() {
        return println!("skipped: there are no control groups here");
    }
    let marker = format!("65432{}", std::process::id());
    let mut spec = place.script(&format!("sleep {marker}"));
    spec.pids = Some(20);
    let killed = async {
        until("it runs", || is_running(&marker)).await;
        helpers(&marker).into_iter().for_each(kill);
    };
    let (exit, ()) = tokio::join!(place.sandbox.run(&spec, None), killed);
    exit.unwrap_err();
    assert!(!place.groups().is_empty());
    let again = place.again().await;
    assert_eq!(again.groups(), Vec::<PathBuf>::new());
}
