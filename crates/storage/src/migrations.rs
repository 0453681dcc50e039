//! Formats go forwards only. A database of a newer format, or of somebody else, is left as it is.

use crate::error::{io_error, sqlite};
use crate::sql::{APPLICATION_ID, SCHEMA_1};
use mainstay_sessions::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What brings a database from each format to the next.
const MIGRATIONS: &[&str] = &[SCHEMA_1];

/// Refuses a database that is not ours or too new, without changing a byte of it.
pub(crate) fn examine(path: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| sqlite(&error, path))?;
    format_of(&connection, path, MIGRATIONS).map(drop)
}

/// Brings a database to the newest format, after a copy of it was made where it holds anything.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    migrate_by(connection, path, MIGRATIONS)
}

fn migrate_by(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| sqlite(&error, path);
    let Format { found, is_empty } = format_of(connection, path, migrations)?;
    if found == migrations.len() {
        return Ok(());
    }
    if !is_empty {
        back_up(connection, path, found)?;
    }
    let transaction = connection.transaction().map_err(failed)?;
    for migration in &migrations[found..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", number(migrations.len()))
        .map_err(failed)?;
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

struct Format {
    found: usize,
    is_empty: bool,
}

fn format_of(
    connection: &Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<Format, StoreError> {
    let ask = |text: &str| -> Result<i64, StoreError> {
        connection
            .query_row(text, [], |row| row.get(0))
            .map_err(|error| sqlite(&error, path))
    };
    let found = ask("PRAGMA user_version")?;
    let is_ours = ask("PRAGMA application_id")? == i64::from(APPLICATION_ID);
    let is_empty = ask("SELECT count(*) FROM sqlite_schema")? == 0;
    if !is_ours && (!is_empty || found != 0) {
        let what = format!("{} is a database of another program", path.display());
        return Err(StoreError::Corrupt { what });
    }
    let known = migrations.len();
    match usize::try_from(found) {
        Ok(found) if found <= known => Ok(Format { found, is_empty }),
        _ => Err(StoreError::Newer {
            path: path.to_owned(),
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: number(known),
        }),
    }
}

/// Copies a database beside itself. The copy of an earlier attempt is replaced.
fn back_up(connection: &Connection, path: &Path, format: usize) -> Result<(), StoreError> {
    let copy = backup_of(path, format);
    let failed = |error: std::io::Error| io_error(&error, &copy);
    match std::fs::remove_file(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = File::options();
    let options = options.create_new(true).write(true).mode(0o600);
    let file = options.open(&copy).map_err(failed)?;
    connection
        .execute("VACUUM INTO ?1", [copy.display().to_string()])
        .map_err(|error| sqlite(&error, &copy))?;
    file.sync_all().map_err(failed)
}

fn backup_of(path: &Path, format: usize) -> PathBuf {
    path.with_extension(format!("format-{format}.db"))
}

fn number(version: usize) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NEXT: &str = "ALTER TABLE sessions ADD COLUMN note TEXT";

    fn database(migrations: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let mut connection = Connection::open(&path).unwrap();
        migrate_by(&mut connection, &path, migrations).unwrap();
        (folder, path)
    }

    fn add_session(path: &Path) {
        let connection = Connection::open(path).unwrap();
        connection
            .execute(crate::sql::INSERT_SESSION, ("kept", "a", 7))
            .unwrap();
    }

    fn sessions(path: &Path) -> i64 {
        let connection = Connection::open(path).unwrap();
        let count = "SELECT count(*) FROM sessions WHERE id = 'kept'";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    }

    fn version(path: &Path) -> i64 {
        let connection = Connection::open(path).unwrap();
        connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn an_older_format_is_copied_and_then_brought_forward() {
        let (_folder, path) = database(&[SCHEMA_1]);
        add_session(&path);
        let copy = backup_of(&path, 1);
        std::fs::write(&copy, "half a copy of an attempt that was killed").unwrap();
        let mut connection = Connection::open(&path).unwrap();
        migrate_by(&mut connection, &path, &[SCHEMA_1, NEXT]).unwrap();
        connection
            .execute("UPDATE sessions SET note = ''", [])
            .unwrap();
        assert_eq!((version(&path), sessions(&path)), (2, 1));
        assert_eq!((version(&copy), sessions(&copy)), (1, 1));
        let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let (_folder, path) = database(&[SCHEMA_1]);
        add_session(&path);
        let mut connection = Connection::open(&path).unwrap();
        let broken = [SCHEMA_1, NEXT, "this is no SQL"];
        migrate_by(&mut connection, &path, &broken).unwrap_err();
        assert_eq!((version(&path), sessions(&path)), (1, 1));
        connection
            .execute("SELECT note FROM sessions", [])
            .unwrap_err();
    }

    #[test]
    fn a_new_database_needs_no_copy_and_an_up_to_date_one_no_work() {
        let (folder, path) = database(&[SCHEMA_1, NEXT]);
        let mut connection = Connection::open(&path).unwrap();
        migrate_by(&mut connection, &path, &[SCHEMA_1, NEXT]).unwrap();
        assert_eq!(version(&path), 2);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_format_is_refused() {
        let (_folder, path) = database(&[SCHEMA_1, NEXT]);
        let mut connection = Connection::open(&path).unwrap();
        let error = migrate_by(&mut connection, &path, &[SCHEMA_1]).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Newer {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
