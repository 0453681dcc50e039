//! Uploads that broke off and may go on: held for a while, by the name that the client gave them.

use crate::store::{Store, StoreError, Upload};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may take to come back.
const HELD_FOR: Duration = Duration::from_secs(600);

/// How many uploads wait; those that waited longest make room.
const HELD_MAX: usize = 64;

struct Held {
    upload: Upload,
    since: Instant,
}

pub(super) struct Uploads {
    bytes_max: u64,
    held: Mutex<HashMap<String, Held>>,
}

impl Uploads {
    pub(super) fn new(bytes_max: u64) -> Self {
        let held = Mutex::default();
        Self { bytes_max, held }
    }

    /// How much of an upload is here.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.lock().get(name).map(|held| held.upload.size())
    }

    /// Drops uploads whose clients did not come back.
    pub(super) fn give_up(&self, now: Instant) {
        self.lock()
            .retain(|_, held| now.duration_since(held.since) < HELD_FOR);
    }

    fn take(&self, name: &str) -> Option<Upload> {
        self.lock().remove(name).map(|held| held.upload)
    }

    fn hold(&self, name: String, upload: Upload) {
        let since = Instant::now();
        let mut all = self.lock();
        all.insert(name, Held { upload, since });
        let bytes = |all: &HashMap<String, Held>| -> u64 {
            all.values().map(|held| held.upload.size()).sum()
        };
        while all.len() > HELD_MAX || bytes(&all) > self.bytes_max {
            let longest = all.iter().min_by_key(|(_, held)| held.since);
            let Some(name) = longest.map(|(name, _)| name.clone()) else {
                break;
            };
            all.remove(&name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uploads({})", self.lock().len())
    }
}

/// An upload under way. Let go between two writes, as when the connection breaks, it is held for its
/// client; let go within one, nobody knows how much was written, and it is dropped.
pub(super) struct Running<'a> {
    uploads: &'a Uploads,
    name: String,
    upload: Option<Upload>,
}

impl<'a> Running<'a> {
    /// Goes on where the upload of this name broke off, or begins it when the client begins at 0.
    pub(super) async fn begin(
        uploads: &'a Uploads,
        store: &Store,
        name: String,
        size: u64,
        from: u64,
    ) -> Result<Self, StoreError> {
        let broken = uploads.take(&name);
        let upload = match broken.filter(|_| from > 0) {
            Some(upload) => upload,
            None => store.begin_upload(size).await?,
        };
        Ok(Self {
            uploads,
            name,
            upload: Some(upload),
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.upload.as_ref().map_or(0, Upload::size)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(mut upload) = self.upload.take() {
            upload.write(bytes).await?;
            self.upload = Some(upload);
        }
        Ok(())
    }

    pub(super) async fn finish(
        mut self,
        store: &Arc<Store>,
        expected: crate::RemoteDigest,
    ) -> Result<(), StoreError> {
        if let Some(upload) = self.upload.take() {
            upload.finish(store, Some(expected)).await?;
        }
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let upload = self.upload.take().filter(|upload| upload.size() > 0);
        if let Some(upload) = upload {
            self.uploads.hold(std::mem::take(&mut self.name), upload);
        }
    }
}
