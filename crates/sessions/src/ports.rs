//! What the machine's shell needs from storage, as capabilities. Adapters implement them.

use crate::{Record, TurnState};
use mainstay_contract::{
    AgentName, Code, Coded, Digest, ErrorReport, RetryAdvice, Seq, SessionId, Timestamp, TurnId,
};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

/// A future that an object-safe port can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Content to be stored under its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The blake3 digest of the content.
    pub digest: Digest,
    /// The content.
    pub content: BlobContent,
}

/// Where the bytes of a blob are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobContent {
    /// Here.
    Bytes(Vec<u8>),
    /// In a file that does not change until the blob is stored. The store verifies the digest.
    File(PathBuf),
}

impl Blob {
    /// A blob of bytes.
    #[must_use]
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self {
            digest: crate::digest(&bytes),
            content: BlobContent::Bytes(bytes),
        }
    }
}

/// What becomes durable together, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalBatch {
    /// The session; made where it is new.
    pub session: SessionId,
    /// The agent of the session's first turn; kept on the session's row.
    pub agent: AgentName,
    /// Records that follow what the journal holds, in order.
    pub records: Vec<Record>,
    /// The blobs they name that may be new.
    pub blobs: Vec<Blob>,
    /// Rows of turns whose state these records change.
    pub turns: Vec<TurnRow>,
}

/// The discoverable row of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRow {
    /// The turn.
    pub turn: TurnId,
    /// Its session.
    pub session: SessionId,
    /// Its agent.
    pub agent: AgentName,
    /// Where it stands.
    pub state: TurnState,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// The row of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The session.
    pub session: SessionId,
    /// The agent of its first turn.
    pub agent: AgentName,
    /// When it began.
    pub created_at: Timestamp,
    /// Its last record.
    pub last_seq: Seq,
    /// When that was written.
    pub changed_at: Timestamp,
    /// Its latest turn.
    pub turn: Option<TurnRow>,
}

/// The durable journal and its blobs. Cheap to clone behind an `Arc`; reads block briefly, so call
/// them where blocking is allowed.
pub trait Journal: Send + Sync {
    /// Makes a batch durable. When the future ends well, a crash cannot lose it. Batches of
    /// different sessions may share one commit.
    fn append(&self, batch: JournalBatch) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The records of a session after a place, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]; an unknown session has no records.
    fn records(
        &self,
        session: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// A blob's bytes, verified; `None` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the bytes do not match.
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a blob into a new file, verified; `false` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError`], also for the target file.
    fn blob_to_file(&self, digest: &Digest, path: &std::path::Path) -> Result<bool, StoreError>;

    /// Sessions, newest change first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn sessions(&self) -> Result<Vec<SessionRow>, StoreError>;

    /// One session.
    ///
    /// # Errors
    /// [`StoreError`].
    fn session(&self, session: &SessionId) -> Result<Option<SessionRow>, StoreError>;

    /// One turn, wherever it is.
    ///
    /// # Errors
    /// [`StoreError`].
    fn turn(&self, turn: &TurnId) -> Result<Option<TurnRow>, StoreError>;

    /// Turns that have not ended: what a node takes up at its start.
    ///
    /// # Errors
    /// [`StoreError`].
    fn open_turns(&self) -> Result<Vec<TurnRow>, StoreError>;

    /// Removes a session, its records, its turns, and the blobs that only it names.
    fn remove_session(&self, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Why storage failed. Nothing of a failed batch is visible afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space, or a file size limit.
    #[error("the disk is full while writing {path}")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The device failed.
    #[error("the disk failed: {what}")]
    Io {
        /// What was attempted and what the system said.
        what: String,
    },
    /// The directory, file or mount cannot be written.
    #[error("{path} cannot be written")]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
    },
    /// Another process owns the data directory.
    #[error("{path} belongs to another node{}", .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, where known.
        holder: Option<u32>,
    },
    /// A newer version wrote it.
    #[error("{path} has format {found}, and this version knows up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this version knows.
        known: u32,
    },
    /// Stored bytes are not what was stored.
    #[error("stored data is damaged: {what}")]
    Corrupt {
        /// What, and how it was noticed.
        what: String,
    },
    /// Somebody else appended first, or a turn id is taken by another session.
    #[error("the journal moved on: {what}")]
    Conflict {
        /// What was expected and found.
        what: String,
    },
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::DiskFull { .. } => Code::StoreDiskFull,
            Self::Io { .. } => Code::StoreIoFailed,
            Self::ReadOnly { .. } => Code::StoreReadOnly,
            Self::Locked { .. } => Code::StoreLocked,
            Self::Newer { .. } => Code::StoreNewer,
            Self::Corrupt { .. } => Code::StoreCorrupt,
            Self::Conflict { .. } => Code::StoreCommitFailed,
        }
    }

    fn report(&self) -> ErrorReport {
        let report = ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::DiskFull { .. } => {
                report.hint("free some space, then send the same turn again: nothing is repeated")
            }
            Self::ReadOnly { .. } => report.hint("make the data directory writable"),
            Self::Locked { .. } => {
                report.hint("talk to the node that runs there, or give this one another --data-dir")
            }
            Self::Newer { .. } => report.hint("run the newer version, or restore a backup"),
            Self::Corrupt { .. } => report.hint("run `mainstay doctor`"),
            Self::Conflict { .. } => report.advise(RetryAdvice::Now),
            Self::Io { .. } => report.hint("check the device, then run `mainstay doctor`"),
        }
    }
}
