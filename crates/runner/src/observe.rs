//! Commands that are watched: which files they read and write that their task does not declare, or that are
//! not even let see them.

use crate::disk;
use crate::files::{Files, Stat};
use crate::keys::Sets;
use crate::restore::split;
use mainstay_tasks::{Bytes, Pattern, PatternSet};
use rustix::fs::FileType;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where scratch folders are, from the workspace's root.
const SCRATCH: &str = ".mainstay/watch";

/// How a command is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// It runs as it is, and what it asks for is told.
    Trace,
    /// It sees of the workspace what its task declares, and nothing else.
    Enforce,
}

/// What is to be watched.
#[derive(Debug, Clone)]
pub struct WatchOrder {
    /// How.
    pub watch: Watch,
    /// The workspace.
    pub root: PathBuf,
    /// An empty folder for this run alone, on the file system of the workspace.
    pub scratch: PathBuf,
    /// Where, in the scratch folder, the command's writes are found where it is enforced.
    pub stage: PathBuf,
    /// What it may see, each file, link and folder by itself.
    pub inputs: Vec<PathBuf>,
    /// What it may write, with all that is below.
    pub outputs: Vec<PathBuf>,
}

/// What was seen, all paths absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why the command could not be executed.
    pub spawn_errno: Option<i32>,
    /// Files that it read or executed.
    pub read: Vec<PathBuf>,
    /// Paths that it wrote to.
    pub written: Vec<PathBuf>,
    /// What is there and was kept from it.
    pub hidden: Vec<PathBuf>,
    /// Whether there was more than could be noted.
    pub is_truncated: bool,
}

/// Watches commands.
pub trait Watcher: Sync {
    /// What is called in the command's place, with the command's own words behind it.
    ///
    /// # Errors
    /// What keeps this host from watching.
    fn wrap(&self, order: &WatchOrder) -> io::Result<Vec<OsString>>;

    /// What was seen, once the command is over.
    ///
    /// # Errors
    /// Where nothing is known, because the watching itself failed.
    fn seen(&self, order: &WatchOrder) -> io::Result<Seen>;
}

/// What a command did that its task does not declare; paths from the workspace's root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undeclared {
    /// Files that it read.
    pub reads: BTreeSet<Bytes>,
    /// Paths that it wrote to.
    pub writes: BTreeSet<Bytes>,
    /// Files that it asked for and was not let see.
    pub hidden: BTreeSet<Bytes>,
    /// Whether there was more than could be noted.
    pub is_truncated: bool,
}

impl Undeclared {
    /// Whether everything was declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty() && self.hidden.is_empty()
    }

    /// Judges what was seen.
    pub(crate) fn of(seen: &Seen, files: &Files, sets: &Sets, readable: &BTreeSet<Bytes>) -> Self {
        let inner = |path: &PathBuf| {
            let path = path.strip_prefix(files.path()).ok()?;
            Some(Bytes::from(path.as_os_str().as_bytes()))
        };
        let is_made =
            |path: &Bytes| sets.outputs.is_match(&path.0) || is_above(&sets.outputs, path);
        let is_file = |path: &Bytes| {
            let found: Option<Stat> = files.look(&path.0).ok().flatten();
            found.is_none_or(|stat| stat.kind != FileType::Directory)
        };
        let is_declared = |path: &Bytes| {
            let is_readable = |place| readable.contains(&place);
            readable.contains(path) || place(files, path).is_some_and(is_readable)
        };
        let reads = seen.read.iter().filter_map(inner);
        let reads = reads.filter(|path| !is_declared(path) && !is_made(path) && is_file(path));
        let writes = seen.written.iter().filter_map(inner);
        let hidden = seen.hidden.iter().filter_map(inner);
        let reads: BTreeSet<Bytes> = reads.collect();
        Self {
            hidden: hidden
                .filter(|path| !is_made(path) && is_file(path))
                .collect(),
            writes: writes.filter(|path| !is_made(path)).collect(),
            reads,
            is_truncated: seen.is_truncated,
        }
    }
}

/// Where a path really is, whose folder may have been named through links.
fn place(files: &Files, path: &Bytes) -> Option<Bytes> {
    let (parent, name) = split(path);
    let folder = files.folder_at(parent)?;
    let place = Path::new(OsStr::from_bytes(&folder.0)).join(OsStr::from_bytes(name));
    Some(Bytes::from(place.as_os_str().as_bytes()))
}

/// Whether a path is a folder on the way to outputs.
fn is_above(outputs: &PatternSet, path: &Bytes) -> bool {
    let mut state = outputs.start();
    for name in path.0.split(|&byte| byte == b'/') {
        state = outputs.step(&state, name);
    }
    !state.is_over()
}

/// What to watch for, in a scratch folder that is made.
pub(crate) fn order(
    watch: Watch,
    files: &Files,
    outputs: &[Pattern],
    cwd: &Bytes,
    readable: &BTreeSet<Bytes>,
) -> io::Result<WatchOrder> {
    let root = files.path();
    let at = |path: &Bytes| root.join(OsStr::from_bytes(&path.0));
    let scratch = root.join(SCRATCH).join(disk::name());
    let stage = scratch.join("stage");
    std::fs::create_dir_all(&stage)?;
    let mut inputs: Vec<PathBuf> = readable.iter().map(at).collect();
    inputs.push(at(cwd));
    // A command finds the folders that its outputs go into, where they are there.
    let roots = outputs.iter().map(|output| at(&output.root()));
    inputs.extend(roots.filter(|folder| folder != root && is_folder(folder)));
    let made = outputs.iter().filter(|output| !output.is_exclusion());
    let outputs = made.map(|output| at(&output.literal().unwrap_or_else(|| output.root())));
    Ok(WatchOrder {
        watch,
        root: root.to_owned(),
        stage,
        inputs,
        outputs: outputs.collect(),
        scratch,
    })
}

/// Whether a folder stands there, and not a link to one: through a link nothing would be seen to be written.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Removes a scratch folder.
pub(crate) fn clear(scratch: &Path) {
    let _swept_later = disk::remove_folder(scratch);
}

/// Removes the scratch folders of the dead.
pub(crate) fn sweep(files: &Files) {
    let _there_is_none = disk::sweep(&files.here().join(SCRATCH));
}
