//! Formats go forwards only. A database of a newer format, or of somebody else, is left as it is.

use crate::error::sqlite;
use crate::sql::{APPLICATION_ID, SCHEMA_1};
use mainstay_sessions::StoreError;
use rusqlite::Connection;
use std::path::Path;

/// What brings a database from each format to the next.
const MIGRATIONS: &[&str] = &[SCHEMA_1];

/// Brings a database to the newest format, after a copy of it was made where it holds anything.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| sqlite(&error, path);
    let pragma = |name: &str| -> Result<i64, StoreError> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(failed)
    };
    let (found, application) = (pragma("user_version")?, pragma("application_id")?);
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let is_ours = application == i64::from(APPLICATION_ID);
    if !is_ours && (tables > 0 || found > 0) {
        let what = format!("{} is a database of another program", path.display());
        return Err(StoreError::Corrupt { what });
    }
    if found > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(());
    }
    if tables > 0 {
        let copy = path.with_extension(format!("before-{known}.db"));
        let text = copy.display().to_string();
        connection
            .execute("VACUUM INTO ?1", [text])
            .map_err(failed)?;
    }
    let transaction = connection.transaction().map_err(failed)?;
    for migration in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", known)
        .map_err(failed)?;
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}
