//! Reads what changed into a tree of blobs. Files that look untouched since the last scan are not
//! read again, by the same rule as Git's index: equal size, times and inode, and not so young that a
//! second write could have left the same times.

use super::base::join;
use super::disk::{self, Kind};
use super::error::{At, WorkspaceError};
use super::name;
use super::tree::{Entry, EntryKind, Tree};
use mainstay_contract::Digest;
use mainstay_sessions::{Blob, BlobContent};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Larger files are stored from where they are.
const INLINE_BYTES_MAX: u64 = 64 << 10;
/// Times are trusted only when they are older than this; file systems are at most this coarse.
const SETTLED_NS: i64 = 20_000_000;

/// What was known of a file when it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Stamp {
    pub(super) fn of(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.len(),
            mtime_ns: disk::mtime_ns(found),
            ctime_ns: disk::ctime_ns(found),
        }
    }
}

/// What earlier scans learned.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: HashMap<PathBuf, (Stamp, Digest)>,
    /// Blobs that are stored, or on their way there.
    stored: HashSet<Digest>,
}

impl Index {
    /// A blob is stored already.
    pub(super) fn note_stored(&mut self, digest: Digest) {
        self.stored.insert(digest);
    }

    /// Blobs that were handed out may not have been stored after all.
    pub(super) fn forget_stored(&mut self, blobs: &[Digest]) {
        for digest in blobs {
            self.stored.remove(digest);
        }
    }

    pub(super) fn clear_files(&mut self) {
        self.files.clear();
    }
}

/// One scan.
pub(super) struct Scan<'a> {
    index: &'a mut Index,
    /// Whose files need no note.
    owner: (u32, u32),
    blobs: Vec<Blob>,
    links: HashMap<u64, String>,
    seen: HashMap<PathBuf, (Stamp, Digest)>,
    now_ns: i64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(index: &'a mut Index, owner: (u32, u32)) -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            index,
            owner,
            blobs: Vec::new(),
            links: HashMap::new(),
            seen: HashMap::new(),
            now_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// The blobs that are new.
    pub(super) fn finish(self) -> Vec<Blob> {
        self.index.files = self.seen;
        self.blobs
    }

    /// Reads an overlay's folder of changes.
    pub(super) fn overlay(
        &mut self,
        folder: &Path,
        prefix: &str,
    ) -> Result<Digest, WorkspaceError> {
        let mut tree = Tree::default();
        for file in disk::names(folder)? {
            let path = folder.join(&file);
            let found = fs::symlink_metadata(&path).at(&path)?;
            let name = name::encode(&file);
            let from_root = join(prefix, &name);
            let kind = match disk::kept_kind(&path, &found)? {
                None => continue,
                Some(Kind::Whiteout) => EntryKind::Gone,
                Some(Kind::Folder) => EntryKind::Folder {
                    tree: self.overlay(&path, &from_root)?,
                    mode: disk::mode(&found),
                    is_opaque: disk::is_opaque(&path)?,
                },
                Some(kind) => self.leaf(&path, &found, kind, &from_root)?,
            };
            tree.entries.push(self.entry(name, kind, &found));
        }
        self.store(&tree)
    }

    pub(super) fn entry(&self, name: String, kind: EntryKind, found: &Metadata) -> Entry {
        let owner = (found.uid(), found.gid());
        let is_noted = owner != self.owner && kind != EntryKind::Gone;
        Entry {
            name,
            kind,
            owner: is_noted.then_some(owner),
        }
    }

    /// A file, link or fifo.
    pub(super) fn leaf(
        &mut self,
        path: &Path,
        found: &Metadata,
        kind: Kind,
        from_root: &str,
    ) -> Result<EntryKind, WorkspaceError> {
        match kind {
            Kind::Link => {
                let target = fs::read_link(path).at(path)?;
                Ok(EntryKind::Link {
                    target: name::encode(target.as_os_str()),
                })
            }
            Kind::Fifo => Ok(EntryKind::Fifo {
                mode: disk::mode(found),
            }),
            _ => self.file(path, found, from_root),
        }
    }

    fn file(
        &mut self,
        path: &Path,
        found: &Metadata,
        from_root: &str,
    ) -> Result<EntryKind, WorkspaceError> {
        if found.nlink() > 1 {
            if let Some(first) = self.links.get(&found.ino()) {
                return Ok(EntryKind::HardLink { to: first.clone() });
            }
            self.links.insert(found.ino(), from_root.to_owned());
        }
        let stamp = Stamp::of(found);
        let youngest = stamp.mtime_ns.max(stamp.ctime_ns);
        let is_settled = youngest + SETTLED_NS < self.now_ns;
        let known = self
            .index
            .files
            .get(path)
            .copied()
            .filter(|(known, _)| *known == stamp);
        let digest = match known {
            Some((_, digest)) => digest,
            None => self.read(path, found.len())?,
        };
        if is_settled || known.is_some() {
            self.seen.insert(path.to_owned(), (stamp, digest));
        }
        let (mode, mtime_ns) = (disk::mode(found), disk::mtime_ns(found));
        Ok(EntryKind::File {
            digest,
            size: found.len(),
            mode,
            mtime_ns,
        })
    }

    fn read(&mut self, path: &Path, size: u64) -> Result<Digest, WorkspaceError> {
        if size > INLINE_BYTES_MAX {
            let digest = disk::hash(path)?;
            self.push(digest, || BlobContent::File(path.to_owned()));
            return Ok(digest);
        }
        let mut bytes = Vec::new();
        disk::open(path)?.read_to_end(&mut bytes).at(path)?;
        let digest = mainstay_sessions::digest(&bytes);
        self.push(digest, || BlobContent::Bytes(bytes));
        Ok(digest)
    }

    /// Stores data as JSON.
    pub(super) fn store(&mut self, value: &impl Serialize) -> Result<Digest, WorkspaceError> {
        let bytes = serde_json::to_vec(value).map_err(|error| WorkspaceError::Worker {
            why: error.to_string(),
        })?;
        let digest = mainstay_sessions::digest(&bytes);
        self.push(digest, || BlobContent::Bytes(bytes));
        Ok(digest)
    }

    fn push(&mut self, digest: Digest, content: impl FnOnce() -> BlobContent) {
        if self.index.stored.insert(digest) {
            self.blobs.push(Blob {
                digest,
                content: content(),
            });
        }
    }
}
