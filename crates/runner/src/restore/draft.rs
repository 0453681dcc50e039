//! A file that is written before it stands at its place, so that nobody ever sees a part of it.
//!
//! Where nothing stands there yet, the file has no name until it is finished: whoever dies meanwhile leaves
//! nothing. Otherwise, and where the file system cannot do that, it is written beside and moved.

use crate::disk;
use crate::files::Files;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, linkat, openat, renameat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A folder for files that take the place of others.
pub(super) struct Beside {
    path: PathBuf,
    folder: OwnedFd,
    /// Whose the files are, where not this process's user's.
    owner: Option<(Uid, Gid)>,
}

/// A file that is not at its place yet.
pub(super) struct Draft<'b> {
    pub(super) file: File,
    beside: &'b Beside,
    /// Its name beside, where it has one.
    name: Option<String>,
}

impl Beside {
    /// Opens the folder of a workspace, or makes it.
    pub(super) fn open(files: &Files) -> io::Result<Self> {
        let folder = files.beside()?;
        Ok(Self {
            path: PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())),
            folder,
            owner: files.owner(),
        })
    }

    /// Begins a file for a place in `parent`; `is_free`: where nothing stands.
    pub(super) fn draft(&self, parent: &OwnedFd, is_free: bool) -> Result<Draft<'_>, Errno> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if is_free && let Ok(file) = openat(parent, ".", flags | OFlags::TMPFILE, Mode::RUSR) {
            return Ok(Draft {
                file: file.into(),
                beside: self,
                name: None,
            });
        }
        let name = disk::name();
        let flags = flags | OFlags::CREATE | OFlags::EXCL;
        let file = openat(&self.folder, name.as_str(), flags, Mode::RUSR)?;
        Ok(Draft {
            file: file.into(),
            beside: self,
            name: Some(name),
        })
    }

    /// Makes a symbolic link in the place of whatever stands there.
    pub(super) fn link(&self, target: &[u8], parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let beside = disk::name();
        symlinkat(target, &self.folder, beside.as_str())?;
        if let Some((user, group)) = self.owner {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            chownat(
                &self.folder,
                beside.as_str(),
                Some(user),
                Some(group),
                flags,
            )?;
        }
        self.settle(&beside, parent, name)
    }

    /// Puts what `make` makes at a path beside in the place of whatever stands there; `false` where it
    /// makes nothing.
    pub(super) fn made(
        &self,
        make: impl FnOnce(&Path) -> bool,
        parent: &OwnedFd,
        name: &[u8],
    ) -> Result<bool, Errno> {
        let beside = disk::name();
        if !make(&self.path.join(&beside)) {
            return Ok(false);
        }
        self.settle(&beside, parent, name).map(|()| true)
    }

    fn settle(&self, beside: &str, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let moved = renameat(&self.folder, beside, parent, name);
        if moved.is_err() {
            let _gone = unlinkat(&self.folder, beside, AtFlags::empty());
        }
        moved
    }
}

impl Draft<'_> {
    /// Puts the file at its place.
    pub(super) fn settle(mut self, mode: u32, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        if let Some((user, group)) = self.beside.owner {
            fchown(&self.file, Some(user), Some(group))?;
        }
        fchmod(&self.file, Mode::from_raw_mode(mode))?;
        match self.name.take() {
            Some(beside) => self.beside.settle(&beside, parent, name),
            None => {
                let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, own.as_str(), parent, name, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _gone = unlinkat(&self.beside.folder, name.as_str(), AtFlags::empty());
        }
    }
}
