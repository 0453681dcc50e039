//! Bringing what a watched command made from its stage to where it belongs: nothing through a link that leaves
//! the workspace, and nothing in place of what the task did not make.

use crate::files::{Files, Found, Stat};
use crate::outputs::Standing;
use crate::restore::{open_beneath, split};
use mainstay_tasks::{Bytes, PathReason, RunTaskError};
use rustix::fs::{AtFlags, FileType, Mode, chmodat, mkdirat, renameat, unlinkat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

/// What its owner needs to work in a folder.
const WORKABLE: u32 = 0o700;

/// From where to where.
pub(super) struct Delivery<'d> {
    pub(super) stage: &'d Files,
    pub(super) files: &'d Files,
    pub(super) standing: &'d Standing,
}

/// A folder that something is brought into, or that is brought.
struct Folder {
    mode: u32,
    /// Whether it is there because of the task, so that its mode is the task's to say.
    is_own: bool,
}

impl Delivery<'_> {
    /// Brings all of it, or nothing where one of the paths may not be written.
    pub(super) fn run(&self, found: &[Found]) -> Result<(), RunTaskError> {
        let is_folder = |found: &&Found| found.stat.kind == FileType::Directory;
        let (folders, rest): (Vec<_>, Vec<_>) = found.iter().partition(is_folder);
        let mut needed = BTreeMap::new();
        for path in found.iter().flat_map(|found| above(&found.path)) {
            self.need(path, &mut needed)?;
        }
        for Found { path, .. } in folders {
            self.need(path.clone(), &mut needed)?;
        }
        for Found { path, .. } in &rest {
            self.judge(path)?;
        }
        for (path, folder) in &mut needed {
            let made = self.open_up(path, folder);
            made.map_err(|errno| undelivered(path, errno))?;
        }
        for Found { path, .. } in &rest {
            let moved = self.put(path);
            moved.map_err(|errno| undelivered(path, errno))?;
        }
        // Last, and from below, because a folder may be one that cannot be written.
        for (path, folder) in needed.iter().rev().filter(|(_, folder)| folder.is_own) {
            let changed = change_mode(self.files, path, folder.mode);
            changed.map_err(|errno| undelivered(path, errno))?;
        }
        Ok(())
    }

    /// Notes that a folder has to be there, where it may be.
    fn need(&self, path: Bytes, needed: &mut BTreeMap<Bytes, Folder>) -> Result<(), RunTaskError> {
        if needed.contains_key(&path) {
            return Ok(());
        }
        let unseen = |errno| undelivered(&path, errno);
        let is_own = match open_beneath(self.files, &path.0) {
            Ok(_) => self.standing.owns(&path),
            Err(Errno::XDEV) => return Err(refused(&path, PathReason::Outside)),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.judge(&path)?;
                true
            }
            Err(errno) => return Err(unseen(errno)),
        };
        // It may be a link to a folder there, too, which has a mode of its own.
        let staged = self.stage.look(&path.0).map_err(unseen)?;
        if let Some(Stat { mode, .. }) = staged.filter(|stat| stat.kind == FileType::Directory) {
            needed.insert(path, Folder { mode, is_own });
        }
        Ok(())
    }

    /// Whether something may be put at a path.
    fn judge(&self, path: &Bytes) -> Result<(), RunTaskError> {
        let found = match self.files.look(&path.0) {
            Err(Errno::NOTDIR) => None,
            found => found.map_err(|errno| undelivered(path, errno))?,
        };
        match found.is_none() || self.standing.owns(path) {
            true => Ok(()),
            false => Err(refused(path, PathReason::Standing)),
        }
    }

    /// Makes a folder where it is missing, and one that can be worked in on both sides.
    fn open_up(&self, path: &Bytes, folder: &mut Folder) -> Result<(), Errno> {
        let workable = folder.mode | WORKABLE;
        if workable != folder.mode {
            change_mode(self.stage, path, workable)?;
        }
        if open_beneath(self.files, &path.0).is_ok() {
            return match folder.is_own {
                true => change_mode(self.files, path, workable),
                false => Ok(()),
            };
        }
        let (parent, name) = split(path);
        let parent = open_beneath(self.files, parent)?;
        let mode = Mode::from_raw_mode(workable);
        match mkdirat(&parent, name, mode) {
            Err(Errno::EXIST) => {
                unlinkat(&parent, name, AtFlags::empty())?;
                mkdirat(&parent, name, mode)
            }
            made => made,
        }
    }

    /// Moves a file or a link.
    fn put(&self, path: &Bytes) -> Result<(), Errno> {
        let (parent, name) = split(path);
        let open = |files| -> Result<OwnedFd, Errno> { open_beneath(files, parent) };
        let (from, to) = (open(self.stage)?, open(self.files)?);
        match renameat(&from, name, &to, name) {
            Err(Errno::ISDIR) => {
                unlinkat(&to, name, AtFlags::REMOVEDIR)?;
                renameat(&from, name, &to, name)
            }
            moved => moved,
        }
    }
}

/// The folders above a path, from the first below the root.
fn above(path: &Bytes) -> impl Iterator<Item = Bytes> {
    let ends = path.0.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.map(|(end, _)| Bytes(path.0[..end].to_vec()))
}

fn change_mode(files: &Files, path: &Bytes, mode: u32) -> Result<(), Errno> {
    if files.look(&path.0)?.is_some_and(|stat| stat.mode == mode) {
        return Ok(());
    }
    let (parent, name) = split(path);
    let parent = open_beneath(files, parent)?;
    chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

fn refused(path: &Bytes, reason: PathReason) -> RunTaskError {
    let path = path.clone();
    RunTaskError::MaterialisedOutputPathInvalid { path, reason }
}

fn undelivered(path: &Bytes, errno: Errno) -> RunTaskError {
    RunTaskError::OutputPatternResolutionFailed {
        root: path.clone(),
        cause: io::Error::from(errno).into(),
    }
}
