//! Whether all that a committed state names is stored.

use super::base::Base;
use super::error::WorkspaceError;
use super::source::BlobSource;
use super::tree::{EntryKind, State, Tree, read};
use mainstay_contract::Digest;
use mainstay_sessions::StoreError;

/// The blobs that a committed state names and the store does not hold. Files are asked for, not read.
///
/// # Errors
/// [`WorkspaceError`] where a blob of the state itself cannot be read.
pub fn missing(
    state: Digest,
    blobs: &dyn BlobSource,
    is_stored: &dyn Fn(&Digest) -> Result<bool, StoreError>,
) -> Result<Vec<Digest>, WorkspaceError> {
    let mut missing = Vec::new();
    let state: State = match read(&state, blobs) {
        Err(WorkspaceError::Missing { digest }) => return Ok(vec![digest]),
        found => found?,
    };
    if let Err(WorkspaceError::Missing { digest }) = read::<Base>(&state.base, blobs) {
        missing.push(digest);
    }
    let mut folders = vec![state.root];
    while let Some(folder) = folders.pop() {
        let tree: Tree = match read(&folder, blobs) {
            Err(WorkspaceError::Missing { digest }) => {
                missing.push(digest);
                continue;
            }
            found => found?,
        };
        for entry in tree.entries {
            match entry.kind {
                EntryKind::Folder { tree, .. } => folders.push(tree),
                EntryKind::File { digest, .. } if !is_stored(&digest)? => missing.push(digest),
                _ => {}
            }
        }
    }
    Ok(missing)
}
