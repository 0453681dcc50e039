//! What keeps two runs of one workspace apart: while one of them works on files, the other waits.
//!
//! The lock is taken when the first of a run's tasks begins to restore or to run, and given back at the
//! run's end: one that finds everything right takes none. A run that is started by a task of another run is
//! part of that one, and takes none either.
//!
//! Commands inherit the lock. Where a run is killed, what it had started may still write; the lock is free
//! only once all of it is gone, and whoever waits for it ends what the dead run left. What stays up goes on
//! while its run does not have the lock, so that run leaves a note beside it.

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
    /// Whether somebody else sees to it that nobody is in the way: a run further up, or the owner of a view.
    is_inner: bool,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    file: File,
    /// When it was given to us, where somebody else had it before.
    waited_until: Option<Instant>,
}

/// What happens on the way to the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Another run has it; told once.
    Waits,
    /// It is this run's now.
    Begins,
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

    /// Takes the lock, where this run does not have it yet; `marker` is how its processes are known. Tells
    /// `on` what happens, before any other thread of this run goes on.
    pub(super) fn take(
        &self,
        marker: &str,
        stop: &Stop,
        on: &mut dyn FnMut(Turn),
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
            let is_ended = Holder::read(&mut file).is_some_and(|holder| holder.end_where_dead());
            if !is_ended && !has_waited {
                on(Turn::Waits);
            }
            has_waited = true;
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
        note(&mut file, &Holder::this(marker).to_string())?;
        on(Turn::Begins);
        let waited_until = has_waited.then(Instant::now);
        *held = Some(Held { file, waited_until });
        Ok(Taken::Ours { waited_until })
    }

    /// Leaves a note that something stays up; it is to be removed once nothing does. None where a run further
    /// up looks after it.
    pub(super) fn note_up(&self, marker: &str) -> io::Result<Option<PathBuf>> {
        if self.is_inner {
            return Ok(None);
        }
        let folder = self.notes();
        fs::create_dir_all(&folder)?;
        let path = crate::disk::temporary(&folder);
        fs::write(&path, Holder::this(marker).to_string())?;
        Ok(Some(path))
    }

    fn notes(&self) -> PathBuf {
        self.path.with_file_name("up")
    }

    /// Ends what a run left that was killed, whether this one needs the lock or not.
    pub(super) fn end_what_was_left(&self) {
        let notes = fs::read_dir(self.notes()).ok().filter(|_| !self.is_inner);
        for note in notes.into_iter().flatten().flatten() {
            let holder = File::open(note.path()).ok();
            let holder = holder.and_then(|mut file| Holder::read(&mut file));
            if holder.is_some_and(|holder| holder.end_where_dead()) {
                let _gone = fs::remove_file(note.path());
            }
        }
        let opened = File::options().read(true).write(true).open(&self.path);
        let Some(mut file) = opened.ok().filter(|_| !self.is_inner) else {
            return;
        };
        let is_ended = Holder::read(&mut file).is_some_and(|holder| holder.end_where_dead());
        if is_ended && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _looked_for_again = note(&mut file, "");
        }
    }

    /// Gives it back, at the end of a run: unlocked, since tasks that stay up have inherited it.
    pub(super) fn give_back(&self) {
        if let Some(mut held) = self.held().take() {
            let _still_ours = note(&mut held.file, "");
            let _closed_next = flock(&held.file, FlockOperation::Unlock);
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

/// Who has the lock, as its file says.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    /// When that process began, by the system's own count: numbers are given again.
    began: u64,
    marker: String,
}

impl Holder {
    fn this(marker: &str) -> Self {
        let pid = std::process::id();
        Self {
            pid,
            began: began(pid).unwrap_or_default(),
            marker: marker.to_owned(),
        }
    }

    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        let mut words = text.split(' ');
        let (pid, began) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let marker = words.next().filter(|marker| !marker.is_empty())?.to_owned();
        Some(Self { pid, began, marker })
    }

    /// Ends what it left, where it is dead; `false` where it lives.
    fn end_where_dead(&self) -> bool {
        if began(self.pid) == Some(self.began) {
            return false;
        }
        end_all(&format!("{}-", self.marker), None);
        true
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.pid, self.began, self.marker)
    }
}

/// When a process began, in ticks since the system did; nothing where there is none.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; the time is the twentieth word behind it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}
