//! What is ours in a workspace: the folder `.mainstay`, which is never looked for behind a link.

use super::Files;
use mainstay_tasks::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

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

impl Files {
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

    /// Leaves a view as if nothing had ever been beside it.
    pub(crate) fn tidy(&self) {
        for folder in self.made().drain(..).rev() {
            let _stays_where_it_is_not_empty = unlinkat(self.root(), folder, AtFlags::REMOVEDIR);
        }
    }

    fn made(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
