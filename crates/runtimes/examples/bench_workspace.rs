//! What committing a view costs: a folder of 10,000 files, some of them changed before.
//!
//! `bench_workspace still [CHANGED]`: ms to find that nothing changed. `edit`: ms when one file did.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark"
)]

use mainstay_runtimes::workspace::{View, ViewParams};
use mainstay_sessions::WorkspaceMode;
use std::path::Path;
use std::time::Instant;

const FOLDER: usize = 10_000;
const CHANGED: usize = 200;
const ROUNDS: usize = 51;

fn main() {
    let is_edit = match std::env::args().nth(1).as_deref() {
        Some("still") => false,
        Some("edit") => true,
        other => panic!("still or edit, not {other:?}"),
    };
    let changed = std::env::args().nth(2).map(|count| count.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("folder");
    fill(&folder, FOLDER);
    let params = ViewParams {
        folder,
        root: temporary.path().join("view"),
        exclude: Vec::new(),
        mode: WorkspaceMode::Overlay,
    };
    let upper = params.root.join("upper");
    let (mut view, _) = View::create(params).unwrap();
    fill(&upper, changed.unwrap_or(CHANGED));
    // Files are trusted by their times only once those have settled.
    std::thread::sleep(std::time::Duration::from_millis(100));
    view.commit().unwrap().unwrap();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        if is_edit {
            std::fs::write(upper.join("d0/f0"), format!("edit {round}")).unwrap();
        }
        let started = Instant::now();
        let commit = view.commit().unwrap();
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(commit.is_some(), is_edit);
    }
    times.sort_by(f64::total_cmp);
    println!("{}", serde_json::json!({ "value": times[ROUNDS / 2] }));
}

fn fill(folder: &Path, files: usize) {
    for number in 0..files {
        let below = folder.join(format!("d{}", number / 100));
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(
            below.join(format!("f{}", number % 100)),
            format!("file {number}"),
        )
        .unwrap();
    }
}
