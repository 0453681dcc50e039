//! A run that is to end: asked for once, everything gets its grace; asked for again, it is killed.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Tells all jobs of a run to end. Whoever polls its descriptors wakes at once.
#[derive(Debug)]
pub struct Stop {
    asked: OwnedFd,
    urgent: OwnedFd,
    level: Arc<AtomicU8>,
}

impl Stop {
    /// Nobody has asked yet.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            asked: eventfd(0, flags)?,
            urgent: eventfd(0, flags)?,
            level: Arc::default(),
        })
    }

    /// Asks, or asks again.
    pub fn ask(&self) {
        let before = self.level.fetch_add(1, Ordering::SeqCst);
        let fd = if before == 0 {
            &self.asked
        } else {
            &self.urgent
        };
        let _woken = rustix::io::write(fd, &1u64.to_ne_bytes());
    }

    /// How often somebody asked, for who cannot keep this.
    pub(crate) fn level(&self) -> Arc<AtomicU8> {
        Arc::clone(&self.level)
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.level.load(Ordering::SeqCst) > 0
    }

    /// Whether somebody asked again.
    pub(crate) fn is_urgent(&self) -> bool {
        self.level.load(Ordering::SeqCst) > 1
    }

    /// Waits this long, or until somebody asks or something else can be read; whether somebody asked.
    pub(crate) fn wait(&self, pause: Duration, other: Option<BorrowedFd<'_>>) -> bool {
        let timeout = Timespec::try_from(pause).ok();
        let mut fds = vec![PollFd::new(&self.asked, PollFlags::IN)];
        fds.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // Woken for another reason, the caller waits again.
        let _woken = poll(&mut fds, timeout.as_ref());
        self.is_asked()
    }

    /// What to listen to for the next word; nothing where there is none to come.
    pub(crate) fn fd_of_next(&self, is_ending: bool, is_killed: bool) -> Option<BorrowedFd<'_>> {
        match (is_ending, is_killed) {
            (_, true) => None,
            (true, false) => Some(self.urgent.as_fd()),
            (false, false) => Some(self.asked.as_fd()),
        }
    }
}
