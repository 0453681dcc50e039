//! Looking at the files of a workspace: which there are, and what they hold, read once.

mod index;
mod links;
mod own;
mod root;
mod stat;
mod walk;

pub(crate) use index::{Index, TICK, now};
pub(crate) use links::Real;
pub(crate) use own::BESIDE;
pub(crate) use root::RootFd;
pub(crate) use stat::{Stamp, Stat, look};
pub(crate) use walk::{Found, Walk, WalkError};

use crate::process::Stop;
use mainstay_contract::Digest;
use mainstay_tasks::PatternSet;
use root::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, fstat, open, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
    root: Root,
    index: Index,
    /// The cache, which may lie in the workspace and is no part of it.
    cache: Option<Stamp>,
    /// Whose everything is that is made here, where that is not this process's user.
    owner: Option<(u32, u32)>,
    /// Folders that were made in a view for files that are not at their place yet.
    made: Mutex<Vec<&'static str>>,
    /// Tells whether somebody still wants to know what large files hold.
    stop: Mutex<Option<Arc<AtomicU8>>>,
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
            root: Root::Folder(open_root(path)?),
            index: Index::open(index),
            owner: None,
            made: Mutex::default(),
            stop: Mutex::default(),
        })
    }

    /// The same files as a view of them shows them; what is made there belongs to `owner`.
    pub(crate) fn seen_by(mut self, view: OwnedFd, owner: Option<(u32, u32)>) -> Self {
        let own = self.look(b"").ok().flatten();
        self.root = Root::view(view, own.map(|stat| stat.stamp.device));
        self.owner = owner;
        self
    }

    /// Shows a view so that it can be written, where it does not yet.
    ///
    /// # Errors
    /// What opening it says.
    pub(crate) fn make_writable(
        &self,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        self.root.make_writable(open)
    }

    /// Shows a view as it is now, so that it can be written; nothing is there without one.
    ///
    /// # Errors
    /// What the system says where there is no descriptor left.
    pub(crate) fn renew(&self, view: Option<OwnedFd>) -> Result<(), Errno> {
        self.root.renew(view)
    }

    /// Whether this is a view of the folder, and not the folder itself.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self.root, Root::View(_))
    }

    /// The folder's path, as commands see it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path to the folder for this process, good as long as the view is not renewed.
    pub(crate) fn here(&self) -> PathBuf {
        self.root.path().unwrap_or_else(|| self.path.clone())
    }

    /// The folder.
    pub(crate) fn root(&self) -> RootFd<'_> {
        self.root.get()
    }

    /// Whose everything is that is made here, where that is not this process's user.
    pub(crate) fn owner(&self) -> Option<(Uid, Gid)> {
        let ids = |(user, group)| (Uid::from_raw(user), Gid::from_raw(group));
        self.owner.map(ids)
    }

    /// A walk in this workspace.
    pub(crate) fn walk<'s>(&self, set: &'s PatternSet) -> Walk<'s> {
        Walk::new(set).hiding(self.cache)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Remembers what a file held that looked like this before and after it was read, from `began` on.
    pub(crate) fn learn(&self, stamp: Stamp, digest: Digest, began: i64) {
        self.index.learn(self.root.stamp(stamp), digest, began);
    }

    /// Reads no more of large files once this is asked to stop.
    pub(crate) fn hear(&self, stop: &Stop) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop.level());
    }

    fn is_stopped(&self) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let level = stop.as_ref().map(|level| level.load(Ordering::Relaxed));
        level.is_some_and(|level| level > 0)
    }

    /// What stands at a path, links not followed at its end.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Option<Stat>, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        if !self.is_view() {
            return look(self.root(), path);
        }
        match path.iter().rposition(|&byte| byte == b'/') {
            None => look(self.root(), path),
            Some(end) => match self.real(&path[..end])? {
                Real::At(folder) => look(self.root(), &[&folder, &path[end..]].concat()),
                Real::Missing => Ok(None),
                Real::Outside => Err(Errno::XDEV),
            },
        }
    }

    /// What a regular file holds, from memory where it did not change since.
    pub(crate) fn digest(&self, path: &[u8], stat: &Stat) -> Result<Digest, Errno> {
        if let Some(digest) = self.index.find(&self.root.stamp(stat.stamp)) {
            return Ok(digest);
        }
        let began = now();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match self.is_view() && !path.starts_with(b"/") {
            true => match self.real(path)? {
                Real::At(path) => {
                    openat(self.root(), path, flags | OFlags::NOFOLLOW, Mode::empty())?
                }
                Real::Missing => return Err(Errno::NOENT),
                Real::Outside => return Err(Errno::XDEV),
            },
            false => openat(self.root(), path, flags, Mode::empty())?,
        };
        let digest = self.read_digest(&mut File::from(file), stat.stamp, began);
        digest.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Reads a file to its end and remembers its digest, where it did not change meanwhile.
    fn read_digest(&self, file: &mut File, before: Stamp, began: i64) -> io::Result<Digest> {
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
            if self.is_stopped() {
                return Err(Errno::CANCELED.into());
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
                self.learn(before, digest, began);
            }
        }
        Ok(digest)
    }
}
