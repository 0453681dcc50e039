//! What a task made before is out of the way while it runs again, and back where it fails: the folder then
//! holds what it held before.

use super::{Known, is_right, open_beneath, split};
use crate::files::BESIDE;
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
        for (path, output) in taken.rev() {
            if aside.is_empty() {
                let _there = files.beside();
            }
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
                    let beside = crate::disk::name();
                    let to = format!("{BESIDE}/{beside}");
                    match renameat(&parent, last, files.root(), to.as_str()) {
                        Ok(()) => aside.files.push((path.clone(), beside)),
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

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
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
        for (path, beside) in self.files.drain(..).rev() {
            let (parent, last) = split(&path);
            let from = format!("{BESIDE}/{beside}");
            let flags = RenameFlags::NOREPLACE;
            let is_back = open_beneath(files, parent).is_ok_and(|parent| {
                renameat_with(files.root(), from.as_str(), parent, last, flags).is_ok()
            });
            if !is_back {
                let _gone = unlinkat(files.root(), from.as_str(), AtFlags::empty());
            }
        }
    }

    /// Removes everything.
    pub(crate) fn discard(mut self, files: &Files) {
        for (_, beside) in self.files.drain(..) {
            let path = format!("{BESIDE}/{beside}");
            let _gone = unlinkat(files.root(), path.as_str(), AtFlags::empty());
        }
    }
}
