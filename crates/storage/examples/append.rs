//! What durability costs: appends of two records and two small blobs, as a step of a turn writes them.
//!
//! `cargo run --release -p mainstay-storage --example append`
//!
//! Prints one JSON line: the sync of the disk itself, one session alone, 64 sessions at once, and the
//! size of the store per step.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use mainstay_sessions::Journal;
use mainstay_storage::{OpenParams, SqliteJournal};
use mainstay_testkit::journal_steps::Steps;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ALONE: usize = 3000;
const SESSIONS: usize = 64;
const EACH: usize = 400;

fn main() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let sync = sync(folder.path());
    let alone = runtime.block_on(alone(&folder.path().join("alone")));
    let many = runtime.block_on(many(&folder.path().join("many")));
    let [(small, per_small), (large, per_large)] = [50, 150]
        .map(|steps| runtime.block_on(size(&folder.path().join(format!("size-{steps}")), steps)));
    println!(
        "{{\"sync_ms\":{},\"alone_ms\":{},\"batches_per_s\":{many:.0},\"bytes_per_step_50\":{per_small},\
         \"bytes_per_step_150\":{per_large},\"bytes_ratio\":{:.2}}}",
        times(sync),
        times(alone),
        large as f64 / small as f64
    );
}

fn open(folder: &Path) -> Arc<SqliteJournal> {
    std::fs::create_dir_all(folder).unwrap();
    let params = OpenParams {
        database: folder.join("journal.db"),
        blobs: folder.join("blobs"),
    };
    Arc::new(SqliteJournal::open(params).unwrap())
}

fn times(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
    format!("{{\"p50\":{:.3},\"p99\":{:.3}}}", at(50), at(99))
}

/// The floor: the same bytes into the same place of a file, made durable each time.
fn sync(folder: &Path) -> Vec<Duration> {
    let mut file = File::create(folder.join("sync")).unwrap();
    let mut times = Vec::new();
    for _ in 0..ALONE / 3 {
        let begun = Instant::now();
        file.write_all(&[7; 5 * 4120]).unwrap();
        file.sync_data().unwrap();
        times.push(begun.elapsed());
    }
    times
}

async fn alone(folder: &Path) -> Vec<Duration> {
    let journal = open(folder);
    let mut steps = Steps::new("s");
    let mut times = Vec::new();
    for _ in 0..ALONE {
        let batch = steps.step();
        let begun = Instant::now();
        journal.append(batch).await.unwrap();
        times.push(begun.elapsed());
    }
    times
}

async fn many(folder: &Path) -> f64 {
    let journal = open(folder);
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for session in 0..SESSIONS {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let mut steps = Steps::new(&format!("session-{session}"));
            for _ in 0..EACH {
                journal.append(steps.step()).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    (SESSIONS * EACH) as f64 / begun.elapsed().as_secs_f64()
}

/// The bytes of the database after 40 turns of so many steps, in all and per step.
async fn size(folder: &Path, count: u64) -> (u64, u64) {
    let journal = open(folder);
    for session in 0..40 {
        let mut steps = Steps::new(&format!("session-{session}"));
        for _ in 0..count {
            journal.append(steps.step()).await.unwrap();
        }
    }
    drop(journal);
    let bytes = std::fs::metadata(folder.join("journal.db")).unwrap().len();
    (bytes, bytes / (40 * count))
}
