//! Damage done on purpose: reads refuse it, and a check finds it.

use crate::store::{noise, open, params, run, write};
use mainstay_contract::Digest;
use mainstay_sessions::{Journal, StoreError, digest};
use mainstay_storage::Finding;
use mainstay_testkit::journal_steps::Steps;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

fn place(folder: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    folder.join("blobs").join(&name[..2]).join(&name[2..])
}

/// A sound journal with two sessions and a large blob, changed by a statement; what a check finds.
fn found_after(statement: &str) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    for session in ["a", "b"] {
        let mut steps = Steps::new(session);
        write(&journal, &mut steps, 3);
        run(journal.append(steps.step_with(&noise(1, 100_000)))).unwrap();
    }
    let report = journal.verify().unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.records, report.leftovers), (16, vec![]));
    let connection = Connection::open(params(folder.path()).database).unwrap();
    assert!(
        connection.execute(statement, []).unwrap() > 0,
        "{statement}"
    );
    journal.verify().unwrap().findings
}

#[test]
fn each_kind_of_damage_is_found() {
    let found = found_after("DELETE FROM records WHERE session = 1 AND seq = 3");
    assert!(
        matches!(&found[..], [Finding::Gap { session, seq: 3 }] if session == "a"),
        "{found:?}"
    );
    let found = found_after("DELETE FROM records WHERE session = 2 AND seq = 8");
    assert!(
        matches!(&found[..], [Finding::Row { session, turn: None, .. }] if session == "b"),
        "{found:?}"
    );
    let found = found_after("UPDATE records SET payload = '{}' WHERE session = 1 AND seq = 4");
    assert!(
        matches!(&found[..], [Finding::Record { seq: 4, .. }]),
        "{found:?}"
    );
    let found = found_after(
        "UPDATE records SET payload = replace(payload, 'a.turn', 'x.turn') WHERE seq = 3 AND session = 1",
    );
    assert!(
        matches!(&found[..], [Finding::Diverged { .. }]),
        "{found:?}"
    );
    let found = found_after("UPDATE turns SET state = 'completed' WHERE id = 'a.turn'");
    assert!(
        matches!(&found[..], [Finding::Row { turn: Some(turn), row, records, .. }]
            if turn == "a.turn" && row == "completed" && records == "running"),
        "{found:?}"
    );
    let found = found_after("DELETE FROM turns WHERE id = 'b.turn'");
    assert!(
        matches!(&found[..], [Finding::Row { row, .. }] if row == "nothing"),
        "{found:?}"
    );
    let found = found_after("DELETE FROM sessions WHERE id = 'b'");
    assert!(
        matches!(&found[..], [Finding::Database { .. }]),
        "{found:?}"
    );
    let found = found_after("DELETE FROM blobs WHERE codec = 2");
    assert!(matches!(&found[..], [Finding::Blob { .. }]), "{found:?}");
    let found = found_after(
        "UPDATE blobs SET bytes = x'00' WHERE codec < 2 AND digest = (SELECT max(digest) FROM blobs WHERE codec < 2)",
    );
    assert!(
        matches!(&found[..], [Finding::Blob { .. }, ..]),
        "{found:?}"
    );
}

#[test]
fn damaged_blobs_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let mut steps = Steps::new("s");
    let (small, large) = (noise(1, 300), noise(2, 100_000));
    for bytes in [&small, &large] {
        run(journal.append(steps.step_with(bytes))).unwrap();
    }
    let refused = |bytes: &[u8]| {
        let name = digest(bytes);
        let out = folder.path().join("out");
        let answers = [
            journal.blob(&name).map(drop).unwrap_err(),
            journal.blob_to_file(&name, &out).map(drop).unwrap_err(),
        ];
        for error in answers {
            let StoreError::Corrupt { what } = &error else {
                panic!("{error:?}");
            };
            assert!(what.contains(&name.to_string()), "{what}");
        }
        assert!(!out.exists(), "damaged bytes were left behind");
    };
    let connection = Connection::open(params(folder.path()).database).unwrap();
    connection
        .execute(
            "UPDATE blobs SET bytes = ?1 WHERE digest = ?2",
            (noise(9, 300), &digest(&small).0[..]),
        )
        .unwrap();
    refused(&small);
    let file = place(folder.path(), &digest(&large));
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[50_000] ^= 1;
    for damaged in [changed, whole[..60_000].to_vec(), Vec::new()] {
        std::fs::write(&file, damaged).unwrap();
        refused(&large);
    }
    std::fs::remove_file(&file).unwrap();
    refused(&large);
    assert_eq!(journal.verify().unwrap().findings.len(), 2);
    // A file that is missing is made again when its content comes by.
    run(journal.append(steps.step_with(&large))).unwrap();
    assert_eq!(journal.blob(&digest(&large)).unwrap(), Some(large));
}

#[test]
fn damage_does_not_stop_a_removal_and_keeps_every_blob() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let (mut gone, mut kept) = (Steps::new("gone"), Steps::new("kept"));
    write(&journal, &mut gone, 2);
    run(journal.append(kept.step_with(b"will be damaged"))).unwrap();
    let blobs = journal.stats().unwrap().blobs;
    let connection = Connection::open(params(folder.path()).database).unwrap();
    let name = digest(b"will be damaged");
    connection
        .execute(
            "UPDATE blobs SET bytes = x'00' WHERE digest = ?1",
            [&name.0[..]],
        )
        .unwrap();
    run(journal.remove_session(gone.session())).unwrap();
    assert_eq!(journal.session(gone.session()).unwrap(), None);
    let stats = journal.stats().unwrap();
    assert_eq!((stats.sessions, stats.blobs), (1, blobs));
}

#[test]
fn what_a_crash_leaves_between_file_and_row_is_told_and_swept() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let mut steps = Steps::new("s");
    let content = noise(3, 100_000);
    run(journal.append(steps.step_with(&content))).unwrap();
    drop(journal);
    let stray = Digest([0xab; 32]);
    std::fs::create_dir_all(place(folder.path(), &stray).parent().unwrap()).unwrap();
    std::fs::write(place(folder.path(), &stray), b"never named").unwrap();
    let incoming = folder.path().join("blobs/incoming/half");
    std::fs::write(&incoming, b"never finished").unwrap();

    let journal = open(folder.path());
    assert!(!incoming.exists());
    let report = journal.verify().unwrap();
    assert_eq!((report.findings, report.leftovers), (vec![], vec![stray]));
    let mut gone = Steps::new("gone");
    write(&journal, &mut gone, 1);
    run(journal.remove_session(gone.session())).unwrap();
    assert_eq!(journal.verify().unwrap().leftovers, []);
    assert_eq!(journal.blob(&digest(&content)).unwrap(), Some(content));
}
