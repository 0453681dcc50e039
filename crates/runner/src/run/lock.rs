//! What keeps two runs of one workspace apart: while one of them works on files, the other waits.
//!
//! The lock is taken when the first of a run's tasks begins to restore or to run, and given back when none
//! does any more. A run that is started by a task of another run is part of that one, and takes none.

use crate::process::Stop;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait before looking again; doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The lock of a workspace, shared by the threads of a run.
#[derive(Debug)]
pub(crate) struct WorkspaceLock {
    path: PathBuf,
    /// Whether a run further up holds it for us.
    is_inner: bool,
    held: Mutex<(u32, Option<File>)>,
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Held<'l> {
    lock: &'l WorkspaceLock,
    /// Whether somebody else had it before.
    pub(super) has_waited: bool,
}

impl WorkspaceLock {
    pub(crate) fn new(path: PathBuf, is_inner: bool) -> Self {
        Self {
            path,
            is_inner,
            held: Mutex::default(),
        }
    }

    /// Takes the lock. Calls `waits` once where another run holds it. `None` where this run was stopped
    /// meanwhile.
    pub(super) fn take(
        &self,
        stop: &Stop,
        waits: &mut dyn FnMut(),
    ) -> io::Result<Option<Held<'_>>> {
        let mut held = self.held();
        let mut has_waited = false;
        if held.0 == 0 && !self.is_inner {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = File::create(&self.path)?;
            let mut pause = PAUSE.0;
            loop {
                match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => break,
                    Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
                if stop.is_asked() {
                    return Ok(None);
                }
                if !has_waited {
                    has_waited = true;
                    waits();
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE.1);
            }
            held.1 = Some(file);
        }
        held.0 += 1;
        let lock = self;
        Ok(Some(Held { lock, has_waited }))
    }

    fn held(&self) -> MutexGuard<'_, (u32, Option<File>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.lock.held();
        held.0 -= 1;
        if held.0 == 0 {
            // Closing it unlocks it.
            held.1 = None;
        }
    }
}
