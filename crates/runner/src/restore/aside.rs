//! What a task made before is out of the way while it runs again, and back where it fails: the folder then
//! holds what it held before.

use super::{Known, is_right, open_beneath, split};
use crate::files::{Files, look};
use crate::state::Memo;
use mainstay_tasks::{Bytes, Output};
use rustix::fs::{AtFlags, RenameFlags, mkdirat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

/// Files that were set aside.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Where each was, and what it is called beside.
    files: Vec<(Bytes, String)>,
    /// Folders that were removed, with their permissions.
    folders: Vec<(Bytes, u32)>,
}

impl Aside {
    /// Sets aside what a task made and nobody changed since, but for what it keeps; folders only where
    /// nothing else is in them.
    pub(crate) fn take(files: &Files, memo: &Memo, kept: &Known) -> Self {
        let mut aside = Self::default();
        let taken = memo.owned().filter(|(path, _)| !kept.contains_key(*path));
        let mut taken = taken.rev().peekable();
        // Where there is no place for it, it stays where it is, and is told as what was there before.
        let beside = taken.peek().and_then(|_| files.beside().ok());
        for (path, output) in taken {
            let Some(beside) = &beside else {
                return aside;
            };
            let (parent, last) = split(path);
            let Ok(parent) = open_beneath(files, parent) else {
                continue;
            };
            match output {
                Output::Folder { mode } => {
                    if unlinkat(parent, last, AtFlags::REMOVEDIR).is_ok() {
                        aside.folders.push((path.clone(), *mode));
                    }
                }
                Output::File { .. } | Output::Link { .. } if is_right(files, path, output) => {
                    let (to, name) = (beside, crate::disk::name());
                    match renameat(&parent, last, to, name.as_str()) {
                        Ok(()) => aside.files.push((path.clone(), name)),
                        // Another file system: it goes, and is in the cache.
                        Err(Errno::XDEV) => drop(unlinkat(&parent, last, AtFlags::empty())),
                        Err(_) => {}
                    }
                }
                Output::File { .. } | Output::Link { .. } => {}
            }
        }
        aside
    }

    /// Puts everything back, where nothing stands in its place by now.
    pub(crate) fn put_back(mut self, files: &Files) {
        for (path, mode) in self.folders.drain(..).rev() {
            let (parent, last) = split(&path);
            if let Ok(parent) = open_beneath(files, parent)
                && matches!(look(&parent, last), Ok(None))
            {
                let _made = mkdirat(parent, last, rustix::fs::Mode::from_raw_mode(mode));
            }
        }
        let Some(from) = files.beside_where_there() else {
            return;
        };
        for (path, name) in self.files.drain(..).rev() {
            let (parent, last) = split(&path);
            let flags = RenameFlags::NOREPLACE;
            let is_back = open_beneath(files, parent).is_ok_and(|parent| {
                renameat_with(&from, name.as_str(), parent, last, flags).is_ok()
            });
            if !is_back {
                let _gone = unlinkat(&from, name.as_str(), AtFlags::empty());
            }
        }
    }

    /// Removes everything.
    pub(crate) fn discard(mut self, files: &Files) {
        let Some(from) = files.beside_where_there() else {
            return;
        };
        for (_, name) in self.files.drain(..) {
            let _gone = unlinkat(&from, name.as_str(), AtFlags::empty());
        }
    }
}
