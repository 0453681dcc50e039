//! Readers with connections of their own, taken from a pool and given back.

use crate::apply::has_blob;
use crate::error::sqlite;
use crate::sql;
use mainstay_contract::{AgentName, Digest, Seq, SessionId, Timestamp, TurnId};
use mainstay_sessions::{Record, SessionRow, StoreError, TurnRow, TurnState};
use rusqlite::{Connection, OpenFlags, Row, params};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// How many idle connections are kept.
const IDLE_MAX: usize = 8;

pub(crate) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(database: PathBuf) -> Self {
        Self {
            database,
            idle: Mutex::default(),
        }
    }

    pub(crate) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let done = read(&connection);
        // After a failure the connection may be worth nothing.
        let mut idle = self.lock();
        if done.is_ok() && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        done
    }

    /// Reads everything as it is at one moment, whatever is written meanwhile.
    pub(crate) fn with_snapshot<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|connection| {
            let run = |text| connection.execute_batch(text);
            run("BEGIN").map_err(|error| self.failed(&error))?;
            let done = read(connection);
            run("ROLLBACK").map_err(|error| self.failed(&error))?;
            done
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&self.database, flags);
        let connection = opened.map_err(|error| self.failed(&error))?;
        connection.set_prepared_statement_cache_capacity(16);
        connection
            .busy_timeout(std::time::Duration::from_secs(5))
            .map_err(|error| self.failed(&error))?;
        Ok(connection)
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        sqlite(error, &self.database)
    }

    pub(crate) fn holds(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.with(|connection| has_blob(connection, digest).map_err(|error| self.failed(&error)))
    }

    pub(crate) fn records(
        &self,
        session: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (after, limit) = (
            i64::try_from(after.0).unwrap_or(i64::MAX),
            i64::try_from(limit).unwrap_or(i64::MAX),
        );
        let read = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
            let mut select = connection.prepare_cached(sql::RECORDS_AFTER)?;
            let rows =
                select.query_map(params![session.as_str(), after, limit], |row| row.get(0))?;
            rows.collect()
        };
        let rows = self.with(|connection| read(connection).map_err(|error| self.failed(&error)))?;
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
                what: format!("a record of session {session}: {error}"),
            })
        };
        rows.iter().map(parse).collect()
    }

    /// One session, or all of them, the latest change first.
    pub(crate) fn sessions(
        &self,
        session: Option<&SessionId>,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.select(
            sql::SESSIONS,
            "s.id",
            "ORDER BY s.changed_at DESC, s.rowid DESC",
            session.map(SessionId::as_str),
            session_row,
        )
    }

    /// One turn, or all that have not ended.
    pub(crate) fn turns(&self, turn: Option<&TurnId>) -> Result<Vec<TurnRow>, StoreError> {
        self.select(
            sql::TURNS,
            "t.id",
            sql::OPEN_TURNS,
            turn.map(TurnId::as_str),
            |row| turn_row(row, 0, 1, 2),
        )
    }

    fn select<T>(
        &self,
        select: &str,
        key: &str,
        otherwise: &str,
        wanted: Option<&str>,
        map: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let read = |connection: &Connection| -> rusqlite::Result<Vec<T>> {
            match wanted {
                Some(wanted) => {
                    let text = format!("{select} WHERE {key} = ?1");
                    connection
                        .prepare_cached(&text)?
                        .query_map([wanted], &map)?
                        .collect()
                }
                None => {
                    let text = format!("{select} {otherwise}");
                    connection
                        .prepare_cached(&text)?
                        .query_map([], &map)?
                        .collect()
                }
            }
        };
        self.with(|connection| read(connection).map_err(|error| self.failed(&error)))
    }
}

fn session_row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let has_turn = row.get::<_, Option<String>>(5)?.is_some();
    Ok(SessionRow {
        session: parsed(row, 0)?,
        agent: parsed(row, 1)?,
        created_at: time(row, 2)?,
        last_seq: Seq(time(row, 3)?.0),
        changed_at: time(row, 4)?,
        turn: if has_turn {
            Some(turn_row(row, 5, 0, 6)?)
        } else {
            None
        },
    })
}

fn turn_row(row: &Row<'_>, id: usize, session: usize, rest: usize) -> rusqlite::Result<TurnRow> {
    Ok(TurnRow {
        turn: parsed(row, id)?,
        session: parsed(row, session)?,
        agent: parsed::<AgentName>(row, rest)?,
        state: state(row, rest + 1)?,
        accepted_at: time(row, rest + 2)?,
        changed_at: time(row, rest + 3)?,
    })
}

fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<TurnState> {
    let text: String = row.get(column)?;
    let quoted = serde_json::Value::String(text);
    serde_json::from_value(quoted).map_err(|error| unreadable(column, error))
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let value: i64 = row.get(column)?;
    Ok(Timestamp(u64::try_from(value).unwrap_or_default()))
}
