//! What keeps two runs of one workspace apart: while one of them works on files, the other waits.
//!
//! The lock is taken when the first of a run's tasks begins to restore or to run, and given back at the
//! run's end: one that finds everything right takes none. A run that is started by a task of another run is
//! part of that one, and takes none either.
//!
//! Commands inherit the lock. Where a run is killed, what it had started may still write; the lock is free
//! only once all of it is gone, and whoever waits for it ends what the dead run left.

use crate::process::{Stop, end_all};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
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
    file: File,
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

    /// Takes the lock, where this run does not have it yet; `marker` is how its processes are known. Calls
    /// `waits` once where another run has it.
    pub(super) fn take(
        &self,
        marker: &str,
        stop: &Stop,
        waits: &mut dyn FnMut(),
    ) -> io::Result<Taken> {
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
        let mut file = open(&self.path)?;
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
            if !end_dead_holder(&mut file) && !has_waited {
                waits();
            }
            has_waited = true;
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
        note(&mut file, &format!("{} {marker}", std::process::id()))?;
        let waited_until = has_waited.then(Instant::now);
        *held = Some(Held { file, waited_until });
        Ok(Taken::Ours { waited_until })
    }

    /// Gives it back, at the end of a run.
    pub(super) fn give_back(&self) {
        if let Some(mut held) = self.held().take() {
            let _still_ours = note(&mut held.file, "");
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the file so that commands inherit it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE;
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?.into())
}

/// Writes who has the lock.
fn note(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// Ends what a run left that had the lock and is dead; `false` where it lives.
fn end_dead_holder(file: &mut File) -> bool {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let holder = read.ok().and_then(|_| text.split_once(' '));
    let Some((pid, marker)) = holder.filter(|(pid, marker)| !pid.is_empty() && !marker.is_empty())
    else {
        return false;
    };
    if Path::new("/proc").join(pid).exists() {
        return false;
    }
    end_all(&format!("{marker}-"), None);
    true
}
