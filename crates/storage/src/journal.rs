//! The journal port on SQLite.

use crate::blobs::BlobFolder;
use crate::connection::{connect, make_private};
use crate::error::{io_error, writer_ended};
use crate::migrations;
use crate::prepare::{is_quick, prepare};
use crate::read::Readers;
use crate::sweep::{Removal, Sweeps};
use crate::verify::{self, DataStats, VerifyReport};
use crate::writer::{Answer, Work, Writer};
use mainstay_contract::{Digest, Seq, SessionId, TurnId};
use mainstay_sessions::{
    BoxFuture, Journal, JournalBatch, Record, SessionRow, StoreError, TurnRow,
};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
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
    readers: Arc<Readers>,
    sweeps: Arc<Sweeps>,
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
        migrations::examine(&database)?;
        let mut connection = connect(&database)?;
        migrations::migrate(&mut connection, &database)?;
        let blobs = BlobFolder::open(blobs)?;
        let started = Writer::start(connection, database.clone(), blobs.clone());
        let started = started.map_err(|error| io_error(&error, &database))?;
        Ok(Self {
            readers: Arc::new(Readers::new(database.clone())),
            sweeps: Arc::default(),
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
        // Before the snapshot: a file gets its row after it was made.
        let files = self.blobs.files()?;
        self.readers.with_snapshot(|connection| {
            verify::verify(connection, &self.blobs, &files, &self.database)
        })
    }

    /// How much is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stats(&self) -> Result<DataStats, StoreError> {
        let files = self.blobs.files()?;
        let files = files.iter().map(|file| self.blobs.file_bytes(file)).sum();
        self.readers
            .with_snapshot(|connection| verify::stats(connection, files, &self.database))
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

    /// Whether a blob is stored; it is not read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn holds(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.readers.holds(digest)
    }

    fn sender(&self) -> Result<Sender<Work>, StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, _) = writer.as_ref().ok_or_else(writer_ended)?;
        Ok(sender.clone())
    }

    fn send(&self, work: Work) -> Result<(), StoreError> {
        self.sender()?.send(work).map_err(|_| writer_ended())
    }

    /// Hands a batch to the writer; what takes time before that gets a thread of its own.
    fn begin_append(&self, batch: JournalBatch, answer: Answer) -> Result<(), StoreError> {
        if is_quick(&batch) {
            let batch = prepare(batch, &self.blobs)?;
            return self.send(Work::Append(Box::new(batch), answer));
        }
        let (writer, blobs) = (self.sender()?, self.blobs.clone());
        self.spawn("journal-blobs", move || match prepare(batch, &blobs) {
            Ok(batch) => drop(writer.send(Work::Append(Box::new(batch), answer))),
            Err(error) => drop(answer.send(Err(error))),
        })
    }

    fn begin_remove(&self, session: SessionId, answer: Answer) -> Result<(), StoreError> {
        let removal = Removal {
            session,
            database: self.database.clone(),
            blobs: self.blobs.clone(),
            readers: Arc::clone(&self.readers),
            writer: self.sender()?,
            sweeps: Arc::clone(&self.sweeps),
        };
        self.spawn("journal-sweep", move || drop(answer.send(removal.run())))
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
        spawned
            .map(drop)
            .map_err(|error| io_error(&error, &self.database))
    }
}

/// What a caller awaits.
fn answer_of<'a>(
    begin: impl FnOnce(Answer) -> Result<(), StoreError>,
) -> BoxFuture<'a, Result<(), StoreError>> {
    let (answer, answered) = oneshot::channel();
    let begun = begin(answer);
    Box::pin(async move {
        begun?;
        answered.await.unwrap_or_else(|_| Err(writer_ended()))
    })
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

impl Journal for SqliteJournal {
    fn append(&self, batch: JournalBatch) -> BoxFuture<'_, Result<(), StoreError>> {
        answer_of(|answer| self.begin_append(batch, answer))
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
        answer_of(|answer| self.begin_remove(session.clone(), answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_of_a_dead_writer_are_answered() {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(OpenParams {
            database: folder.path().join("journal.db"),
            blobs: folder.path().join("blobs"),
        })
        .unwrap();
        journal.send(Work::Panic).unwrap();
        for _ in 0..2 {
            // The first may reach the thread before it dies, and must be answered all the same.
            let error = journal.close().unwrap_err();
            assert_eq!(error, writer_ended());
        }
        assert!(journal.sessions().unwrap().is_empty());
    }
}
