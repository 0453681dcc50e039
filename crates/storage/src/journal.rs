//! The journal port on SQLite.

use crate::blobs::BlobFolder;
use crate::error::{io_error, sqlite};
use crate::migrations::migrate;
use crate::read::Readers;
use crate::sql;
use crate::verify::{self, DataStats, VerifyReport};
use crate::writer::{Work, Writer};
use mainstay_contract::{Digest, Seq, SessionId, TurnId};
use mainstay_sessions::{
    BoxFuture, Journal, JournalBatch, Record, SessionRow, StoreError, TurnRow, TurnState,
};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Where a journal is.
#[derive(Debug, Clone)]
pub struct OpenParams {
    /// The database; made where it is missing.
    pub database: PathBuf,
    /// The folder of large blobs; made where it is missing.
    pub blobs: PathBuf,
}

/// A journal in a SQLite database.
pub struct SqliteJournal {
    database: PathBuf,
    blobs: BlobFolder,
    readers: Readers,
    writer: Mutex<Option<(Sender<Work>, JoinHandle<()>)>>,
}

impl SqliteJournal {
    /// Opens a journal, bringing an older one to the newest format. The data directory must be the
    /// caller's own: see [`crate::DataDirLock`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(params: OpenParams) -> Result<Self, StoreError> {
        let OpenParams { database, blobs } = params;
        make_private(&database)?;
        let mut connection = connect(&database)?;
        migrate(&mut connection, &database)?;
        let blobs = BlobFolder::open(blobs)?;
        let started = Writer::start(connection, database.clone(), blobs.clone());
        let started = started.map_err(|error| io_error(&error, &database))?;
        Ok(Self {
            readers: Readers::new(database.clone()),
            database,
            blobs,
            writer: Mutex::new(Some(started)),
        })
    }

    /// Looks at everything that is stored. Reads the whole of it.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be looked at; damage is a finding.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.readers
            .with(|connection| verify::verify(connection, &self.blobs, &self.database))
    }

    /// How much is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stats(&self) -> Result<DataStats, StoreError> {
        self.readers
            .with(|connection| verify::stats(connection, &self.database))
    }

    /// Folds the log into the database. The journal goes on working.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Work::Close(answer))?;
        answered
            .blocking_recv()
            .unwrap_or_else(|_| Err(writer_ended()))
    }

    fn send(&self, work: Work) -> Result<(), StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, _) = writer.as_ref().ok_or_else(writer_ended)?;
        sender.send(work).map_err(|_| writer_ended())
    }

    fn ask(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Work,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.send(work(answer));
        Box::pin(async move {
            sent?;
            answered.await.unwrap_or_else(|_| Err(writer_ended()))
        })
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((sender, thread)) = writer {
            drop(sender);
            let _panicked = thread.join();
        }
    }
}

fn writer_ended() -> StoreError {
    StoreError::Io {
        what: "the thread that writes the journal has ended".to_owned(),
    }
}

impl Journal for SqliteJournal {
    fn append(&self, batch: JournalBatch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(|answer| Work::Append(Box::new(batch), answer))
    }

    fn records(
        &self,
        session: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.readers.records(session, after, limit)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers
            .with(|connection| self.blobs.get(connection, digest, &self.database))
    }

    fn blob_to_file(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError> {
        self.readers.with(|connection| {
            self.blobs
                .get_to_file(connection, digest, &self.database, path)
        })
    }

    fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.readers.sessions(None)
    }

    fn session(&self, session: &SessionId) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.readers.sessions(Some(session))?.pop())
    }

    fn turn(&self, turn: &TurnId) -> Result<Option<TurnRow>, StoreError> {
        Ok(self.readers.turns(Some(turn))?.pop())
    }

    fn open_turns(&self) -> Result<Vec<TurnRow>, StoreError> {
        self.readers.turns(None)
    }

    fn remove_session(&self, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        let session = session.clone();
        self.ask(|answer| Work::Remove(session, answer))
    }
}

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
fn make_private(database: &Path) -> Result<(), StoreError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
        .open(database)
        .map(drop)
        .map_err(|error| io_error(&error, database))
}

/// How a state is stored.
pub(crate) const fn state_text(state: TurnState) -> &'static str {
    match state {
        TurnState::Accepted => "accepted",
        TurnState::Running => "running",
        TurnState::InDoubt => "in_doubt",
        TurnState::Quarantined => "quarantined",
        TurnState::Completed => "completed",
        TurnState::Failed => "failed",
        TurnState::Cancelled => "cancelled",
        TurnState::Steered => "steered",
    }
}
