//! Where stored trees and files come from.

use mainstay_contract::Digest;
use mainstay_sessions::StoreError;
use std::path::Path;

/// Where stored blobs come from.
pub trait BlobSource {
    /// A blob's bytes; `None` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError`].
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a blob into a new file; `false` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError`], also for the file.
    fn blob_to_file(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError>;
}
