//! The view of a command that sees the declared inputs only: the stage, mounted over the root.
//!
//! Files are bound read-only at their places. What they are bound onto are names of one empty file,
//! because many new files can take ext4 seconds where as many were deleted a minute ago. One consequence:
//! to rename one input to another changes nothing and does not fail, as with any two names of one file;
//! to the report it is a write. Inputs that are outputs too are copied, so that the command can change
//! them.

use super::spec::ObserveSpec;
use crate::sandbox::{Failed, Step, sys};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::process::{getegid, geteuid};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

const NONE: &str = "";

/// Moves this process, and with it the command, into its view.
pub(super) fn enter(spec: &ObserveSpec, stage: &Path) -> Result<(), Failed> {
    // A folder that was removed is no input, and the command starts in it all the same.
    let folder = std::env::current_dir().ok();
    namespace().step("making a mount namespace")?;
    let real = cover(&spec.root, stage).step("mounting the stage")?;
    let mut tree = Tree {
        root: &spec.root,
        real: PathBuf::from(format!("/proc/self/fd/{}", real.as_raw_fd())),
        folders: HashSet::from([spec.root.clone()]),
        modes: BTreeMap::new(),
        nothing: None,
    };
    for input in &spec.inputs {
        tree.add(input, spec.is_output(input))
            .step("putting the inputs in place")?;
    }
    // Last, and from below, because a folder may be one that cannot be written.
    for (folder, mode) in tree.modes.into_iter().rev() {
        fs::set_permissions(folder, mode).step("giving folders their modes")?;
    }
    if let Some(folder) = folder.filter(|folder| folder.starts_with(&spec.root)) {
        fs::create_dir_all(&folder).step("making the working folder")?;
        std::env::set_current_dir(&folder).step("entering the working folder")?;
    }
    Ok(())
}

/// Removes what files were bound onto. What is left is what the command wrote, and folders and links.
pub(super) fn clear(spec: &ObserveSpec, stage: &Path) {
    for input in &spec.inputs {
        let Ok(name) = input.strip_prefix(&spec.root) else {
            continue;
        };
        let at = stage.join(name);
        let is_file = |at: &Path| fs::symlink_metadata(at).is_ok_and(|found| found.is_file());
        if !spec.is_output(input) && is_file(&at) {
            let _the_runner_removes_the_stage = fs::remove_file(at);
        }
    }
}

/// A mount namespace of our own; whoever may not make one makes a user namespace for it, with himself as
/// the only user.
fn namespace() -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    match sys::unshare(libc::CLONE_NEWNS) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            sys::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)?;
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
            fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
        }
        made => made?,
    }
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    sys::mount(Path::new(NONE), Path::new("/"), NONE, flags, NONE)
}

/// Mounts the stage over the root; the root itself, read-only, comes back.
fn cover(root: &Path, stage: &Path) -> io::Result<OwnedFd> {
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
    };
    // Opened first, because it may lie in the root.
    let stage = open(stage)?;
    sys::mount(root, root, NONE, libc::MS_BIND | libc::MS_REC, NONE)?;
    // What is bound from here is like this from the start.
    sys::mount_setattr(root, libc::MOUNT_ATTR_RDONLY, true)?;
    let real = open(root)?;
    let stage = PathBuf::from(format!("/proc/self/fd/{}", stage.as_raw_fd()));
    sys::mount(&stage, root, NONE, libc::MS_BIND, NONE)?;
    Ok(real)
}

/// The inputs, being put in place.
struct Tree<'a> {
    root: &'a Path,
    /// Where the files are.
    real: PathBuf,
    /// The folders that are there.
    folders: HashSet<PathBuf>,
    /// The modes of those that are inputs themselves.
    modes: BTreeMap<PathBuf, Permissions>,
    /// The empty file that files are bound onto.
    nothing: Option<File>,
}

impl Tree<'_> {
    fn add(&mut self, input: &Path, is_output: bool) -> io::Result<()> {
        let name = input.strip_prefix(self.root);
        let from = self.real.join(name.map_err(io::Error::other)?);
        let found = match fs::symlink_metadata(&from) {
            // Not there for anybody.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        if found.is_dir() {
            self.modes.insert(input.to_owned(), found.permissions());
            return self.folder(input);
        }
        if let Some(folder) = input.parent() {
            self.folder(folder)?;
        }
        if found.is_symlink() {
            symlink(fs::read_link(from)?, input)
        } else if is_output && found.is_file() {
            copy(&from, input, &found)
        } else {
            self.name_nothing(input)?;
            sys::mount(&from, input, NONE, libc::MS_BIND, NONE)
        }
    }

    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        if !self.folders.contains(folder) {
            fs::create_dir_all(folder)?;
            self.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    /// Makes a place to bind to. A file has only so many names, and on some file systems one.
    fn name_nothing(&mut self, at: &Path) -> io::Result<()> {
        let named = self.nothing.as_ref().map(|file| {
            // By its descriptor, because something is mounted on each of its names.
            let file = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, file, CWD, at, AtFlags::SYMLINK_FOLLOW)
        });
        if !matches!(named, Some(Ok(()))) {
            self.nothing = Some(File::create_new(at)?);
        }
        Ok(())
    }
}

/// Copies a file with its mode and its times.
fn copy(from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
    fs::copy(from, to)?;
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(found.atime(), found.atime_nsec()),
        last_modification: time(found.mtime(), found.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::empty())?;
    Ok(())
}
