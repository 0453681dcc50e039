//! What the server keeps, in a folder of its own: blobs by their SHA-256, and records, which are small
//! and name blobs (the result of an action, an artifact of a team).
//!
//! Everything is written beside its place and renamed into it, so a reader sees all of a file or none.
//! Nothing is synced: a file that a crash tore is found by its hash when it is read, and is then gone,
//! which to a cache is a miss. The index lives in memory and is read anew from the folder at start.
//! Names that come from outside never become file names: they are hashed, or were parsed as hashes.

mod blobs;
mod error;
mod index;
mod key;
mod records;
mod upload;

pub(crate) use blobs::OpenBlob;
pub(crate) use error::StoreError;
pub(crate) use key::Key;
pub(crate) use upload::Upload;

use crate::digest::RemoteDigest;
use index::Index;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Where files are before they are whole.
const INCOMING: &str = "incoming";

/// How exactly the last use is kept across a restart. Finer costs a write for each use.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes_max: u64,
    pub(crate) blob_bytes_max: u64,
    pub(crate) age_max: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    limits: Limits,
    index: Mutex<Index>,
    /// How many uploads there were.
    uploads: AtomicU64,
    /// How many bytes are on their way in.
    incoming: Arc<AtomicU64>,
    /// The kernel holds the lock, so it ends with the process, however that ends.
    _lock: File,
}

impl Store {
    /// Opens a folder, which is made where it is missing, and sweeps what a crash left over.
    pub(crate) fn open(folder: &Path, limits: Limits) -> Result<Self, StoreError> {
        let incoming = folder.join(INCOMING);
        fs::create_dir_all(folder).map_err(|error| StoreError::io(folder, error))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| StoreError::io(&path, error))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => StoreError::InUse {
                folder: folder.to_owned(),
            },
            fs::TryLockError::Error(error) => StoreError::io(&path, error),
        })?;
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io(&incoming, error));
            }
            _ => {}
        }
        fs::create_dir_all(&incoming).map_err(|error| StoreError::io(&incoming, error))?;
        let index = key::scan(folder)?;
        let store = Self {
            folder: folder.to_owned(),
            limits,
            index: Mutex::new(index),
            uploads: AtomicU64::new(0),
            incoming: Arc::default(),
            _lock: lock,
        };
        store.evict(SystemTime::now());
        Ok(store)
    }

    /// Does something that blocks where blocking hurts nobody.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|error| Err(StoreError::io(&self.folder, error.into())))
    }

    /// The most bytes that broken uploads may hold, so that others have room.
    pub(crate) fn held_bytes_max(&self) -> u64 {
        self.limits.bytes_max / 4
    }

    /// The most bytes that one blob may have.
    pub(crate) fn blob_bytes_max(&self) -> u64 {
        self.limits.blob_bytes_max.min(self.limits.bytes_max)
    }

    /// Whether a blob is here, whole as far as its length tells. Asking counts as a use.
    pub(crate) fn contains(&self, digest: &RemoteDigest) -> bool {
        if digest.is_empty_blob() {
            return true;
        }
        let key = Key::Blob(digest.hash);
        let path = self.path(&key);
        let mut index = self.index();
        if index.size(&key) != Some(digest.size) {
            return false;
        }
        let found = fs::metadata(&path).map(|found| found.len());
        if !found.is_ok_and(|length| length == digest.size) {
            tracing::warn!(%digest, "a blob is gone or cut short");
            self.forget(&mut index, &key);
            return false;
        }
        drop(index);
        self.touch(&key);
        true
    }

    /// Removes what is too old, and then what was not used for longest, until the rest fits. Who reads a
    /// file meanwhile keeps it: the kernel removes its bytes with the last open handle.
    pub(crate) fn evict(&self, now: SystemTime) {
        let oldest_allowed = self.limits.age_max.and_then(|age| now.checked_sub(age));
        let mut removed = 0_u64;
        loop {
            // The lock is taken for one file at a time, so that nobody waits for a long eviction.
            let mut index = self.index();
            let Some((key, used)) = index.oldest() else {
                break;
            };
            let is_too_old = oldest_allowed.is_some_and(|allowed| used < allowed);
            if !is_too_old && index.bytes() <= self.limits.bytes_max {
                break;
            }
            self.forget(&mut index, &key);
            removed += 1;
        }
        if removed > 0 {
            tracing::info!(removed, "evicted");
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        key.path(&self.folder)
    }

    /// Puts a whole file into its place.
    fn place(&self, from: &Path, key: Key, size: u64) -> Result<(), StoreError> {
        let path = self.path(&key);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| StoreError::io(parent, error))?;
        }
        // Under the lock, as removing is: else a file could be placed, listed and then removed by an
        // eviction that had chosen its predecessor.
        let mut index = self.index();
        fs::rename(from, &path).map_err(|error| StoreError::io(&path, error))?;
        index.insert(key, size, SystemTime::now());
        let is_full = index.bytes() > self.limits.bytes_max;
        drop(index);
        if is_full {
            self.evict(SystemTime::now());
        }
        Ok(())
    }

    /// Counts a use, and notes it in the file's time for the next start.
    fn touch(&self, key: &Key) {
        let now = SystemTime::now();
        let is_to_be_noted = self.index().touch(key, now, NOTE_EVERY);
        if is_to_be_noted {
            let noted = File::open(self.path(key)).and_then(|file| file.set_modified(now));
            if let Err(error) = noted {
                tracing::debug!(%error, "the last use of a file is not noted");
            }
        }
    }

    /// Removes an entry and its file.
    fn forget(&self, index: &mut Index, key: &Key) {
        index.remove(key);
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a file cannot be removed");
            }
            _ => {}
        }
    }

    fn forget_damaged(&self, key: &Key) {
        tracing::warn!(path = %self.path(key).display(), "damaged: removed");
        self.forget(&mut self.index(), key);
    }
}
