//! The one thread that writes. Everything that waits becomes one transaction; a batch that is refused
//! takes no neighbour with it.

use crate::blobs::{BlobFolder, Row};
use crate::error::sqlite;
use crate::{journal, sql};
use mainstay_contract::{Digest, SessionId, Timestamp};
use mainstay_sessions::{JournalBatch, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::sync::oneshot;

/// The most batches in one transaction.
const GROUP_MAX: usize = 256;

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// What the thread is asked for.
pub(crate) enum Work {
    Append(Box<JournalBatch>, Answer),
    Remove(SessionId, Answer),
    Close(Answer),
}

pub(crate) struct Writer {
    connection: Option<Connection>,
    database: PathBuf,
    blobs: BlobFolder,
}

impl Writer {
    /// Starts the thread on an open connection.
    pub(crate) fn start(
        connection: Connection,
        database: PathBuf,
        blobs: BlobFolder,
    ) -> std::io::Result<(Sender<Work>, thread::JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let writer = Self {
            connection: Some(connection),
            database,
            blobs,
        };
        let thread = thread::Builder::new().name("journal".to_owned());
        Ok((sender, thread.spawn(move || writer.run(&receiver))?))
    }

    fn run(mut self, receiver: &Receiver<Work>) {
        while let Ok(first) = receiver.recv() {
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(work) = next.take() {
                match work {
                    Work::Append(batch, answer) => group.push((*batch, answer)),
                    Work::Remove(session, answer) => {
                        self.append_all(std::mem::take(&mut group));
                        let _gone = answer.send(self.remove(&session));
                    }
                    Work::Close(answer) => {
                        self.append_all(std::mem::take(&mut group));
                        let _gone = answer.send(self.checkpoint());
                    }
                }
                if group.len() < GROUP_MAX {
                    next = receiver.try_recv().ok();
                }
            }
            self.append_all(group);
        }
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the journal's log was not folded in");
        }
    }

    fn append_all(&mut self, group: Vec<(JournalBatch, Answer)>) {
        if group.is_empty() {
            return;
        }
        let mut answers = Vec::with_capacity(group.len());
        let committed = self.transact(|writer, connection| {
            for (batch, answer) in group {
                let written = writer.append(connection, batch);
                answers.push((answer, written));
            }
            Ok(())
        });
        for (answer, written) in answers {
            let result = match &committed {
                Ok(()) => written,
                Err(error) => Err(error.clone()),
            };
            let _gone = answer.send(result);
        }
    }

    /// Runs a transaction. After any failure the connection is made anew: what a failed sync left
    /// unknown is read back from the disk before anything more is written.
    fn transact(
        &mut self,
        work: impl FnOnce(&Self, &Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => journal::connect(&self.database)?,
        };
        let failed = |error: rusqlite::Error| sqlite(&error, &self.database);
        let done = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(failed)
            .and_then(|()| work(self, &connection))
            .and_then(|()| connection.execute_batch("COMMIT").map_err(failed));
        if done.is_ok() {
            self.connection = Some(connection);
        } else if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "a failed connection did not close");
        }
        done
    }

    fn append(&self, connection: &Connection, batch: JournalBatch) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| sqlite(&error, &self.database);
        let mut rows = Vec::with_capacity(batch.blobs.len());
        let mut seen = HashSet::new();
        for blob in batch.blobs.iter().filter(|blob| seen.insert(blob.digest)) {
            if !has_blob(connection, &blob.digest).map_err(failed)? {
                rows.push(self.blobs.prepare(blob.clone())?);
            }
        }
        connection
            .execute_batch("SAVEPOINT batch")
            .map_err(failed)?;
        let written = write(connection, &batch, &rows);
        let end = match &written {
            Ok(()) => "RELEASE batch",
            Err(_) => "ROLLBACK TO batch; RELEASE batch",
        };
        connection.execute_batch(end).map_err(failed)?;
        written.map_err(|error| match error {
            Refused::Conflict(what) => StoreError::Conflict { what },
            Refused::Sqlite(error) => sqlite(&error, &self.database),
        })
    }

    /// Removes a session, then every blob that no other session names.
    fn remove(&mut self, session: &SessionId) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        self.transact(|writer, connection| {
            let failed = |error: rusqlite::Error| sqlite(&error, &writer.database);
            let row: Option<i64> = connection
                .query_row(sql::FIND_SESSION, [session.as_str()], |row| row.get(0))
                .optional()
                .map_err(failed)?;
            let Some(row) = row else { return Ok(()) };
            for statement in sql::REMOVE_SESSION {
                connection.execute(statement, [row]).map_err(failed)?;
            }
            gone = writer.unnamed(connection)?;
            for digest in &gone {
                connection
                    .execute(sql::DELETE_BLOB, [&digest.0[..]])
                    .map_err(failed)?;
            }
            Ok(())
        })?;
        gone.iter().for_each(|digest| self.blobs.remove(digest));
        Ok(())
    }

    /// The blobs that no record names, directly or through another blob.
    fn unnamed(&self, connection: &Connection) -> Result<Vec<Digest>, StoreError> {
        let failed = |error: rusqlite::Error| sqlite(&error, &self.database);
        let mut named = HashSet::new();
        let mut todo = Vec::new();
        let mut note = |text: &str, todo: &mut Vec<Digest>| {
            for digest in digests(text) {
                if named.insert(digest) {
                    todo.push(digest);
                }
            }
        };
        let mut all = connection
            .prepare("SELECT payload FROM records")
            .map_err(failed)?;
        let mut rows = all.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            note(&row.get::<_, String>(0).map_err(failed)?, &mut todo);
        }
        while let Some(digest) = todo.pop() {
            let bytes = self.blobs.get(connection, &digest, &self.database)?;
            if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                note(&text, &mut todo);
            }
        }
        let mut stored = connection.prepare(sql::ALL_BLOBS).map_err(failed)?;
        let stored = stored
            .query_map([], |row| row.get::<_, [u8; 32]>(0))
            .map_err(failed)?;
        let stored: Vec<Digest> = stored
            .map(|row| row.map(Digest))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(stored
            .into_iter()
            .filter(|digest| !named.contains(digest))
            .collect())
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        folded.map_err(|error| sqlite(&error, &self.database))
    }
}

enum Refused {
    Conflict(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn write(connection: &Connection, batch: &JournalBatch, blobs: &[Row]) -> Result<(), Refused> {
    let (session, mut last) = session(connection, batch)?;
    let mut insert = connection.prepare_cached(sql::INSERT_RECORD)?;
    for record in &batch.records {
        if record.seq.0 != last + 1 {
            let (found, session) = (record.seq.0, &batch.session);
            return Err(Refused::Conflict(format!(
                "record {found} of {session} after {last}"
            )));
        }
        last = record.seq.0;
        let payload = serde_json::to_string(record)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        insert.execute(params![session, number(last), payload])?;
    }
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
                journal::state_text(turn.state),
                number(turn.accepted_at.0),
                number(turn.changed_at.0),
            ])?;
    }
    let mut insert = connection.prepare_cached(sql::INSERT_BLOB)?;
    for blob in blobs {
        insert.execute(params![&blob.digest.0[..], blob.codec as i64, blob.bytes])?;
    }
    if let Some(record) = batch.records.last() {
        let mut update = connection.prepare_cached(sql::UPDATE_SESSION)?;
        update.execute(params![session, number(record.at.0), number(last)])?;
    }
    Ok(())
}

/// The row of a batch's session, made where it is new, and its last record.
fn session(connection: &Connection, batch: &JournalBatch) -> Result<(i64, u64), Refused> {
    let id = batch.session.as_str();
    let found: Option<(i64, i64)> = connection
        .prepare_cached(sql::FIND_SESSION)?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((row, last)) = found {
        return Ok((row, u64::try_from(last).unwrap_or_default()));
    }
    let at = batch
        .records
        .first()
        .map_or(Timestamp(0), |record| record.at);
    let mut insert = connection.prepare_cached(sql::INSERT_SESSION)?;
    insert.execute(params![id, batch.agent.as_str(), number(at.0)])?;
    Ok((connection.last_insert_rowid(), 0))
}

fn has_blob(connection: &Connection, digest: &Digest) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(sql::HAS_BLOB)?
        .exists([&digest.0[..]])
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Every digest that a text names: 64 hexadecimal digits between quotes.
fn digests(text: &str) -> impl Iterator<Item = Digest> + '_ {
    text.split('"')
        .filter(|part| part.len() == 64)
        .filter_map(|part| part.parse().ok())
}
