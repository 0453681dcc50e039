//! A blob on its way in: hashed while it is written, and gone without a trace unless it is finished.

use super::{INCOMING, Key, Store, StoreError};
use crate::digest::{Hasher, RemoteDigest};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt;

/// A file that is removed when it is let go.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _renamed = fs::remove_file(&self.0);
    }
}

/// What an upload has on the disk, counted among what all have.
struct Share {
    incoming: Arc<AtomicU64>,
    bytes: u64,
}

impl Share {
    fn grow(&mut self, bytes: u64, max: u64) -> Result<(), StoreError> {
        self.bytes += bytes;
        let before = self.incoming.fetch_add(bytes, Ordering::Relaxed);
        match before.saturating_add(bytes) > max {
            true => Err(StoreError::Busy),
            false => Ok(()),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.incoming.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(crate) struct Upload {
    file: tokio::fs::File,
    temporary: Temporary,
    hasher: Hasher,
    max: u64,
    share: Share,
    /// How much may be on its way in at once.
    incoming_max: u64,
}

impl Upload {
    /// How much has arrived.
    pub(crate) fn size(&self) -> u64 {
        self.hasher.size()
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let size = self.size() + bytes.len() as u64;
        if size > self.max {
            let max = self.max;
            return Err(StoreError::TooLarge { size, max });
        }
        self.share.grow(bytes.len() as u64, self.incoming_max)?;
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes).await;
        written.map_err(|error| StoreError::io(self.temporary.path(), error))
    }

    /// Puts the blob into its place, if it is the one that was announced.
    pub(crate) async fn finish(
        mut self,
        store: &Arc<Store>,
        expected: Option<RemoteDigest>,
    ) -> Result<RemoteDigest, StoreError> {
        let flushed = self.file.flush().await;
        flushed.map_err(|error| StoreError::io(self.temporary.path(), error))?;
        let found = self.hasher.finish();
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(StoreError::Mismatch { expected, found });
        }
        if found.is_empty_blob() {
            return Ok(found);
        }
        let temporary = self.temporary;
        let place = move |store: &Store| {
            store.place(temporary.path(), Key::Blob(found.hash), found.size)?;
            Ok(found)
        };
        store.run(place).await
    }
}

impl Store {
    /// Begins a blob of at most so many bytes.
    pub(crate) async fn begin_upload(&self, size_max: u64) -> Result<Upload, StoreError> {
        let max = self.blob_bytes_max().min(size_max);
        let temporary = self.temporary();
        let file = tokio::fs::File::create(temporary.path()).await;
        Ok(Upload {
            file: file.map_err(|error| StoreError::io(temporary.path(), error))?,
            temporary,
            hasher: Hasher::new(),
            max,
            share: Share {
                incoming: Arc::clone(&self.incoming),
                bytes: 0,
            },
            incoming_max: self.limits.bytes_max,
        })
    }

    /// A name that nobody else uses: the folder is locked, and was emptied at start.
    pub(super) fn temporary(&self) -> Temporary {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        Temporary(self.folder.join(INCOMING).join(number.to_string()))
    }
}
