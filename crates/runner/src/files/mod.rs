//! Looking at the files of a workspace: which there are, and what they hold, read once.

mod index;
mod root;
mod stat;
mod walk;

pub(crate) use index::{Index, TICK, now};
pub(crate) use root::RootFd;
pub(crate) use stat::{Stamp, Stat, look};
pub(crate) use walk::{Found, Walk, WalkError};

use crate::process::Stop;
use mainstay_contract::Digest;
use mainstay_tasks::{Bytes, PatternSet};
use root::Root;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, fstat, mkdirat, open, openat, readlinkat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The folder of a workspace that is ours.
const OWN: &str = ".mainstay";

/// Where files are written that take the place of others: in there, and from the workspace's root.
const RESTORE: &str = "restore";
pub(crate) const BESIDE: &str = ".mainstay/restore";

/// Where what a killed run left is kept, in there.
const LEFT: &str = "left";

/// A folder, and no link to one.
const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// Links that follow each other, at most.
const LINKS_MAX: usize = 40;

/// Larger files are read in pieces of this size.
const PIECE: usize = 256 << 10;

/// Opens the folder of a workspace.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Real {
    /// To this place, from the root, without links.
    At(Vec<u8>),
    /// To nothing.
    Missing,
    /// Out of the workspace.
    Outside,
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

    /// The folder for files that are not at their place yet; made where it is missing. What is called like it
    /// and is a link is not followed.
    pub(crate) fn beside(&self) -> io::Result<OwnedFd> {
        match self.beside_where_there() {
            Some(there) => Ok(there),
            None => self.made_in(&self.own()?, RESTORE, BESIDE),
        }
    }

    /// The same, where it is there already.
    pub(crate) fn beside_where_there(&self) -> Option<OwnedFd> {
        let own = openat(self.root(), OWN, FOLDER, Mode::empty()).ok()?;
        openat(own, RESTORE, FOLDER, Mode::empty()).ok()
    }

    /// Moves a file to where what nobody owns is kept for who looks for it.
    pub(crate) fn leave(&self, path: &Bytes) -> io::Result<()> {
        let left = self.made_in(&self.own()?, LEFT, LEFT)?;
        let to = PathBuf::from(format!("/proc/self/fd/{}", left.as_raw_fd()));
        let to = to.join(OsStr::from_bytes(&path.0));
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(renameat(self.root(), path.0.as_slice(), CWD, to)?)
    }

    fn own(&self) -> io::Result<OwnedFd> {
        self.made_in(&self.root().as_fd().try_clone_to_owned()?, OWN, OWN)
    }

    fn made_in(&self, folder: &OwnedFd, name: &str, path: &'static str) -> io::Result<OwnedFd> {
        match mkdirat(folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) if self.is_view() => self.made().push(path),
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(openat(folder, name, FOLDER, Mode::empty())?)
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

    /// Leaves a view as if nothing had ever been beside it.
    pub(crate) fn tidy(&self) {
        for folder in self.made().drain(..).rev() {
            let _stays_where_it_is_not_empty = unlinkat(self.root(), folder, AtFlags::REMOVEDIR);
        }
    }

    fn made(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Where a path leads from the root, links followed as commands would.
    ///
    /// # Errors
    /// `ELOOP`, and what else the system says.
    pub(crate) fn real(&self, path: &[u8]) -> Result<Real, Errno> {
        let names = |path: &[u8]| -> Vec<Vec<u8>> {
            let names = path.split(|&byte| byte == b'/').rev();
            names.map(<[u8]>::to_vec).collect()
        };
        let mut rest = names(path);
        let mut at: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." if at.is_empty() => return Ok(Real::Outside),
                b".." => {
                    at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let here = match at.is_empty() {
                true => name,
                false => [&at[..], b"/", &name].concat(),
            };
            let target = match readlinkat(self.root(), here.as_slice(), Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::INVAL) => {
                    at = here;
                    continue;
                }
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Real::Missing),
                Err(errno) => return Err(errno),
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP);
            }
            let target = Path::new(OsStr::from_bytes(&target));
            let inner = match target.is_absolute() {
                false => target,
                true => match target.strip_prefix(&self.path) {
                    Ok(inner) => {
                        at.clear();
                        inner
                    }
                    Err(_) => return Ok(Real::Outside),
                },
            };
            rest.extend(names(inner.as_os_str().as_bytes()));
        }
        Ok(Real::At(at))
    }

    /// A path as commands see it, from the root where it is in the workspace.
    pub(crate) fn within<'p>(&self, path: &'p Path) -> &'p Path {
        match path.strip_prefix(&self.path) {
            Ok(inner) if self.is_view() && inner.as_os_str().is_empty() => Path::new("."),
            Ok(inner) if self.is_view() => inner,
            _ => path,
        }
    }

    /// What stands at a path as commands see it, links followed.
    pub(crate) fn look_at(&self, path: &Path) -> Result<Stat, Errno> {
        let raw = statat(self.root(), self.within(path), AtFlags::empty())?;
        Ok(Stat::of(&raw))
    }

    /// What to follow to get to the end of a link: the link itself, or in a view the place that it means for
    /// commands there; nothing where that is outside of it, or nowhere.
    pub(crate) fn end_of_link(&self, link: &Bytes) -> Result<Option<Vec<u8>>, Errno> {
        match self.is_view() {
            false => Ok(Some(link.0.clone())),
            true => match self.real(&link.0)? {
                Real::At(path) => Ok(Some(path)),
                Real::Missing | Real::Outside => Ok(None),
            },
        }
    }

    /// Where a folder really is, from the root; nothing where it is none, or outside.
    pub(crate) fn folder_at(&self, path: &[u8]) -> Option<Bytes> {
        if self.is_view() {
            return Some(Bytes(path.to_vec()));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(self.root(), path, flags, Mode::empty());
        let name = |fd: BorrowedFd<'_>| {
            let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
            std::fs::read_link(own).ok()
        };
        let folder = name(opened.ok()?.as_fd())?;
        let inner = folder.strip_prefix(name(self.root().as_fd())?).ok()?;
        Some(Bytes::from(inner.as_os_str().as_bytes()))
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
