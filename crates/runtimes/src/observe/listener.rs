//! The descriptor at which the kernel asks.

use super::{filter, sys};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The observer's end of the filter.
pub(super) struct Listener(OwnedFd);

/// What the kernel asks about.
pub(super) type Notification = libc::seccomp_notif;

impl Listener {
    /// Puts the filter on this process and its children, for good. Where that needs it, they cannot gain
    /// privileges either.
    pub(super) fn install() -> io::Result<OwnedFd> {
        let program = filter::program().ok_or_else(|| io::Error::from_raw_os_error(libc::E2BIG))?;
        // Without it, a call that is being answered starts again with each signal; Go sends many.
        let unbroken = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        let mut installed = sys::install_listener(&program, unbroken);
        if is(&installed, libc::EACCES) {
            crate::sandbox::sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
            installed = sys::install_listener(&program, unbroken);
        }
        if is(&installed, libc::EINVAL) {
            // Before Linux 5.19.
            installed = sys::install_listener(&program, 0);
        }
        installed
    }

    pub(super) fn new(listener: OwnedFd) -> Self {
        // Only a matter of speed, since Linux 6.6.
        let _as_before = sys::wake_at_once(listener.as_fd());
        Self(listener)
    }

    /// What is asked next; none where whoever asked is gone.
    pub(super) fn receive(&self) -> io::Result<Option<Notification>> {
        match sys::receive(self.as_fd()) {
            Ok(notification) => Ok(Some(notification)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it still waits for the answer, so that what was read of it was its own.
    pub(super) fn is_valid(&self, notification: &Notification) -> bool {
        sys::is_valid(self.as_fd(), notification.id)
    }

    /// Lets it go on.
    pub(super) fn answer(&self, notification: &Notification) -> io::Result<()> {
        match sys::go_on(self.as_fd(), notification.id) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR))
}

fn is<T>(result: &io::Result<T>, code: libc::c_int) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(code))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
