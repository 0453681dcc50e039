//! The cache of results on disk, one for all of a user's workspaces.
//!
//! `blobs/a/…` holds content under its digest, `results/a/…` what belongs together under a task's key,
//! `tmp/` what is not yet either. Everything is written beside its place and then moved there, a result
//! after all that it names, so whoever dies leaves nothing half. Nothing is trusted on the way back: a
//! blob is hashed while it is read, a result carries its own digest. That is why nothing waits for the
//! disk: what a power cut damages is found and made again.

mod blobs;
mod collect;
mod contents;
mod results;

pub(crate) use blobs::{BlobError, Spool};
pub use collect::Budget;
pub use collect::{Collected, Usage};
pub(crate) use contents::{Contents, Parcel, Small};
pub(crate) use results::{Entry, Kept, parse};

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The cache.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    adding: Mutex<Adders>,
    /// Whether the file system was seen to share blocks between files; true until it refuses.
    can_clone: AtomicBool,
}

impl Store {
    /// The cache in a folder, which is made when something is added.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            adding: Mutex::new(Adders::default()),
            can_clone: AtomicBool::new(true),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where what is remembered of a workspace lies.
    pub(crate) fn of_workspace(&self, root: &Path) -> PathBuf {
        let name = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        self.folder.join("workspaces").join(&name[..32])
    }

    /// Keeps the collection away while a result and its blobs are added.
    pub(crate) fn adding(&self) -> io::Result<Adding<'_>> {
        let mut adders = self.adders();
        if adders.count == 0 {
            let lock = self.lock()?;
            flock(&lock, FlockOperation::LockShared)?;
            adders.lock = Some(lock);
        }
        adders.count += 1;
        Ok(Adding { store: self })
    }

    fn adders(&self) -> MutexGuard<'_, Adders> {
        self.adding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file whose lock is taken; the folders are made where they are missing.
    fn lock(&self) -> io::Result<File> {
        let path = self.folder.join("tmp");
        if !path.is_dir() {
            fs::create_dir_all(path)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        options.open(self.folder.join("lock"))
    }

    /// The place of something named by a digest.
    fn place(&self, kind: &str, name: &str) -> PathBuf {
        let (shard, rest) = name.split_at(1);
        let mut path = self.folder.join(kind);
        path.push(shard);
        path.push(rest);
        path
    }
}

/// Who adds at the moment: they hold the lock together, and who removes holds it alone.
#[derive(Debug, Default)]
struct Adders {
    count: u32,
    lock: Option<File>,
}

/// While it lives, nothing is removed from the cache.
pub(crate) struct Adding<'s> {
    store: &'s Store,
}

impl Drop for Adding<'_> {
    fn drop(&mut self) {
        let mut adders = self.store.adders();
        adders.count -= 1;
        if adders.count == 0 {
            // Closing it unlocks it.
            adders.lock = None;
        }
    }
}

/// Moves a finished file to its place, and makes the folder where it is missing.
fn settle(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::rename(from, to)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
