//! The program as a process: recovery after SIGKILL, start, and an idle node.
//!
//! `bench_process recovery`: ms from process start to the first new step, median over 25 kills of the
//! demo. `version`: ms of `mainstay --version`. `idle`: MB resident of a node without work.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let value = match std::env::args().nth(1).as_deref() {
        Some("recovery") => recovery(),
        Some("version") => version(),
        Some("idle") => idle(),
        other => panic!("recovery, version or idle, not {other:?}"),
    };
    println!("{}", serde_json::json!({ "value": value }));
}

/// The program, built beside this one.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("mainstay");
    assert!(program.exists(), "build {} first", program.display());
    program
}

fn recovery() -> f64 {
    let ran = Command::new(program())
        .args(["--json", "demo"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let kills = report["kills"].as_array().unwrap();
    median(
        kills
            .iter()
            .filter_map(|kill| kill["recovery_ms"].as_f64())
            .collect(),
    )
}

fn version() -> f64 {
    let once = |_| {
        let started = Instant::now();
        let status = Command::new(program())
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        started.elapsed().as_secs_f64() * 1000.0
    };
    median((0..101).map(once).collect())
}

fn idle() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Command::new(program())
        .current_dir(folder.path())
        .args([
            "--data-dir",
            "data",
            "--cache-dir",
            "cache",
            "serve",
            "--listen",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(node.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.id())).unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
