//! A bell that rings when something happens in a folder: whoever hears it looks.
//!
//! It only saves looking. What it does not hear (folders on other machines, programs elsewhere, what is behind
//! links that leave the workspace) is found by the looks that are taken anyhow; where it cannot be had, or not
//! for all folders, looks are taken more often.

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::{Errno, read};
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What is read at once.
const PIECE: usize = 16 << 10;

/// Everything that can change what a look shows.
const HEARD: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// A bell.
#[derive(Debug)]
pub(super) struct Bell {
    fd: Option<OwnedFd>,
    hung: HashSet<i32>,
}

impl Bell {
    /// One that hears nothing yet.
    pub(super) fn new() -> Self {
        let made = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        Self {
            fd: made.ok(),
            hung: HashSet::new(),
        }
    }

    /// Hangs it into folders; those that are not there are passed over. Whether it was not in one before, so
    /// that something may have happened there unheard.
    pub(super) fn hang(&mut self, folders: &HashSet<PathBuf>) -> bool {
        let mut is_new = false;
        for folder in folders {
            let Some(fd) = &self.fd else {
                return false;
            };
            match add_watch(fd, Path::new(folder), HEARD) {
                Ok(watch) => is_new |= self.hung.insert(watch),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    tracing::debug!(%error, ?folder, "changes are found by looking only");
                    self.fd = None;
                }
            }
        }
        is_new
    }

    /// What to listen to, where it hears everything that it should.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it rang; it is silent then.
    pub(super) fn silence(&self) -> bool {
        let mut has_rung = false;
        let mut piece = [0; PIECE];
        while let Some(fd) = &self.fd {
            match read(fd, &mut piece) {
                Ok(1..) | Err(Errno::INTR) => has_rung = true,
                Ok(0) | Err(_) => break,
            }
        }
        has_rung
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_rings_for_what_happens_in_its_folders_also_once_they_were_replaced() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let folders = HashSet::from([root.path().to_owned(), inner.clone(), inner.join("none")]);
        let mut bell = Bell::new();
        assert!(bell.hang(&folders) && !bell.hang(&folders));
        assert!(!bell.silence());
        fs::write(inner.join("file"), "1").unwrap();
        assert!(bell.silence() && !bell.silence());
        fs::rename(&inner, root.path().join("old")).unwrap();
        fs::create_dir(&inner).unwrap();
        assert!(bell.silence());
        assert!(bell.hang(&folders), "another folder of that name");
        bell.silence();
        fs::write(inner.join("file"), "2").unwrap();
        assert!(bell.silence());
    }
}
