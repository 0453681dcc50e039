//! What is stored of a view: one blob per folder of what changed, and one that names the root.

use super::error::WorkspaceError;
use super::source::BlobSource;
use mainstay_contract::Digest;
use mainstay_sessions::WorkspaceMode;
use serde::{Deserialize, Serialize};

/// A committed state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// What the folder held when the view was made.
    pub(super) base: Digest,
    pub(super) mode: WorkspaceMode,
    /// The permissions of the workspace's own folder: when the view was made, and now.
    pub(super) root_modes: (u32, u32),
    /// The tree of what changed since.
    pub(super) root: Digest,
}

/// The changed entries of one folder, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Tree {
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// See [`super::name`].
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) kind: EntryKind,
    /// User and group, where they are not the folder's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum EntryKind {
    File {
        digest: Digest,
        size: u64,
        mode: u32,
        mtime_ns: i64,
    },
    /// Another name of a file of the same view, by its path from the root.
    HardLink {
        to: String,
    },
    Link {
        target: String,
    },
    Fifo {
        mode: u32,
    },
    /// A folder of which something changed; an opaque one hides all that was below it.
    Folder {
        tree: Digest,
        mode: u32,
        is_opaque: bool,
    },
    /// What was there is gone. A socket counts as gone too: it means nothing without its process.
    Gone,
}

/// Reads a stored JSON blob.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    digest: &Digest,
    blobs: &dyn BlobSource,
) -> Result<T, WorkspaceError> {
    let bytes = blobs
        .blob(digest)?
        .ok_or(WorkspaceError::Missing { digest: *digest })?;
    serde_json::from_slice(&bytes).map_err(|error| WorkspaceError::Unreadable {
        digest: *digest,
        why: error.to_string(),
    })
}
