//! The one thread that writes. Everything that waits becomes one transaction; a batch that is refused
//! takes no neighbour with it.
//!
//! A commit that fails may leave whole frames in the log whose sync failed. The connection stays: it
//! knows that they do not count, and its next commit writes over them, where a new connection could
//! take them for committed. Before anything more is written, the sessions concerned are compared with
//! what they were. Only a crash in between can bring such a batch to light; the journal is then the
//! truth, and sessions are rebuilt from it.

use crate::apply;
use crate::blobs::BlobFolder;
use crate::connection::connect;
use crate::error::sqlite;
use crate::names::Names;
use crate::prepare::Prepared;
use crate::sql;
use mainstay_contract::{Digest, SessionId};
use mainstay_sessions::StoreError;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::sync::oneshot;

/// The most batches in one transaction.
const GROUP_MAX: usize = 256;
/// The most blobs removed in one transaction.
const SWEPT_MAX: usize = 1000;

pub(crate) type Answer = oneshot::Sender<Result<(), StoreError>>;

/// What the thread is asked for.
pub(crate) enum Work {
    Append(Box<Prepared>, Answer),
    /// Removes the rows of a session.
    Remove(SessionId, Answer),
    /// Notes from now on what is appended, for a sweep.
    Watch(Answer),
    /// Ends a sweep: removes blobs and files that nothing named, unless something does by now.
    Sweep {
        unnamed: HashSet<Digest>,
        files: Vec<Digest>,
        answer: Answer,
    },
    Close(Answer),
    #[cfg(test)]
    Panic,
}

/// Why a transaction did not happen.
struct Failure {
    error: StoreError,
    /// Whether the same batches may have better luck one by one.
    is_worth_splitting: bool,
}

pub(crate) struct Writer {
    connection: Option<Connection>,
    database: PathBuf,
    blobs: BlobFolder,
    /// The last records of sessions before a commit that failed.
    in_doubt: HashMap<SessionId, u64>,
    /// What was appended since a sweep began.
    watched: Option<Watched>,
}

#[derive(Default)]
struct Watched {
    payloads: Vec<String>,
    blobs: Vec<Digest>,
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
            in_doubt: HashMap::new(),
            watched: None,
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
                    Work::Append(batch, answer) => group.push((batch, answer)),
                    other => {
                        self.append_all(std::mem::take(&mut group));
                        self.perform(other);
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

    fn perform(&mut self, work: Work) {
        let (answer, done) = match work {
            Work::Append(batch, answer) => return self.append_all(vec![(batch, answer)]),
            Work::Remove(session, answer) => (answer, self.remove(&session)),
            Work::Watch(answer) => {
                self.watched = Some(Watched::default());
                (answer, Ok(()))
            }
            Work::Sweep {
                unnamed,
                files,
                answer,
            } => (answer, self.sweep(unnamed, &files)),
            Work::Close(answer) => (answer, self.checkpoint()),
            #[cfg(test)]
            Work::Panic => panic!("a test asked for it"),
        };
        let _gone = answer.send(done);
    }

    fn append_all(&mut self, group: Vec<(Box<Prepared>, Answer)>) {
        if group.is_empty() {
            return;
        }
        let batches: Vec<&Prepared> = group.iter().map(|(batch, _)| &**batch).collect();
        let done: Vec<Result<(), StoreError>> = match self.append(&batches) {
            Ok(done) => done,
            Err(failure) if failure.is_worth_splitting && batches.len() > 1 => batches
                .iter()
                .map(|batch| match self.append(&[batch]) {
                    Ok(done) => done.into_iter().collect(),
                    Err(failure) => Err(failure.error),
                })
                .collect(),
            Err(failure) => batches.iter().map(|_| Err(failure.error.clone())).collect(),
        };
        for ((_, answer), done) in group.into_iter().zip(done) {
            let _gone = answer.send(done);
        }
    }

    /// Writes batches in one transaction; the answer of each.
    fn append(&mut self, batches: &[&Prepared]) -> Result<Vec<Result<(), StoreError>>, Failure> {
        let done = self.transact(|writer, connection| {
            let write = |batch: &&Prepared| apply::batch(connection, batch, &writer.database);
            batches.iter().map(write).collect::<Result<Vec<_>, _>>()
        });
        match &done {
            Ok(_) => self.watch(batches),
            Err(failure) if !failure.is_worth_splitting => {
                for batch in batches {
                    if let Some((first, _, _)) = batch.records.first() {
                        let session = batch.session.clone();
                        self.in_doubt.entry(session).or_insert(first - 1);
                    }
                }
            }
            Err(_) => {}
        }
        done
    }

    fn watch(&mut self, batches: &[&Prepared]) {
        if let Some(watched) = &mut self.watched {
            for batch in batches {
                let payloads = batch.records.iter().map(|(_, _, payload)| payload.clone());
                watched.payloads.extend(payloads);
                let blobs = batch.blobs.iter().map(|blob| blob.digest);
                watched.blobs.extend(blobs);
            }
        }
    }

    /// Runs a transaction.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Self, &Connection) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        let connection = self.connection().map_err(|error| Failure {
            error,
            is_worth_splitting: false,
        })?;
        let run = |text: &str| {
            let done = connection
                .prepare_cached(text)
                .and_then(|mut statement| statement.execute([]));
            done.map(drop)
                .map_err(|error| sqlite(&error, &self.database))
        };
        let worked = run("BEGIN IMMEDIATE").and_then(|()| work(self, &connection));
        let (error, is_committing) = match worked {
            Ok(value) => match run("COMMIT") {
                Ok(()) => {
                    self.connection = Some(connection);
                    return Ok(value);
                }
                Err(error) => (error, true),
            },
            Err(error) => (error, false),
        };
        // SQLite gives up the whole transaction by itself after some failures.
        if connection.is_autocommit() || run("ROLLBACK").is_ok() {
            self.connection = Some(connection);
        } else if let Err((_, error)) = connection.close() {
            tracing::warn!(%error, "a failed connection did not close");
        }
        let is_full = matches!(error, StoreError::DiskFull { .. });
        Err(Failure {
            error,
            is_worth_splitting: is_full || !is_committing,
        })
    }

    /// The connection, made anew where it was given up.
    fn connection(&mut self) -> Result<Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.database)?,
        };
        for (session, expected) in &self.in_doubt {
            let last: Option<i64> = connection
                .query_row(sql::FIND_SESSION, [session.as_str()], |row| row.get(1))
                .optional()
                .map_err(|error| sqlite(&error, &self.database))?;
            let last = last.unwrap_or_default();
            if u64::try_from(last).ok() != Some(*expected) {
                tracing::warn!(%session, expected, last, "a failed commit is there after all");
            }
        }
        self.in_doubt.clear();
        Ok(connection)
    }

    fn remove(&mut self, session: &SessionId) -> Result<(), StoreError> {
        let removed = self.transact(|writer, connection| {
            let failed = |error: rusqlite::Error| sqlite(&error, &writer.database);
            let row: Option<i64> = connection
                .query_row(sql::FIND_SESSION, [session.as_str()], |row| row.get(0))
                .optional()
                .map_err(failed)?;
            let Some(row) = row else { return Ok(()) };
            for statement in sql::REMOVE_SESSION {
                connection.execute(statement, [row]).map_err(failed)?;
            }
            Ok(())
        });
        removed.map_err(|failure| failure.error)
    }

    fn sweep(&mut self, mut unnamed: HashSet<Digest>, files: &[Digest]) -> Result<(), StoreError> {
        let watched = self.watched.take().unwrap_or_default();
        for digest in self.revived(&watched, &unnamed)? {
            unnamed.remove(&digest);
        }
        let all: Vec<Digest> = unnamed.into_iter().collect();
        for some in all.chunks(SWEPT_MAX) {
            let removed = self.transact(|writer, connection| {
                for digest in some {
                    let deleted = connection.execute(sql::DELETE_BLOB, [&digest.0[..]]);
                    deleted.map_err(|error| sqlite(&error, &writer.database))?;
                }
                Ok(())
            });
            removed.map_err(|failure| failure.error)?;
            some.iter().for_each(|digest| self.blobs.remove(digest));
        }
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        for digest in files {
            let has_row = apply::has_blob(connection, digest);
            if !has_row.map_err(|error| sqlite(&error, &self.database))? {
                self.blobs.remove(digest);
            }
        }
        Ok(())
    }

    /// Those of the unnamed blobs that were named since the sweep began.
    fn revived(
        &mut self,
        watched: &Watched,
        unnamed: &HashSet<Digest>,
    ) -> Result<HashSet<Digest>, StoreError> {
        let connection = self.connection()?;
        let mut names = Names::new(unnamed);
        watched
            .payloads
            .iter()
            .for_each(|payload| names.text(payload));
        let mut todo = watched.blobs.clone();
        let given_again = watched.blobs.iter().filter(|blob| unnamed.contains(blob));
        names.named.extend(given_again);
        todo.append(&mut names.todo);
        while let Some(digest) = todo.pop() {
            self.blobs
                .read(&connection, &digest, &self.database, &mut names)?;
            names.end();
            todo.append(&mut names.todo);
        }
        self.connection = Some(connection);
        Ok(names.named)
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let connection = self.connection()?;
        let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection = Some(connection);
        folded.map_err(|error| sqlite(&error, &self.database))
    }
}
