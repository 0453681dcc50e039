//! A process that is killed while it writes, again and again: whatever it was told to be durable is
//! there, whole, and nothing half written is.

use crate::store::{child, child_folder, noise, open};
use mainstay_contract::Seq;
use mainstay_sessions::{Journal, Record};
use mainstay_storage::SqliteJournal;
use mainstay_testkit::journal_steps::Steps;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

const NAME: &str = "crash::what_was_acknowledged_survives_sigkill";
const SESSIONS: u64 = 6;
const ROUNDS: u64 = 40;

/// The batch after a place: always the same, so that both sides know what belongs there.
fn next(steps: &mut Steps, number: u64) -> (Vec<Record>, mainstay_sessions::JournalBatch) {
    let content = match number % 5 {
        3 => noise(number / 10, 70_000 + number as usize),
        _ => noise(number, 400),
    };
    let batch = steps.step_with(&content);
    (batch.records.clone(), batch)
}

/// Appends to every session at once until it is killed.
fn write_forever(folder: &Path) {
    let journal = std::sync::Arc::new(open(folder));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for session in 0..SESSIONS {
            let journal = std::sync::Arc::clone(&journal);
            tasks.spawn(async move {
                let mut steps = Steps::new(&format!("s{session}"));
                let row = journal.session(steps.session()).unwrap();
                let last = row.map_or(0, |row| row.last_seq.0);
                for number in 0.. {
                    let (records, batch) = next(&mut steps, number);
                    let seq = records.last().unwrap().seq.0;
                    if seq > last {
                        journal.append(batch).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "\nack {session} {seq}").unwrap();
                        out.flush().unwrap();
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    if let Some(folder) = child_folder() {
        return write_forever(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<u64, u64> = HashMap::new();
    let mut unannounced = 0;
    for round in 0..ROUNDS {
        let command = child(NAME, folder.path()).stdout(Stdio::piped()).spawn();
        let mut writer = command.unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut left = 1 + noise(round, 1)[0] % 30;
        for line in lines {
            let line = line.unwrap_or_default();
            let mut words = line.split(' ');
            let (Some("ack"), Some(session), Some(seq)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            // The last line may be cut.
            if let (Ok(session), Ok(seq)) = (session.parse(), seq.parse::<u64>()) {
                let known = acknowledged.entry(session).or_default();
                *known = seq.max(*known);
            }
            left = left.saturating_sub(1);
            if left == 0 {
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        let journal = open(folder.path());
        for session in 0..SESSIONS {
            let known = acknowledged.get(&session).copied().unwrap_or_default();
            unannounced += check(&journal, session, known);
        }
        let report = journal.verify().unwrap();
        assert_eq!(report.findings, [], "round {round}");
    }
    let total: u64 = acknowledged.values().sum();
    assert!(total > ROUNDS, "hardly anything was written: {total}");
    println!("{ROUNDS} kills, {total} records acknowledged, {unannounced} batches durable untold");
}

/// Compares a session with what belongs there; how many batches are there that nobody was told of.
fn check(journal: &SqliteJournal, session: u64, acknowledged: u64) -> u64 {
    let mut steps = Steps::new(&format!("s{session}"));
    let stored = journal
        .records(steps.session(), Seq(0), usize::MAX)
        .unwrap();
    let last = stored.len() as u64;
    assert!(
        last >= acknowledged,
        "session {session} lost {acknowledged} after {last}"
    );
    assert_eq!(last % 2, 0, "half a batch of session {session} is there");
    let mut expected = Vec::new();
    for number in 0..last / 2 {
        let (records, batch) = next(&mut steps, number);
        for blob in &batch.blobs {
            assert!(journal.blob(&blob.digest).unwrap().is_some());
        }
        expected.extend(records);
    }
    assert_eq!(stored, expected);
    (last - acknowledged) / 2
}
