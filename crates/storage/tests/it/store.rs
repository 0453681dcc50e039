//! A journal in a folder of its own.

use mainstay_sessions::Journal;
use mainstay_storage::{OpenParams, SqliteJournal};
use mainstay_testkit::journal_steps::Steps;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) fn params(folder: &Path) -> OpenParams {
    OpenParams {
        database: folder.join("journal.db"),
        blobs: folder.join("blobs"),
    }
}

pub(crate) fn open(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(params(folder)).unwrap()
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.build().unwrap().block_on(work)
}

/// Writes so many batches of a session.
pub(crate) fn write(journal: &SqliteJournal, steps: &mut Steps, count: usize) {
    for _ in 0..count {
        run(journal.append(steps.step())).unwrap();
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

const CHILD: &str = "MAINSTAY_STORAGE_TEST_FOLDER";

/// In a child: the folder to work in.
pub(crate) fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// Runs one test of this binary as a child that works in a folder.
pub(crate) fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdin(Stdio::null());
    command
}

/// Runs a child to its end, which must be a good one.
pub(crate) fn run_child(test: &str, folder: &Path) {
    let output = child(test, folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{test} is no test: {out}");
    for line in out.lines().filter(|line| line.contains("skipped:")) {
        println!("{line}");
    }
}
