//! Durable steps without anything else: the session machine over the real journal, with a model and a
//! tool that answer at once, in process. What is left is what durability costs.
//!
//! `overhead`: one session; the median step (a model call and a tool run), in ms. `rate`: 64 sessions at
//! once; steps per second. `step`: KB per step of a turn of 150. `bytes` and `time`: a turn of 150 steps over one
//! of 50. `parked`: MB resident of a node with 10,000 sessions that wait for an operator.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark"
)]

mod drive;

use drive::{Drive, journal};
use mainstay_node::{Node, NodeConfig, StoreUrl};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STEPS: u32 = 2000;
/// Until the log has its size and caches are warm.
const WARM_UP: usize = 300;
const SESSIONS: usize = 64;
const STEPS_EACH: u32 = 150;
const PARKED: usize = 10_000;
const ROUNDS: usize = 15;
const TURNS: u32 = 20;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("__sandbox") {
        mainstay_runtimes::sandbox::sandbox_main(mainstay_runtimes::files::run);
    }
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let value = match std::env::args().nth(1).as_deref() {
        Some("overhead") => overhead().await,
        Some("rate") => rate().await,
        Some("step") => bytes(150).await / 150.0 / 1024.0,
        Some("bytes") => bytes(150).await / bytes(50).await,
        Some("time") => time().await,
        Some("parked") => parked().await,
        other => panic!("{other:?} is no figure"),
    };
    println!("{}", serde_json::json!({ "value": value }));
}

/// The bytes that turns of this length add to a store, each. There are several, because a store grows
/// by pages, and the first records go into pages that an empty store has already.
async fn bytes(steps: u32) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path());
    let empty = size(folder.path());
    for turn in 0..TURNS {
        let session = format!("s{turn}");
        Drive::new(journal.clone(), &session, steps).run().await;
    }
    let closed = tokio::task::spawn_blocking(move || journal.close());
    closed.await.unwrap().unwrap();
    (size(folder.path()) - empty) as f64 / f64::from(TURNS)
}

/// How long a turn of 150 steps takes over one of 50: the median over rounds in which a long turn runs
/// between two short ones, because disks have their moods.
async fn time() -> f64 {
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let before = turn(50).await;
        let long = turn(150).await;
        let short = (before + turn(50).await) / 2.0;
        ratios.push(long / short);
    }
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

/// How many seconds a turn takes on an empty store.
async fn turn(steps: u32) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path());
    let started = Instant::now();
    Drive::new(journal, "one", steps).run().await;
    started.elapsed().as_secs_f64()
}

fn size(folder: &Path) -> u64 {
    ["mainstay.db", "mainstay.db-wal"]
        .iter()
        .filter_map(|name| std::fs::metadata(folder.join(name)).ok())
        .map(|found| found.len())
        .sum()
}

async fn parked() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let store = journal(&data_dir);
    for batch in 0..PARKED / 100 {
        let sessions = (0..100).map(|number| {
            let name = format!("s{}", batch * 100 + number);
            tokio::spawn(Drive::new(store.clone(), &name, 1).park())
        });
        for session in sessions.collect::<Vec<_>>() {
            session.await.unwrap();
        }
    }
    drop(store);
    let node = Node::open(NodeConfig {
        store: StoreUrl::Sqlite(data_dir.join("mainstay.db")),
        data_dir,
        blobs: None,
        manifest: None,
        workspace_manifest: None,
        cache_dir: folder.path().join("cache"),
        exe: std::env::current_exe().unwrap(),
        works_on_turns: true,
        record: None,
    })
    .await
    .unwrap();
    assert_eq!(node.sessions().await.unwrap().len(), PARKED);
    let resident = resident();
    node.shutdown().await;
    resident
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

async fn overhead() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path());
    let session = tokio::spawn(Drive::new(journal, "one", STEPS).run());
    let mut times = session.await.unwrap();
    middle(&mut times[WARM_UP..]).as_secs_f64() * 1000.0
}

async fn rate() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(folder.path());
    let started = Instant::now();
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let drive = Drive::new(Arc::clone(&journal), &format!("s{number}"), STEPS_EACH);
            tokio::spawn(drive.run())
        })
        .collect();
    for session in sessions {
        session.await.unwrap();
    }
    SESSIONS as f64 * f64::from(STEPS_EACH) / started.elapsed().as_secs_f64()
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
