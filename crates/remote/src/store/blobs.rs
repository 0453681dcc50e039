//! Whole blobs in, verified blobs out. These calls block.

use super::{Key, Store, StoreError};
use crate::digest::{Hasher, RemoteDigest};
use crate::protocol::CHUNK_BYTES;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read, Seek};

/// Up to here a blob is read into memory at once.
const MEMORY_BYTES_MAX: u64 = 1 << 20;

/// A blob whose bytes are the right ones.
#[derive(Debug)]
pub(crate) enum OpenBlob {
    Memory(Bytes),
    File(File),
}

impl Store {
    /// Keeps a blob.
    pub(crate) fn put(&self, digest: &RemoteDigest, bytes: &[u8]) -> Result<(), StoreError> {
        let found = RemoteDigest::of(bytes);
        if found != *digest {
            let expected = *digest;
            return Err(StoreError::Mismatch { expected, found });
        }
        let (size, max) = (digest.size, self.blob_bytes_max());
        if size > max {
            return Err(StoreError::TooLarge { size, max });
        }
        if self.contains(digest) {
            return Ok(());
        }
        let temporary = self.temporary();
        let written = std::fs::write(temporary.path(), bytes);
        written.map_err(|error| StoreError::io(temporary.path(), error))?;
        self.place(temporary.path(), Key::Blob(digest.hash), digest.size)
    }

    /// Opens a blob that is here and undamaged.
    ///
    /// A large one is read twice, once to be verified and once to be sent: whoever asked must hear that it
    /// is not here, and not get half of it.
    pub(crate) fn open_blob(&self, digest: &RemoteDigest) -> Result<Option<OpenBlob>, StoreError> {
        if digest.is_empty_blob() {
            return Ok(Some(OpenBlob::Memory(Bytes::new())));
        }
        if !self.contains(digest) {
            return Ok(None);
        }
        let key = Key::Blob(digest.hash);
        let path = self.path(&key);
        let opened = match File::open(&path) {
            // It was evicted since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened,
        };
        let read = opened.and_then(|file| verified(file, digest));
        let read = read.map_err(|error| StoreError::io(&path, error))?;
        if read.is_none() {
            self.forget_damaged(&key);
        }
        Ok(read)
    }

    /// All bytes of a blob that is at most so large.
    pub(crate) fn read_blob(
        &self,
        digest: &RemoteDigest,
        bytes_max: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let (size, max) = (digest.size, bytes_max);
        if size > max {
            return Err(StoreError::TooLarge { size, max });
        }
        match self.open_blob(digest)? {
            Some(OpenBlob::File(mut file)) => {
                let mut bytes = Vec::new();
                let read = file.read_to_end(&mut bytes);
                read.map_err(|error| StoreError::io(&self.path(&Key::Blob(digest.hash)), error))?;
                Ok(Some(bytes.into()))
            }
            Some(OpenBlob::Memory(bytes)) => Ok(Some(bytes)),
            None => Ok(None),
        }
    }
}

/// The blob, from its start, unless its bytes are others.
fn verified(mut file: File, digest: &RemoteDigest) -> io::Result<Option<OpenBlob>> {
    if digest.size <= MEMORY_BYTES_MAX {
        let mut bytes = Vec::new();
        (&mut file)
            .take(MEMORY_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        let is_right = RemoteDigest::of(&bytes) == *digest;
        return Ok(is_right.then(|| OpenBlob::Memory(bytes.into())));
    }
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
    }
    file.rewind()?;
    Ok((hasher.finish() == *digest).then_some(OpenBlob::File(file)))
}
