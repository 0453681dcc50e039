//! What keeps two runs of one workspace apart: while one of them works on files, the other waits.
//!
//! The lock is taken when the first of a run's tasks begins to restore or to run, and given back at the
//! run's end: one that finds everything right takes none. A run that is started by a task of another run is
//! part of that one, and takes none either.

use crate::process::Stop;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait before looking again; doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The lock of a workspace, shared by the threads of a run.
#[derive(Debug)]
pub(crate) struct WorkspaceLock {
    path: PathBuf,
    /// Whether a run further up holds it for us.
    is_inner: bool,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    _file: File,
    /// When it was given to us, where somebody else had it before.
    waited_until: Option<Instant>,
}

/// What came of taking the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// This run has it.
    Ours {
        /// Since when, where another run had it before.
        waited_until: Option<Instant>,
    },
    /// This run was stopped before.
    Stopped,
}

impl WorkspaceLock {
    pub(crate) fn new(path: PathBuf, is_inner: bool) -> Self {
        Self {
            path,
            is_inner,
            held: Mutex::default(),
        }
    }

    /// Takes the lock, where this run does not have it yet. Calls `waits` once where another run has it.
    pub(super) fn take(&self, stop: &Stop, waits: &mut dyn FnMut()) -> io::Result<Taken> {
        let mut held = self.held();
        if self.is_inner {
            return Ok(Taken::Ours { waited_until: None });
        }
        if let Some(Held { waited_until, .. }) = *held {
            return Ok(Taken::Ours { waited_until });
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::create(&self.path)?;
        let mut has_waited = false;
        let mut pause = PAUSE.0;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if stop.is_asked() {
                return Ok(Taken::Stopped);
            }
            if !has_waited {
                has_waited = true;
                waits();
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
        let waited_until = has_waited.then(Instant::now);
        *held = Some(Held {
            _file: file,
            waited_until,
        });
        Ok(Taken::Ours { waited_until })
    }

    /// Gives it back, at the end of a run.
    pub(super) fn give_back(&self) {
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
