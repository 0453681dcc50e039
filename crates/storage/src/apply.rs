//! One batch inside the writer's transaction.

use crate::error::sqlite;
use crate::prepare::Prepared;
use crate::sql;
use mainstay_contract::{Digest, Timestamp};
use mainstay_sessions::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Why a batch was not written.
enum Refused {
    /// It does not fit what is stored; its neighbours are not concerned.
    Conflict(String),
    /// The store failed, and with it perhaps the whole transaction.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Writes a batch, or nothing of it. The inner answer is the batch's own; after an outer error the
/// whole transaction has to be given up.
pub(crate) fn batch(
    connection: &Connection,
    batch: &Prepared,
    database: &Path,
) -> Result<Result<(), StoreError>, StoreError> {
    let failed = |error: rusqlite::Error| sqlite(&error, database);
    let run = |text: &str| connection.prepare_cached(text)?.execute([]).map(drop);
    run("SAVEPOINT batch").map_err(failed)?;
    let refused = match write(connection, batch) {
        Ok(()) => None,
        Err(Refused::Conflict(what)) => {
            run("ROLLBACK TO batch").map_err(failed)?;
            Some(StoreError::Conflict { what })
        }
        Err(Refused::Sqlite(error)) => return Err(failed(error)),
    };
    run("RELEASE batch").map_err(failed)?;
    Ok(refused.map_or(Ok(()), Err))
}

fn write(connection: &Connection, batch: &Prepared) -> Result<(), Refused> {
    let (session, mut last) = session(connection, batch)?;
    let mut insert = connection.prepare_cached(sql::INSERT_RECORD)?;
    for (seq, _, payload) in &batch.records {
        if *seq != last + 1 {
            let session = &batch.session;
            return Err(Refused::Conflict(format!(
                "record {seq} of {session} after {last}"
            )));
        }
        last = *seq;
        insert.execute(params![session, number(last), payload])?;
    }
    turns(connection, batch, session)?;
    let mut insert = connection.prepare_cached(sql::INSERT_BLOB)?;
    for blob in &batch.blobs {
        if !has_blob(connection, &blob.digest)? {
            insert.execute(params![&blob.digest.0[..], blob.codec as i64, blob.bytes])?;
        }
    }
    if let Some((_, at, _)) = batch.records.last() {
        let mut update = connection.prepare_cached(sql::UPDATE_SESSION)?;
        update.execute(params![session, number(at.0), number(last)])?;
    }
    Ok(())
}

fn turns(connection: &Connection, batch: &Prepared, session: i64) -> Result<(), Refused> {
    for turn in &batch.turns {
        let owner: Option<i64> = connection
            .prepare_cached(sql::FIND_TURN_SESSION)?
            .query_row([turn.turn.as_str()], |row| row.get(0))
            .optional()?;
        if owner.is_some_and(|owner| owner != session) {
            return Err(Refused::Conflict(format!(
                "turn {} belongs to another session",
                turn.turn
            )));
        }
        connection
            .prepare_cached(sql::UPSERT_TURN)?
            .execute(params![
                turn.turn.as_str(),
                session,
                turn.agent.as_str(),
                sql::state_text(turn.state),
                number(turn.accepted_at.0),
                number(turn.changed_at.0),
            ])?;
    }
    Ok(())
}

/// The row of a batch's session, made where it is new, and its last record.
fn session(connection: &Connection, batch: &Prepared) -> Result<(i64, u64), Refused> {
    let id = batch.session.as_str();
    let found: Option<(i64, i64)> = connection
        .prepare_cached(sql::FIND_SESSION)?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((row, last)) = found {
        return Ok((row, u64::try_from(last).unwrap_or_default()));
    }
    let at = batch.records.first().map_or(Timestamp(0), |first| first.1);
    let mut insert = connection.prepare_cached(sql::INSERT_SESSION)?;
    insert.execute(params![id, batch.agent.as_str(), number(at.0)])?;
    Ok((connection.last_insert_rowid(), 0))
}

pub(crate) fn has_blob(connection: &Connection, digest: &Digest) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(sql::HAS_BLOB)?
        .exists([&digest.0[..]])
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
