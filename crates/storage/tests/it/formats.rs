//! Which data directories and databases are taken, and which are left alone.

use crate::store::{child, child_folder, open, params, run, write};
use mainstay_sessions::{Journal, StoreError};
use mainstay_storage::{DataDirLock, SqliteJournal};
use mainstay_testkit::journal_steps::Steps;
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

fn refused(folder: &std::path::Path) -> StoreError {
    match SqliteJournal::open(params(folder)) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = params(folder.path()).database;
    drop(open(folder.path()));
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let error = refused(folder.path());
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 99,
                known: 1,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = params(folder.path()).database;
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE recipes (name TEXT)")
        .unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = params(folder.path()).database;
    let text = "a letter to a friend\n".repeat(500);
    std::fs::write(&path, &text).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn nobody_else_can_read_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _lock = DataDirLock::acquire(&data).unwrap();
    let journal = open(&data);
    let mut steps = Steps::new("s");
    write(&journal, &mut steps, 1);
    run(journal.append(steps.step_with(&crate::store::noise(1, 100_000)))).unwrap();
    let mut looked_at = 0;
    let mut todo = vec![data];
    while let Some(path) = todo.pop() {
        let found = std::fs::metadata(&path).unwrap();
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(
            found.permissions().mode() & 0o777,
            wanted,
            "{}",
            path.display()
        );
        looked_at += 1;
        if found.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            todo.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
    assert!(looked_at >= 8, "{looked_at}");
}

#[test]
fn a_data_directory_has_one_owner_and_a_kill_frees_it() {
    const NAME: &str = "formats::a_data_directory_has_one_owner_and_a_kill_frees_it";
    if let Some(folder) = child_folder() {
        let _lock = DataDirLock::acquire(&folder).unwrap();
        println!("\nheld");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut owner = child(NAME, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "held"));
    let error = DataDirLock::acquire(folder.path()).unwrap_err();
    let holder = Some(owner.id());
    let path = folder.path().to_owned();
    assert_eq!(error, StoreError::Locked { path, holder });
    owner.kill().unwrap();
    owner.wait().unwrap();
    let lock = DataDirLock::acquire(folder.path()).unwrap();
    let error = DataDirLock::acquire(folder.path()).unwrap_err();
    let own = Some(std::process::id());
    assert!(matches!(error, StoreError::Locked { holder, .. } if holder == own));
    drop(lock);
    DataDirLock::acquire(folder.path()).unwrap();
}
