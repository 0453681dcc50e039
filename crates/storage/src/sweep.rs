//! Removing a session, and then the blobs that only it named.
//!
//! Nobody counts references: a count that is once wrong loses data. Instead a sweep reads every record
//! and whatever they name, on a thread of its own and from a snapshot, while the writer goes on and
//! notes what is appended meanwhile. It costs a reading of the store, so removals that wait for each
//! other share one. Files without a row, which a crash may leave, go in the same sweep.

use crate::blobs::BlobFolder;
use crate::error::sqlite;
use crate::error::writer_ended;
use crate::names::Names;
use crate::read::Readers;
use crate::sql;
use crate::writer::{Answer, Work};
use mainstay_contract::{Digest, SessionId};
use mainstay_sessions::StoreError;
use rusqlite::Connection;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Counts sweeps, so that a removal knows whether one that began after it is done.
#[derive(Default)]
pub(crate) struct Sweeps {
    begun: Mutex<u64>,
    ended: Mutex<u64>,
}

/// What a removal needs on its thread.
pub(crate) struct Removal {
    pub(crate) session: SessionId,
    pub(crate) database: PathBuf,
    pub(crate) blobs: BlobFolder,
    pub(crate) readers: Arc<Readers>,
    pub(crate) writer: Sender<Work>,
    pub(crate) sweeps: Arc<Sweeps>,
}

impl Removal {
    /// Removes the session and sweeps. Damage met by the sweep keeps blobs, and is `doctor`'s to tell:
    /// the session is gone by then.
    pub(crate) fn run(self) -> Result<(), StoreError> {
        let session = self.session.clone();
        self.ask(|answer| Work::Remove(session, answer))?;
        let lock = |count: &Mutex<u64>| *count.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = lock(&self.sweeps.begun);
        let mut ended = self
            .sweeps
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *ended > begun {
            return Ok(());
        }
        let this = {
            let begun = self.sweeps.begun.lock();
            let mut begun = begun.unwrap_or_else(PoisonError::into_inner);
            *begun += 1;
            *begun
        };
        match self.sweep() {
            Err(StoreError::Corrupt { what }) => {
                tracing::warn!(what, "damaged data: no blob is removed");
            }
            done => done?,
        }
        *ended = this;
        Ok(())
    }

    fn sweep(&self) -> Result<(), StoreError> {
        self.ask(Work::Watch)?;
        let found = self.blobs.files().and_then(|files| {
            let unnamed = |connection: &Connection| self.unnamed(connection);
            Ok((self.readers.with_snapshot(unnamed)?, files))
        });
        let (result, unnamed, files) = match found {
            Ok((unnamed, files)) => (Ok(()), unnamed, files),
            Err(error) => (Err(error), HashSet::new(), Vec::new()),
        };
        let ended = self.ask(|answer| Work::Sweep {
            unnamed,
            files,
            answer,
        });
        result.and(ended)
    }

    /// The blobs that no record names, directly or through another blob.
    fn unnamed(&self, connection: &Connection) -> Result<HashSet<Digest>, StoreError> {
        let failed = |error: rusqlite::Error| sqlite(&error, &self.database);
        let stored = all_blobs(connection).map_err(failed)?;
        let mut names = Names::new(&stored);
        let mut all = connection.prepare(sql::ALL_PAYLOADS).map_err(failed)?;
        let mut rows = all.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let payload = row.get_ref(0).and_then(|value| Ok(value.as_str()?));
            names.text(payload.map_err(failed)?);
        }
        while let Some(digest) = names.todo.pop() {
            self.blobs
                .read(connection, &digest, &self.database, &mut names)?;
            names.end();
        }
        Ok(stored.difference(&names.named).copied().collect())
    }

    fn ask(&self, work: impl FnOnce(Answer) -> Work) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.writer.send(work(answer)).map_err(|_| writer_ended())?;
        answered
            .blocking_recv()
            .unwrap_or_else(|_| Err(writer_ended()))
    }
}

pub(crate) fn all_blobs(connection: &Connection) -> rusqlite::Result<HashSet<Digest>> {
    let mut stored = connection.prepare(sql::ALL_BLOBS)?;
    let rows = stored.query_map([], |row| row.get::<_, [u8; 32]>(0).map(Digest))?;
    rows.collect()
}
