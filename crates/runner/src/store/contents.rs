//! The bytes of one result: small ones lie in the result's own file, the others are blobs.
//!
//! One file for a result and all its small contents is one file to make, to read and to remove.

use super::{BlobError, Store};
use mainstay_contract::Digest;
use mainstay_tasks::Content;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Larger contents are blobs.
const SMALL_MAX: u64 = 16 << 10;
/// Once this much is in the result's file, everything else is a blob.
const PARCEL_MAX: usize = 256 << 10;

/// Small contents by digest.
pub(crate) type Small = BTreeMap<Digest, Vec<u8>>;

/// Collects small contents for a result that is being made.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    inner: Mutex<(Small, usize)>,
}

impl Parcel {
    /// Takes bytes; gives them back where they have to become a blob.
    pub(super) fn take(&self, digest: Digest, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (small, total) = &mut *inner;
        if small.contains_key(&digest) {
            return None;
        }
        if bytes.len() as u64 > SMALL_MAX || *total + bytes.len() > PARCEL_MAX {
            return Some(bytes);
        }
        *total += bytes.len();
        small.insert(digest, bytes);
        None
    }

    pub(crate) fn into_small(self) -> Small {
        self.inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

/// Where the bytes of a result are.
#[derive(Debug, Clone)]
pub(crate) struct Contents<'s> {
    store: &'s Store,
    small: Arc<Small>,
}

impl<'s> Contents<'s> {
    pub(crate) fn new(store: &'s Store, small: Small) -> Self {
        Self {
            store,
            small: Arc::new(small),
        }
    }

    /// Whether some bytes seem to be there; large ones are not looked at.
    pub(crate) fn has(&self, content: &Content) -> bool {
        self.small.contains_key(&content.digest) || self.store.has(content)
    }

    /// Writes bytes into an empty file, and makes sure that they were the right ones.
    pub(crate) fn write_to(&self, content: &Content, to: &mut File) -> Result<(), BlobError> {
        match self.small.get(&content.digest) {
            Some(bytes) => to.write_all(bytes).map_err(BlobError::Target),
            None => self.store.write_to(content, to),
        }
    }

    /// Makes a hard link to a blob; `false` where the bytes are none.
    pub(crate) fn link_to(&self, content: &Content, to: &Path) -> bool {
        !self.small.contains_key(&content.digest)
            && content.bytes > 0
            && self.store.link_to(content, to).is_ok()
    }

    /// Hands bytes over piece by piece. Whether they were the right ones shows at the end.
    pub(crate) fn read_pieces(
        &self,
        content: &Content,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), BlobError> {
        match self.small.get(&content.digest) {
            Some(bytes) => take(bytes).map_err(BlobError::Target),
            None => self.store.read_pieces(content, take),
        }
    }

    /// Whether some bytes are a blob.
    pub(crate) fn is_blob(&self, content: &Content) -> bool {
        content.bytes > 0 && !self.small.contains_key(&content.digest)
    }

    /// Whether bytes are there and right.
    pub(crate) fn is_sound(&self, content: &Content) -> bool {
        self.read_pieces(content, &mut |_| Ok(())).is_ok()
    }
}
