//! The folder of a workspace: itself, or as somebody's private view shows it.
//!
//! A view is reached through a descriptor alone, and only while no command runs in it: what a command
//! changed there, an older descriptor does not see reliably. So it is renewed after each.

use super::Stamp;
use rustix::fs::{Mode, OFlags, fstat, open};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// What stands in for a view that is not there: nothing is below it.
const NOTHING: &str = "/dev/null";

#[derive(Debug)]
pub(super) enum Root {
    Folder(OwnedFd),
    View(RwLock<View>),
}

#[derive(Debug)]
pub(super) struct View {
    root: Arc<OwnedFd>,
    /// The device of the view, and that of the folder behind it. The same files have the same numbers.
    devices: Option<(u64, u64)>,
    behind: Option<u64>,
    is_writable: bool,
}

impl Root {
    /// `behind`: the device of the folder that the view is of.
    pub(super) fn view(root: OwnedFd, behind: Option<u64>) -> Self {
        Self::View(RwLock::new(View::of(root, behind, false)))
    }

    pub(super) fn renew(&self, view: Option<OwnedFd>) -> Result<(), Errno> {
        let Self::View(now) = self else {
            return Ok(());
        };
        let root = match view {
            Some(root) => root,
            None => open(NOTHING, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
        };
        let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
        *now = View::of(root, now.behind, true);
        Ok(())
    }

    pub(super) fn make_writable(
        &self,
        open: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        let Self::View(now) = self else {
            return Ok(());
        };
        let mut now = now.write().unwrap_or_else(PoisonError::into_inner);
        if !now.is_writable {
            *now = View::of(open()?, now.behind, true);
        }
        Ok(())
    }

    pub(super) fn get(&self) -> RootFd<'_> {
        match self {
            Self::Folder(folder) => RootFd::Folder(folder.as_fd()),
            Self::View(view) => {
                let view = view.read().unwrap_or_else(PoisonError::into_inner);
                RootFd::View(Arc::clone(&view.root))
            }
        }
    }

    /// A path to a view.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self.get() {
            RootFd::Folder(_) => None,
            RootFd::View(view) => Some(format!("/proc/self/fd/{}", view.as_raw_fd()).into()),
        }
    }

    /// A stamp as it would be in the folder itself, so that what is known of one is known of the other.
    pub(super) fn stamp(&self, stamp: Stamp) -> Stamp {
        let Self::View(view) = self else {
            return stamp;
        };
        let view = view.read().unwrap_or_else(PoisonError::into_inner);
        match view.devices {
            Some((from, device)) if from == stamp.device => Stamp { device, ..stamp },
            _ => stamp,
        }
    }
}

impl View {
    fn of(root: OwnedFd, behind: Option<u64>, is_writable: bool) -> Self {
        let own = fstat(&root).ok().map(|raw| raw.st_dev);
        Self {
            root: Arc::new(root),
            devices: own.zip(behind),
            behind,
            is_writable,
        }
    }
}

/// The folder's descriptor.
pub(crate) enum RootFd<'f> {
    Folder(BorrowedFd<'f>),
    View(Arc<OwnedFd>),
}

impl AsFd for RootFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Folder(folder) => *folder,
            Self::View(view) => view.as_fd(),
        }
    }
}
