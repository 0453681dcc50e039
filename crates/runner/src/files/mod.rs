//! Looking at the files of a workspace: which there are, and what they hold, read once.

mod index;
mod stat;
mod walk;

pub(crate) use index::{Index, TICK, now};
pub(crate) use stat::{Stamp, Stat, look};
pub(crate) use walk::{Found, Walk, WalkError};

use mainstay_contract::Digest;
use mainstay_tasks::PatternSet;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Larger files are read in pieces of this size.
const PIECE: usize = 256 << 10;

/// Opens the folder of a workspace.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A workspace's folder and what is known of the files in it.
#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    root: OwnedFd,
    index: Index,
    /// The cache, which may lie in the workspace and is no part of it.
    cache: Option<Stamp>,
}

impl Files {
    /// Opens a workspace; `index` is where the digests of its files are remembered, below `cache`.
    pub(crate) fn open(path: &Path, cache: &Path, index: PathBuf) -> Result<Self, Errno> {
        // It has to be there to be known; where it cannot be, nothing of it will be.
        let _made = std::fs::create_dir_all(cache);
        let found = statat(rustix::fs::CWD, cache, AtFlags::empty()).ok();
        Ok(Self {
            cache: found.map(|raw| Stat::of(&raw).stamp),
            path: path.to_owned(),
            root: open_root(path)?,
            index: Index::open(index),
        })
    }

    /// The folder's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A walk in this workspace.
    pub(crate) fn walk<'s>(&self, set: &'s PatternSet) -> Walk<'s> {
        Walk::new(set).hiding(self.cache)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// What stands at a path, links not followed at its end.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Stat>, Errno> {
        look(&self.root, if path.is_empty() { b"." } else { path })
    }

    /// What a regular file holds, from memory where it did not change since.
    pub(crate) fn digest(&self, path: &[u8], stat: &Stat) -> Result<Digest, Errno> {
        if let Some(digest) = self.index.find(&stat.stamp) {
            return Ok(digest);
        }
        let began = now();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(&self.root, path, flags, Mode::empty())?;
        let digest = read_digest(&mut File::from(file), stat.stamp, began, &self.index);
        digest.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Reads a file to its end and remembers its digest, where it did not change meanwhile.
fn read_digest(
    file: &mut File,
    before: Stamp,
    began: i64,
    index: &Index,
) -> std::io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let size = usize::try_from(before.bytes)
        .unwrap_or(PIECE)
        .clamp(1, PIECE - 1)
        + 1;
    let mut buffer = vec![0; size];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        // Fewer bytes than fit: the end, for a regular file that nobody lengthens.
        if count < buffer.len() && before.bytes < PIECE as u64 {
            break;
        }
    }
    let digest = Digest(*hasher.finalize().as_bytes());
    if let Ok(raw) = fstat(&*file) {
        let after = Stat::of(&raw);
        if after.stamp == before && after.kind == FileType::RegularFile {
            index.learn(before, digest, began);
        }
    }
    Ok(digest)
}
