//! What keeps two runs of one workspace apart: while one of them works on files, the other waits.
//!
//! The lock is taken when the first of a run's tasks begins to restore or to run, and given back at the
//! run's end: one that finds everything right takes none. A run that is started by a task of the one that has
//! the lock is part of that one: it takes the next of the workspace's locks instead, so that it waits for those
//! beside it and not for those above. The markers of processes say who is above whom.
//!
//! Commands inherit the lock. Where a run is killed, what it had started may still write; the lock is free
//! only once all of it is gone, and whoever waits for it ends what the dead run left. What stays up goes on
//! while its run does not have the lock, so that run leaves a note beside it.

use super::waits::{WaitNote, is_stuck};
use crate::process::{Process, Stop, end_all};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
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
    /// The marker of the task whose command started this run, if one did.
    outer: Option<OsString>,
    /// Where runs within tasks note that they wait.
    waits: PathBuf,
    /// Whether the owner of a view sees to it that nobody is in the way.
    is_private: bool,
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
    /// Whoever has it waits for a run that this one is part of.
    Stuck,
}

impl WorkspaceLock {
    /// The lock of a folder that others work in, too.
    pub(crate) fn shared(path: PathBuf, outer: Option<&OsStr>, waits: PathBuf) -> Self {
        Self {
            path,
            outer: outer.map(OsStr::to_owned),
            waits,
            is_private: false,
            held: Mutex::default(),
        }
    }

    /// The lock of a folder that nobody else works in.
    pub(crate) fn private(path: PathBuf) -> Self {
        Self {
            is_private: true,
            ..Self::shared(path, None, PathBuf::new())
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
        if self.is_private {
            return Ok(Taken::Ours { waited_until: None });
        }
        if let Some(Held { waited_until, .. }) = *held {
            return Ok(Taken::Ours { waited_until });
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut depth = 0;
        let mut file = open(&self.at(depth))?;
        let mut has_waited = false;
        let mut noted = None;
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
            let holder = Holder::read(&mut file);
            if holder.as_ref().is_some_and(|holder| self.is_below(holder)) {
                depth += 1;
                noted = None;
                file = open(&self.at(depth))?;
                continue;
            }
            if let (Some(outer), Some(holder)) = (&self.outer, &holder) {
                if noted.is_none() {
                    noted = Some(WaitNote::leave(&self.waits, outer, &self.at(depth))?);
                }
                if is_stuck(&self.waits, holder, |holder| self.is_below(holder))? {
                    return Ok(Taken::Stuck);
                }
            }
            let is_ended = holder.is_some_and(|holder| holder.end_where_dead());
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

    /// The lock of the runs that have this many above them in the workspace.
    fn at(&self, depth: u32) -> PathBuf {
        match depth {
            0 => self.path.clone(),
            _ => self.path.with_extension(depth.to_string()),
        }
    }

    /// Whether this run is part of another.
    fn is_below(&self, holder: &Holder) -> bool {
        let outer = self.outer.as_ref().map(|outer| outer.as_encoded_bytes());
        outer.is_some_and(|outer| outer.starts_with(holder.prefix().as_bytes()))
    }

    /// Leaves a note that something stays up; it is to be removed once nothing does. None in a folder of its own.
    pub(super) fn note_up(&self, marker: &str) -> io::Result<Option<PathBuf>> {
        if self.is_private {
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
        if self.is_private {
            return;
        }
        let notes = fs::read_dir(self.notes()).into_iter().flatten().flatten();
        for note in notes {
            let file = File::open(note.path());
            if file.is_ok_and(|mut file| self.has_ended(&mut file)) {
                let _gone = fs::remove_file(note.path());
            }
        }
        let open = |depth| File::options().read(true).write(true).open(self.at(depth));
        for mut file in (0..).map_while(|depth| open(depth).ok()) {
            let is_ended = self.has_ended(&mut file);
            if is_ended && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _looked_for_again = note(&mut file, "");
            }
        }
    }

    /// Ends what the run left that a file names, where it is dead; whoever is part of it is left to others.
    fn has_ended(&self, file: &mut File) -> bool {
        let holder = Holder::read(file).filter(|holder| !self.is_below(holder));
        holder.is_some_and(|holder| holder.end_where_dead())
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
pub(super) struct Holder {
    process: Process,
    marker: String,
}

impl Holder {
    fn this(marker: &str) -> Self {
        Self {
            process: Process::this(),
            marker: marker.to_owned(),
        }
    }

    pub(super) fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        let (process, marker) = text.split_once(' ')?;
        let process = process.parse().ok()?;
        let marker = Some(marker.to_owned()).filter(|marker| !marker.is_empty())?;
        Some(Self { process, marker })
    }

    /// How the markers of all begin that it started.
    fn prefix(&self) -> String {
        format!("{}-", self.marker)
    }

    /// How the markers of the commands begin that it waits for.
    pub(super) fn commands(&self) -> String {
        format!("{}-r", self.marker)
    }

    /// Ends what it left, where it is dead; `false` where it lives.
    fn end_where_dead(&self) -> bool {
        if self.process.lives() {
            return false;
        }
        end_all(&self.prefix(), None);
        true
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.process, self.marker)
    }
}
