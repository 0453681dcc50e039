//! One suite for the fake and the real journal.

use crate::store::run;
use mainstay_storage::{OpenParams, SqliteJournal};
use mainstay_testkit::journal::MemoryJournal;
use mainstay_testkit::journal_contract::journal_contract;
use std::cell::Cell;

#[test]
fn the_journal_on_sqlite_keeps_the_contract() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let count = Cell::new(0);
    let make = || {
        count.set(count.get() + 1);
        let name = format!("journal-{}", count.get());
        SqliteJournal::open(OpenParams {
            database: folder.path().join(format!("{name}.db")),
            blobs: folder.path().join(name),
        })
        .unwrap()
    };
    run(journal_contract(make, scratch.path()));
}

#[test]
fn the_journal_in_memory_keeps_the_contract() {
    let scratch = tempfile::tempdir().unwrap();
    run(journal_contract(MemoryJournal::new, scratch.path()));
}
