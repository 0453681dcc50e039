//! The connection that writes.

use crate::error::{io_error, sqlite};
use crate::sql;
use mainstay_sessions::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a connection that may write.
pub(crate) fn connect(database: &Path) -> Result<Connection, StoreError> {
    let failed = |error: rusqlite::Error| sqlite(&error, database);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
    connection.execute_batch(sql::PRAGMAS).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the file before SQLite does, so that nobody else can read it for a moment.
pub(crate) fn make_private(database: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| io_error(&error, database);
    let is_new = !database.exists();
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(database).map_err(failed)?;
    if is_new && let Some(folder) = database.parent().filter(|at| !at.as_os_str().is_empty()) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}
