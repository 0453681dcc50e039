//! Records: small files that name blobs. Each begins with the hash of the rest. These calls block.

use super::{Key, Store, StoreError};
use crate::digest::RemoteDigest;
use crate::protocol::MESSAGE_BYTES_MAX;
use std::fs::{self, File};
use std::io::{self, Read};

const HASH_BYTES: usize = 32;

impl Store {
    /// Keeps a record that names these blobs.
    pub(crate) fn put_record(
        &self,
        key: Key,
        record: &[u8],
        blobs: &[RemoteDigest],
    ) -> Result<(), StoreError> {
        let temporary = self.temporary();
        let mut bytes = RemoteDigest::of(record).hash.to_vec();
        bytes.extend_from_slice(record);
        let written = fs::write(temporary.path(), &bytes);
        written.map_err(|error| StoreError::io(temporary.path(), error))?;
        self.place(temporary.path(), key, bytes.len() as u64)?;
        self.touch_after(&key, blobs);
        Ok(())
    }

    /// Reads a record that is here and undamaged.
    pub(crate) fn record(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        if self.index().size(key).is_none() {
            return Ok(None);
        }
        let path = self.path(key);
        let mut bytes = Vec::new();
        let limit = (HASH_BYTES + MESSAGE_BYTES_MAX) as u64;
        let read = File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(&mut self.index(), key);
                return Ok(None);
            }
            read => read.map_err(|error| StoreError::io(&path, error))?,
        };
        let whole = bytes.split_at_checked(HASH_BYTES);
        let whole = whole.filter(|(hash, rest)| RemoteDigest::of(rest).hash == **hash);
        if whole.is_none() {
            self.forget_damaged(key);
        }
        Ok(whole.map(|(_, rest)| rest.to_vec()))
    }

    /// Counts a use of a record and then of its blobs, so that the record is evicted before them.
    pub(crate) fn touch_after(&self, key: &Key, blobs: &[RemoteDigest]) {
        self.touch(key);
        for blob in blobs {
            self.touch(&Key::Blob(blob.hash));
        }
    }
}
