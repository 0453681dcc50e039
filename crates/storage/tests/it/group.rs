//! Many writers at once, and removals among them.

use crate::store::{noise, open, run};
use mainstay_contract::Seq;
use mainstay_sessions::{Journal, StoreError, digest};
use mainstay_testkit::journal_steps::Steps;
use std::sync::Arc;

#[test]
fn a_refused_batch_takes_no_neighbour_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    // All are sent before any is awaited, so that they share a commit.
    let mut good: Vec<Steps> = (0..40).map(|n| Steps::new(&format!("s{n}"))).collect();
    let mut sent = Vec::new();
    for (number, steps) in good.iter_mut().enumerate() {
        let batch = steps.step();
        let mut bad = batch.clone();
        bad.records[1].seq = Seq(7);
        if number % 2 == 0 {
            sent.push((false, journal.append(bad)));
            sent.push((true, journal.append(batch)));
        } else {
            sent.push((true, journal.append(batch.clone())));
            sent.push((false, journal.append(batch)));
        }
    }
    run(async {
        for (is_good, answer) in sent {
            match answer.await {
                Ok(()) => assert!(is_good),
                Err(error) => {
                    assert!(!is_good, "{error}");
                    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
                }
            }
        }
    });
    let rows = journal.sessions().unwrap();
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(|row| row.last_seq == Seq(2)), "{rows:?}");
    let report = journal.verify().unwrap();
    assert_eq!((report.findings, report.records), (vec![], 80));
}

#[test]
fn sessions_are_removed_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(open(folder.path()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    // Removed and written contents overlap, small and large, so that a sweep meets blobs that are
    // being given a new name.
    let contents: Arc<Vec<Vec<u8>>> = Arc::new(
        (0..6)
            .map(|seed| noise(seed, if seed % 2 == 0 { 300 } else { 90_000 }))
            .collect(),
    );
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let (journal, contents) = (Arc::clone(&journal), Arc::clone(&contents));
            tasks.spawn(async move {
                for round in 0..12 {
                    let mut steps = Steps::new(&format!("w{writer}-{round}"));
                    for content in contents.iter().cycle().skip(writer + round).take(4) {
                        journal.append(steps.step_with(content)).await.unwrap();
                    }
                    if round % 3 != 0 {
                        journal.remove_session(steps.session()).await.unwrap();
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    let report = journal.verify().unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(journal.sessions().unwrap().len(), 4 * 4);
    runtime.block_on(async {
        for row in journal.sessions().unwrap() {
            journal.remove_session(&row.session).await.unwrap();
        }
    });
    let stats = journal.stats().unwrap();
    assert_eq!((stats.sessions, stats.records, stats.blobs), (0, 0, 0));
    for content in contents.iter() {
        assert_eq!(journal.blob(&digest(content)).unwrap(), None);
    }
    assert_eq!(journal.verify().unwrap().leftovers, []);
}

#[test]
fn the_log_stays_bounded_and_is_folded_in_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let log = folder.path().join("journal.db-wal");
    let size = || std::fs::metadata(&log).map_or(0, |found| found.len());
    let mut steps = Steps::new("s");
    let mut largest = 0;
    for seed in 0..600 {
        run(journal.append(steps.step_with(&noise(seed, 30_000)))).unwrap();
        largest = largest.max(size());
    }
    assert!(largest > 1 << 20, "nothing was logged: {largest}");
    assert!(largest < 20 << 20, "the log grew to {largest} bytes");
    journal.close().unwrap();
    assert_eq!(size(), 0);
    run(journal.append(steps.step())).unwrap();
    drop(journal);
    assert_eq!(size(), 0);
}
