//! Bringing outputs back: only what is not right already, each file whole or not at all, nothing through a
//! link that leaves the workspace.

mod aside;
mod draft;

pub(crate) use aside::Aside;

use crate::files::BESIDE;
use crate::files::{Files, Found, Stat, look, now};
use crate::store::{BlobError, Contents};
use crate::threads;
use draft::Beside;
use mainstay_manifest::Restore;
use mainstay_tasks::{Bytes, Content, Output, RestoreError};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, chownat, fchmod, fstat, mkdirat, openat2,
    readlinkat, unlinkat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// More files than this are written by several threads.
const FEW: usize = 32;

/// What the folder holds of a task.
pub(crate) type Known = BTreeMap<Bytes, Output>;

/// A restoration of outputs into a workspace.
pub(crate) struct Restoration<'a> {
    pub(crate) files: &'a Files,
    pub(crate) contents: &'a Contents<'a>,
    pub(crate) how: Restore,
    /// What the task left in the folder; only that is replaced.
    pub(crate) known: &'a Known,
}

/// What stands where an output belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The output itself.
    Right,
    /// Something else.
    Wrong,
    Free,
}

/// Whether what stands at a path is this output, as far as can be told without writing.
pub(crate) fn is_right(files: &Files, path: &Bytes, output: &Output) -> bool {
    place(files, path, output) == Place::Right
}

fn place(files: &Files, path: &Bytes, output: &Output) -> Place {
    let stat = match files.look(&path.0) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Place::Free,
        Err(_) => return Place::Wrong,
    };
    let is_right = match output {
        Output::File { content, mode } => {
            stat.kind == FileType::RegularFile
                && stat.mode == *mode
                && stat.stamp.bytes == content.bytes
                && files
                    .digest(&path.0, &stat)
                    .is_ok_and(|digest| digest == content.digest)
        }
        Output::Link { target } => {
            stat.kind == FileType::Symlink
                && readlinkat(files.root(), path.0.as_slice(), Vec::new())
                    .is_ok_and(|found| found.as_bytes() == target.0)
        }
        Output::Folder { mode } => stat.kind == FileType::Directory && stat.mode == *mode,
    };
    match is_right {
        true => Place::Right,
        false => Place::Wrong,
    }
}

impl Restoration<'_> {
    /// Makes the folder hold these outputs. Says how many had to be written.
    pub(crate) fn run(&self, outputs: &BTreeMap<Bytes, Output>) -> Result<u64, RestoreError> {
        let mut wrong = Vec::new();
        for (path, output) in outputs {
            match place(self.files, path, output) {
                Place::Right => {}
                Place::Wrong if self.is_in_the_way(path, output) => {
                    return Err(RestoreError::InTheWay { path: path.clone() });
                }
                Place::Wrong | Place::Free => wrong.push((path, output)),
            }
        }
        if wrong.is_empty() {
            return Ok(0);
        }
        let beside = Beside::open(self.files).map_err(|error| RestoreError::Write {
            path: Bytes::from(BESIDE),
            source: error.into(),
        })?;
        let (folders, rest): (Vec<_>, Vec<_>) = wrong
            .into_iter()
            .partition(|(_, output)| matches!(output, Output::Folder { .. }));
        // Nothing is touched before it is sure that all of it can be brought back.
        for (path, output) in &rest {
            if let Output::File { content, .. } = output
                && !self.contents.has(content)
            {
                let path = (*path).clone();
                return Err(RestoreError::BlobLost { path });
            }
        }
        for (path, _) in &folders {
            self.folder(path)?;
        }
        self.all(&rest, &beside)?;
        // Last, because a folder may be one that cannot be written.
        for (path, output) in folders.iter().rev() {
            if let Output::Folder { mode } = output {
                let folder = open_beneath(self.files, &path.0);
                let changed = folder.and_then(|folder| {
                    let file = rustix::fs::openat(folder, ".", OFlags::RDONLY, Mode::empty())?;
                    fchmod(file, Mode::from_raw_mode(*mode))
                });
                changed.map_err(|errno| unwritten(path, errno))?;
            }
        }
        Ok((folders.len() + rest.len()) as u64)
    }

    /// Whether something else stands there that is not known to come from the task.
    fn is_in_the_way(&self, path: &Bytes, output: &Output) -> bool {
        let is_folder = matches!(output, Output::Folder { .. });
        !is_folder && !self.known.contains_key(path)
    }

    fn all(&self, wrong: &[(&Bytes, &Output)], beside: &Beside) -> Result<(), RestoreError> {
        let one = |(path, output): &(&Bytes, &Output)| self.one(path, output, beside);
        threads::each(wrong, FEW, one).into_iter().collect()
    }

    fn one(&self, path: &Bytes, output: &Output, beside: &Beside) -> Result<(), RestoreError> {
        let (parent, name) = split(path);
        let parent = self.parent(path, parent)?;
        let is_free = self.clear(path, &parent, name)?;
        match output {
            Output::File { content, mode } => {
                let place = Target {
                    path,
                    parent: &parent,
                    name,
                    is_free,
                };
                self.file(&place, content, *mode, beside)
            }
            Output::Link { target } => beside
                .link(&target.0, &parent, name)
                .map_err(|errno| unwritten(path, errno)),
            Output::Folder { .. } => Ok(()),
        }
    }

    fn file(
        &self,
        place: &Target<'_>,
        content: &Content,
        mode: u32,
        beside: &Beside,
    ) -> Result<(), RestoreError> {
        let Target {
            path, parent, name, ..
        } = *place;
        let refused = |errno| unwritten(path, errno);
        // A link to the cache must not be one to write through.
        if self.how == Restore::Hardlink && mode & 0o222 == 0 {
            let link = |to: &Path| self.contents.link_to(content, to);
            if beside.made(link, parent, name).map_err(refused)? {
                return Ok(());
            }
        }
        let began = now();
        let mut draft = beside.draft(parent, place.is_free).map_err(refused)?;
        let written = self.contents.write_to(content, &mut draft.file);
        written.map_err(|error| match error {
            BlobError::Lost => RestoreError::BlobLost { path: path.clone() },
            BlobError::Damaged => RestoreError::BlobDamaged { path: path.clone() },
            BlobError::Cache(error) | BlobError::Target(error) => RestoreError::Write {
                path: path.clone(),
                source: error.into(),
            },
        })?;
        let before = fstat(&draft.file).ok().map(|raw| Stat::of(&raw).stamp);
        draft.settle(mode, parent, name).map_err(refused)?;
        // Being put there changed nothing but the time of change.
        let after = look(parent, name).ok().flatten().map(|stat| stat.stamp);
        if let Some((before, after)) = before.zip(after)
            && (before.modified, before.inode) == (after.modified, after.inode)
        {
            self.files.learn(after, content.digest, began);
        }
        Ok(())
    }

    /// Takes away a folder that stands where an output belongs. Says whether nothing stands there.
    fn clear(&self, path: &Bytes, parent: &OwnedFd, name: &[u8]) -> Result<bool, RestoreError> {
        let found = look(parent, name).map_err(|errno| unwritten(path, errno))?;
        match found {
            None => Ok(true),
            Some(stat) if stat.kind != FileType::Directory => Ok(false),
            Some(_) => match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => Ok(true),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    Err(RestoreError::InTheWay { path: path.clone() })
                }
                Err(errno) => Err(unwritten(path, errno)),
            },
        }
    }

    /// The folder that an output goes into, made where it is missing.
    fn parent(&self, path: &Bytes, parent: &[u8]) -> Result<OwnedFd, RestoreError> {
        match open_beneath(self.files, parent) {
            Ok(folder) => return Ok(folder),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::XDEV) => return Err(RestoreError::Outside { path: path.clone() }),
            Err(errno) => return Err(unwritten(path, errno)),
        }
        self.folder(&Bytes(parent.to_vec()))?;
        open_beneath(self.files, parent).map_err(|errno| unwritten(path, errno))
    }

    /// Makes a folder and those above it.
    fn folder(&self, path: &Bytes) -> Result<(), RestoreError> {
        let mut at = 0;
        while at < path.0.len() {
            let next = path.0[at..].iter().position(|&byte| byte == b'/');
            let end = next.map_or(path.0.len(), |length| at + length);
            let (parent, name) = split_at(&path.0[..end]);
            let here = || Bytes(path.0[..end].to_vec());
            let parent = open_beneath(self.files, parent).map_err(|errno| match errno {
                Errno::XDEV => RestoreError::Outside { path: here() },
                errno => unwritten(&here(), errno),
            })?;
            match self.make_folder(&parent, name) {
                Ok(()) => {}
                Err(Errno::EXIST) => self.is_folder(&here(), &parent, name)?,
                Err(errno) => return Err(unwritten(&here(), errno)),
            }
            at = end + 1;
        }
        Ok(())
    }

    fn make_folder(&self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        mkdirat(parent, name, Mode::from_raw_mode(0o777))?;
        match self.files.owner() {
            Some((user, group)) => {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                chownat(parent, name, Some(user), Some(group), flags)
            }
            None => Ok(()),
        }
    }

    /// Something stands where a folder belongs: it may stay where it is one, and goes where the task made
    /// it.
    fn is_folder(&self, path: &Bytes, parent: &OwnedFd, name: &[u8]) -> Result<(), RestoreError> {
        if open_beneath(self.files, &path.0).is_ok() {
            return Ok(());
        }
        let is_ours = self
            .known
            .get(path)
            .is_some_and(|output| is_right(self.files, path, output));
        if !is_ours {
            return Err(RestoreError::InTheWay { path: path.clone() });
        }
        unlinkat(parent, name, AtFlags::empty())
            .and_then(|()| self.make_folder(parent, name))
            .map_err(|errno| unwritten(path, errno))
    }
}

/// Where a file belongs.
struct Target<'p> {
    path: &'p Bytes,
    parent: &'p OwnedFd,
    name: &'p [u8],
    /// Whether nothing stands there.
    is_free: bool,
}

/// Removes what stands at a path; a folder only where it is empty.
pub(crate) fn remove(files: &Files, Found { path, stat }: &Found) {
    let (parent, name) = split(path);
    let flags = match stat.kind {
        FileType::Directory => AtFlags::REMOVEDIR,
        _ => AtFlags::empty(),
    };
    if let Ok(parent) = open_beneath(files, parent) {
        let _stays_where_it_is_not_empty = unlinkat(parent, name, flags);
    }
}

/// Removes what the dead left beside.
pub(crate) fn sweep(files: &Files) {
    if let Some(folder) = files.beside_where_there() {
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let _there_is_none = crate::disk::sweep(Path::new(&path));
    }
}

fn unwritten(path: &Bytes, errno: Errno) -> RestoreError {
    RestoreError::Write {
        path: path.clone(),
        source: io::Error::from(errno).into(),
    }
}

pub(crate) fn split(path: &Bytes) -> (&[u8], &[u8]) {
    split_at(&path.0)
}

/// The folder of a path, and the name in it.
fn split_at(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Opens a folder of the workspace, through links only where they stay inside.
pub(crate) fn open_beneath(files: &Files, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(
        files.root().as_fd(),
        path,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH,
    )
}
