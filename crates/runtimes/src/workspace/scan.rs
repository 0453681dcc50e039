//! Reads what changed into a tree of blobs. Files that look untouched since the last scan are not
//! read again, by the same rule as Git's index: equal size, times and inode, and not so young that a
//! second write could have left the same times. Only the time of the last change of any kind (ctime)
//! says how young: a tool can set the other one.

use super::base::join;
use super::disk::{self, Kind};
use super::error::{At, WorkspaceError};
use super::name;
use super::tree::{Entry, EntryKind, Tree};
use mainstay_contract::Digest;
use mainstay_sessions::{Blob, BlobContent};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Larger files are stored from where they are.
const INLINE_BYTES_MAX: u64 = 64 << 10;
/// The kernel takes 4096 bytes.
const PATH_BYTES_MAX: usize = 4090;
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
    /// These blobs are stored already.
    pub(super) fn note_stored(&mut self, digests: impl IntoIterator<Item = Digest>) {
        self.stored.extend(digests);
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

/// One scan. What it learned counts only when it comes to its end.
pub(super) struct Scan<'a> {
    index: &'a mut Index,
    /// Whose files need no note.
    owner: (u32, u32),
    /// Where files are kept for the store that it could not open.
    staging: PathBuf,
    blobs: Vec<Blob>,
    new: HashSet<Digest>,
    links: HashMap<u64, String>,
    seen: HashMap<PathBuf, (Stamp, Digest)>,
    /// Folders that are open only for the scan.
    locked: Vec<PathBuf>,
    now_ns: i64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(index: &'a mut Index, owner: (u32, u32), staging: PathBuf) -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            index,
            owner,
            staging,
            blobs: Vec::new(),
            new: HashSet::new(),
            links: HashMap::new(),
            seen: HashMap::new(),
            locked: Vec::new(),
            now_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// The blobs that are new.
    pub(super) fn finish(self) -> Vec<Blob> {
        self.index.files = self.seen;
        self.index.stored.extend(self.new);
        self.blobs
    }

    /// Reads an overlay's folder of changes.
    pub(super) fn overlay(
        &mut self,
        folder: &Path,
        prefix: &str,
        exclude: &HashSet<String>,
    ) -> Result<Digest, WorkspaceError> {
        let mut tree = Tree::default();
        for file in disk::names(folder)? {
            let path = self.path(folder, &file)?;
            let name = name::encode(&file);
            let from_root = join(prefix, &name);
            if exclude.contains(&from_root) {
                continue;
            }
            let found = fs::symlink_metadata(&path).at(&path)?;
            let kind = match disk::kind(&found) {
                Kind::Whiteout => EntryKind::Gone,
                Kind::File if disk::is_marked_whiteout(&path, &found)? => EntryKind::Gone,
                Kind::Folder => EntryKind::Folder {
                    is_opaque: disk::is_opaque(&path)?,
                    mode: disk::mode(&found),
                    tree: self.in_folder(&path, &found, |scan| {
                        scan.overlay(&path, &from_root, exclude)
                    })?,
                },
                kind => self.leaf(&path, &found, kind, &from_root)?,
            };
            tree.entries.push(self.entry(name, kind, &found));
        }
        self.store(&tree)
    }

    /// Does something in a folder, which is open meanwhile even where it has no permissions.
    pub(super) fn in_folder<T>(
        &mut self,
        folder: &Path,
        found: &Metadata,
        act: impl FnOnce(&mut Self) -> Result<T, WorkspaceError>,
    ) -> Result<T, WorkspaceError> {
        let open = disk::OpenFolder::new(folder, found)?;
        if open.is_opened() {
            self.locked.push(folder.to_owned());
        }
        let done = act(self);
        if open.is_opened() {
            self.locked.pop();
        }
        done
    }

    /// A path in a folder, where it is short enough to be used.
    pub(super) fn path(&self, folder: &Path, file: &OsStr) -> Result<PathBuf, WorkspaceError> {
        let path = folder.join(file);
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(WorkspaceError::Unsupported {
                path,
                what: "a path too deep to be opened",
            });
        }
        Ok(path)
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
            Kind::File => self.file(path, found, from_root),
            Kind::Socket => Ok(EntryKind::Gone),
            Kind::Folder | Kind::Whiteout | Kind::Device => Err(WorkspaceError::Unsupported {
                path: path.to_owned(),
                what: "a device",
            }),
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
        let is_settled = stamp.ctime_ns + SETTLED_NS < self.now_ns;
        let known = self
            .index
            .files
            .get(path)
            .copied()
            .filter(|(known, _)| *known == stamp);
        let digest = match known {
            Some((_, digest)) => digest,
            None => self.read(path, found)?,
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

    fn read(&mut self, path: &Path, found: &Metadata) -> Result<Digest, WorkspaceError> {
        disk::refuse_elsewhere(path)?;
        if found.len() > INLINE_BYTES_MAX {
            let digest = disk::hash(path)?;
            let file = self.openable(path, found, &digest)?;
            self.push(digest, || BlobContent::File(file));
            return Ok(digest);
        }
        let mut bytes = Vec::new();
        disk::open(path)?.read_to_end(&mut bytes).at(path)?;
        let digest = mainstay_sessions::digest(&bytes);
        self.push(digest, || BlobContent::Bytes(bytes));
        Ok(digest)
    }

    /// The file itself, or a copy where its permissions keep its owner out.
    fn openable(
        &self,
        path: &Path,
        found: &Metadata,
        digest: &Digest,
    ) -> Result<PathBuf, WorkspaceError> {
        let is_open = disk::mode(found) & 0o400 != 0 || rustix::process::geteuid().is_root();
        if is_open && !self.is_below_locked(path) {
            return Ok(path.to_owned());
        }
        let copy = self.staging.join(digest.to_string());
        fs::create_dir_all(&self.staging).at(&self.staging)?;
        let mut to = fs::File::create(&copy).at(&copy)?;
        io::copy(&mut disk::open(path)?, &mut to).at(&copy)?;
        Ok(copy)
    }

    /// Whether a folder on the way is open only while it is scanned.
    fn is_below_locked(&self, path: &Path) -> bool {
        self.locked.iter().any(|folder| path.starts_with(folder))
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
        if !self.index.stored.contains(&digest) && self.new.insert(digest) {
            self.blobs.push(Blob {
                digest,
                content: content(),
            });
        }
    }
}
