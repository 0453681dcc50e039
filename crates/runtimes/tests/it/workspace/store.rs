//! A store in memory that checks what it is given.

use mainstay_contract::Digest;
use mainstay_runtimes::workspace::BlobSource;
use mainstay_sessions::{Blob, BlobContent, StoreError};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;

#[derive(Default)]
pub(super) struct Store {
    blobs: RefCell<HashMap<Digest, Vec<u8>>>,
    /// After how many more files it fails.
    pub(super) fails_after: Cell<Option<usize>>,
}

impl Store {
    pub(super) fn keep(&self, blobs: Vec<Blob>) {
        for blob in blobs {
            let bytes = match blob.content {
                BlobContent::Bytes(bytes) => bytes,
                BlobContent::File(path) => std::fs::read(&path).unwrap(),
            };
            assert_eq!(mainstay_sessions::digest(&bytes), blob.digest);
            self.blobs.borrow_mut().insert(blob.digest, bytes);
        }
    }
}

impl BlobSource for Store {
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.blobs.borrow().get(digest).cloned())
    }

    fn blob_to_file(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError> {
        match self.fails_after.get() {
            Some(0) => {
                return Err(StoreError::Io {
                    what: "it was told to fail".to_owned(),
                });
            }
            Some(left) => self.fails_after.set(Some(left - 1)),
            None => {}
        }
        let blobs = self.blobs.borrow();
        let Some(bytes) = blobs.get(digest) else {
            return Ok(false);
        };
        let mut file = std::fs::File::create_new(path).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Ok(true)
    }
}
