//! What this workspace's tasks left behind when they last ran: which result stands in the folder, and
//! which files are owned by whom.
//!
//! A file to which each ending appends one record with its digest; a torn one at the end is cut off. It
//! only saves work: whatever it says of files is checked against them.

use crate::process::Process;
use mainstay_tasks::{Bytes, Content, Output, TaskId, TaskKey};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAGIC: &[u8] = b"mainstay-state-3\n";
const HEAD: usize = 12;

/// A rewrite is worth it once the file is this many times too long.
const SLACK: usize = 4;

/// What is remembered of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memo {
    /// The key of the result that stands in the folder; none where the last run failed or was not kept.
    pub(crate) key: Option<TaskKey>,
    /// The last key under which a result was stored, to compare others with.
    pub(crate) last_key: Option<TaskKey>,
    /// What its output patterns mean in the folder.
    pub(crate) outputs: BTreeMap<Bytes, Output>,
    /// What of that was there before the task ran, and is not the task's to remove.
    pub(crate) unowned: BTreeSet<Bytes>,
    /// What its command was about, if it was running.
    pub(crate) under_way: Option<UnderWay>,
    pub(crate) stdout: Content,
    pub(crate) stderr: Content,
    /// How long it ran, in milliseconds.
    pub(crate) ran_ms: u64,
}

/// A command that was running: where its run is dead, it left what its outputs mean besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnderWay {
    /// Whose it was.
    pub(crate) process: Process,
    /// Its output patterns, from the workspace's root.
    pub(crate) outputs: Vec<String>,
}

impl Memo {
    /// Of no result: only of what stands in the folder.
    pub(crate) fn of_no_result(outputs: BTreeMap<Bytes, Output>, unowned: BTreeSet<Bytes>) -> Self {
        Self {
            key: None,
            last_key: None,
            outputs,
            unowned,
            under_way: None,
            stdout: Content::empty(),
            stderr: Content::empty(),
            ran_ms: 0,
        }
    }

    /// Whether what stands at a path is there because of the task.
    pub(crate) fn owns(&self, path: &Bytes) -> bool {
        self.outputs.contains_key(path) && !self.unowned.contains(path)
    }

    /// What the task made.
    pub(crate) fn owned(&self) -> impl DoubleEndedIterator<Item = (&Bytes, &Output)> {
        let all = self.outputs.iter();
        all.filter(|(path, _)| !self.unowned.contains(*path))
    }
}

/// The memos of a workspace.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    memos: HashMap<TaskId, Arc<Memo>>,
    file: Option<File>,
    /// Which file that is, and how long it was when this run last read or wrote it.
    read: Option<(u64, u64)>,
    bytes: usize,
    /// How many of them the memos take that count.
    live: usize,
}

impl State {
    /// Reads what is remembered.
    pub(crate) fn open(path: PathBuf) -> Self {
        let inner = Mutex::new(Inner::read(&path));
        Self { path, inner }
    }

    /// With what is remembered of the folder behind a view, where nothing is of the view itself.
    pub(crate) fn over(self, behind: &Self) -> Self {
        for (task, memo) in &behind.inner().memos {
            let mut inner = self.inner();
            if memo.under_way.is_none() && !inner.memos.contains_key(task) {
                inner.memos.insert(task.clone(), Arc::clone(memo));
            }
        }
        self
    }

    /// Reads again, where another run wrote since. Call it under the workspace's lock.
    pub(crate) fn refresh(&self) {
        let mut inner = self.inner();
        if inner.read != identity(&self.path) {
            *inner = Inner::read(&self.path);
        }
    }

    /// What is remembered of a task.
    pub(crate) fn memo(&self, task: &TaskId) -> Option<Arc<Memo>> {
        self.inner().memos.get(task).cloned()
    }

    /// Remembers how a task ended.
    pub(crate) fn remember(&self, task: &TaskId, memo: Memo) -> io::Result<()> {
        let record = encoded(task, &memo);
        let mut inner = self.inner();
        inner.memos.insert(task.clone(), Arc::new(memo));
        if inner.file.is_none() {
            inner.file = Some(self.append()?);
            inner.read = identity(&self.path);
        }
        inner.bytes += record.len();
        if let Some((_, length)) = &mut inner.read {
            *length += record.len() as u64;
        }
        match &mut inner.file {
            Some(file) => file.write_all(&record),
            None => Ok(()),
        }
    }

    /// Rewrites the file where most of it is out of date.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.file.is_none() || inner.bytes < inner.live.max(1 << 16) * SLACK {
            return Ok(());
        }
        inner.file = None;
        let lock = File::create(self.path.with_extension("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        // Others may have written meanwhile: what the file says now counts.
        let now = Self::open(self.path.clone());
        let mut bytes = MAGIC.to_vec();
        for (task, memo) in &now.inner().memos {
            bytes.extend(encoded(task, memo));
        }
        crate::disk::replace(&self.path, &bytes)
    }

    fn append(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let lock = File::create(self.path.with_extension("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        repair(&self.path)?;
        OpenOptions::new().append(true).open(&self.path)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn read(path: &Path) -> Self {
        let read = identity(path);
        let bytes = std::fs::read(path).unwrap_or_default();
        let mut memos = HashMap::new();
        let mut sizes: HashMap<TaskId, usize> = HashMap::new();
        let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
        while let Some((record, after)) = next(rest) {
            rest = after;
            if let Ok((task, memo)) = postcard::from_bytes::<(TaskId, Memo)>(record) {
                sizes.insert(task.clone(), record.len() + HEAD);
                memos.insert(task, Arc::new(memo));
            }
        }
        Self {
            memos,
            file: None,
            read,
            bytes: bytes.len() - rest.len(),
            live: sizes.values().sum(),
        }
    }
}

/// Which file there is, and how long it is.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = path.metadata().ok()?;
    Some((found.ino(), found.len()))
}

/// Makes the file begin as it should, and cuts off a torn end, behind which nothing could be read.
fn repair(path: &Path) -> io::Result<()> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return std::fs::write(path, MAGIC);
    };
    while let Some((_, after)) = next(rest) {
        rest = after;
    }
    if rest.is_empty() {
        return Ok(());
    }
    let whole = bytes.len() - rest.len();
    OpenOptions::new()
        .write(true)
        .open(path)?
        .set_len(whole as u64)
}

fn encoded(task: &TaskId, memo: &Memo) -> Vec<u8> {
    let body = postcard::to_stdvec(&(task, memo)).unwrap_or_default();
    let mut record = u32::try_from(body.len())
        .unwrap_or(0)
        .to_le_bytes()
        .to_vec();
    record.extend(&blake3::hash(&body).as_bytes()[..HEAD - 4]);
    record.extend(body);
    record
}

/// The first record, and what comes behind it.
fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_at_checked(HEAD - 4)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, after) = rest.split_at_checked(length)?;
    (&blake3::hash(body).as_bytes()[..HEAD - 4] == sum).then_some((body, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memo(ran_ms: u64) -> Memo {
        let outputs = BTreeMap::from([(Bytes::from(b"a\xff%"), Output::Folder { mode: 0o755 })]);
        Memo {
            ran_ms,
            ..Memo::of_no_result(outputs, BTreeSet::new())
        }
    }

    #[test]
    fn a_torn_end_is_forgotten_and_writing_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state");
        let (one, two): (TaskId, TaskId) = ("p:one".parse().unwrap(), "p:two".parse().unwrap());
        State::open(path.clone()).remember(&one, memo(1)).unwrap();
        State::open(path.clone()).remember(&two, memo(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let state = State::open(path.clone());
            assert_eq!(state.memo(&two), None);
            state.remember(&two, memo(3)).unwrap();
            let again = State::open(path.clone());
            assert_eq!(again.memo(&two).unwrap().ran_ms, 3, "cut at {cut}");
            let is_first_whole = state.memo(&one).is_some();
            assert_eq!(again.memo(&one).is_some(), is_first_whole);
        }
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let task: TaskId = "p:one".parse().unwrap();
        for round in 0..40 {
            let state = State::open(path.clone());
            for _ in 0..200 {
                state.remember(&task, memo(round)).unwrap();
            }
            state.tidy().unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
        assert_eq!(State::open(path).memo(&task).unwrap().ran_ms, 39);
    }
}
