//! File operations that must also work on files that their owner has locked himself out of.

use super::error::{At, WorkspaceError};
use super::tree::EntryKind;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Paths are not made longer than this while removing; the kernel takes 4096 bytes.
const PATH_BYTES_MAX: usize = 3500;
pub(super) const OPAQUE: &str = "user.overlay.opaque";
/// The newer form of a whiteout: an empty file with this attribute.
const WHITEOUT: &str = "user.overlay.whiteout";
/// Attributes by which an overlay says that content lies elsewhere; our mounts never make them.
const ELSEWHERE: &[&str] = &["user.overlay.redirect", "user.overlay.metacopy"];

/// A file's own permission bits.
pub(super) fn mode(found: &Metadata) -> u32 {
    found.mode() & 0o7777
}

/// The time of the last change of content, in nanoseconds since the epoch.
pub(super) fn mtime_ns(found: &Metadata) -> i64 {
    nanoseconds(found.mtime(), found.mtime_nsec())
}

pub(super) fn ctime_ns(found: &Metadata) -> i64 {
    nanoseconds(found.ctime(), found.ctime_nsec())
}

/// Enough for the years 1678 to 2262.
fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// The sorted names in a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<OsString>, WorkspaceError> {
    let list = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    };
    let mut names: Vec<OsString> = unlocked(folder, 0o500, list).at(folder)?;
    names.sort();
    Ok(names)
}

/// Opens a file for reading, for a moment with permission where it has none.
pub(super) fn open(path: &Path) -> Result<File, WorkspaceError> {
    unlocked(path, 0o400, || File::open(path)).at(path)
}

/// Keeps a folder open to its owner as long as it lives: with permissions that lock him out nothing
/// below can be looked at. Root needs none.
pub(super) struct OpenFolder {
    path: PathBuf,
    before: Option<u32>,
}

impl OpenFolder {
    pub(super) fn new(path: &Path, found: &Metadata) -> Result<Self, WorkspaceError> {
        let before = mode(found);
        let is_locked = before & 0o500 != 0o500 && !rustix::process::geteuid().is_root();
        if is_locked {
            set_mode(path, before | 0o500)?;
        }
        Ok(Self {
            path: path.to_owned(),
            before: is_locked.then_some(before),
        })
    }

    /// Whether it had to be opened.
    pub(super) fn is_opened(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for OpenFolder {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && let Err(error) = set_mode(&self.path, before)
        {
            tracing::warn!(%error, "permissions were not put back");
        }
    }
}

fn unlocked<T>(path: &Path, needed: u32, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let before = fs::symlink_metadata(path)?;
            fs::set_permissions(path, Permissions::from_mode(mode(&before) | needed))?;
            let done = act();
            fs::set_permissions(path, Permissions::from_mode(mode(&before)))?;
            done
        }
        done => done,
    }
}

/// Whether an empty file stands for nothing at all.
pub(super) fn is_marked_whiteout(path: &Path, found: &Metadata) -> Result<bool, WorkspaceError> {
    Ok(found.is_file() && found.len() == 0 && attribute(path, WHITEOUT).at(path)?.is_some())
}

/// Whether a folder hides all that lies below it.
pub(super) fn is_opaque(path: &Path) -> Result<bool, WorkspaceError> {
    refuse_elsewhere(path)?;
    Ok(attribute(path, OPAQUE).at(path)?.as_deref() == Some(b"y"))
}

/// Refuses attributes that would lose data.
pub(super) fn refuse_elsewhere(path: &Path) -> Result<(), WorkspaceError> {
    for name in ELSEWHERE {
        if attribute(path, name).at(path)?.is_some() {
            return Err(WorkspaceError::Unsupported {
                path: path.to_owned(),
                what: "an overlay entry whose content lies elsewhere",
            });
        }
    }
    Ok(())
}

fn attribute(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let get = || {
        let mut value = vec![0u8; 256];
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(length) => Ok(Some(value[..length].to_vec())),
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(None),
            // Longer than any that is looked for by its value.
            Err(rustix::io::Errno::RANGE) => Ok(Some(Vec::new())),
            Err(error) => Err(io::Error::from(error)),
        }
    };
    unlocked(path, 0o400, get)
}

pub(super) fn make_opaque(path: &Path) -> Result<(), WorkspaceError> {
    let set = rustix::fs::lsetxattr(path, OPAQUE, b"y", rustix::fs::XattrFlags::empty());
    set.map_err(io::Error::from).at(path)
}

/// Makes the overlay's mark for what is gone; Linux lets everybody make this one device.
pub(super) fn make_whiteout(path: &Path) -> Result<(), WorkspaceError> {
    make_node(path, rustix::fs::FileType::CharacterDevice, 0)
}

pub(super) fn make_fifo(path: &Path, mode: u32) -> Result<(), WorkspaceError> {
    make_node(path, rustix::fs::FileType::Fifo, mode)?;
    set_mode(path, mode)
}

fn make_node(path: &Path, kind: rustix::fs::FileType, mode: u32) -> Result<(), WorkspaceError> {
    let mode = rustix::fs::Mode::from_raw_mode(mode);
    let made = rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0);
    made.map_err(io::Error::from).at(path)
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), WorkspaceError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).at(path)
}

pub(super) fn set_mtime(path: &Path, mtime_ns: i64) -> Result<(), WorkspaceError> {
    let time = rustix::fs::Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags)
        .map_err(io::Error::from)
        .at(path)
}

/// Gives a file to somebody; only root can, and for others files are their own already.
pub(super) fn give_to(path: &Path, owner: (u32, u32)) -> Result<(), WorkspaceError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(owner.0), Some(owner.1)).at(path)
}

/// Removes a file or a whole folder, whatever their permissions and depth; nothing there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), WorkspaceError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if is_absent(&error) => return Ok(()),
        found => found.at(path)?,
    };
    if !found.is_dir() {
        return fs::remove_file(path).at(path);
    }
    let mut moved = 0;
    // What lies too deep for a path is moved up here, and met in the next round.
    loop {
        remove_content(path, path, &found, &mut moved)?;
        if names(path)?.is_empty() {
            return fs::remove_dir(path).at(path);
        }
    }
}

fn remove_content(
    top: &Path,
    folder: &Path,
    found: &Metadata,
    moved: &mut usize,
) -> Result<(), WorkspaceError> {
    if mode(found) & 0o700 != 0o700 {
        set_mode(folder, 0o700)?;
    }
    for name in names(folder)? {
        let path = folder.join(name);
        let found = fs::symlink_metadata(&path).at(&path)?;
        if !found.is_dir() {
            fs::remove_file(&path).at(&path)?;
        } else if path.as_os_str().len() > PATH_BYTES_MAX {
            set_mode(&path, 0o700)?;
            *moved += 1;
            let up = top.join(format!(".mainstay-deep-{moved}"));
            fs::rename(&path, &up).at(&path)?;
        } else {
            remove_content(top, &path, &found, moved)?;
            fs::remove_dir(&path).at(&path)?;
        }
    }
    Ok(())
}

/// What a file is.
pub(super) fn kind(found: &Metadata) -> Kind {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    if kind.is_dir() {
        Kind::Folder
    } else if kind.is_file() {
        Kind::File
    } else if kind.is_symlink() {
        Kind::Link
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_char_device() && found.rdev() == 0 {
        Kind::Whiteout
    } else if kind.is_socket() {
        Kind::Socket
    } else {
        Kind::Device
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link,
    Fifo,
    /// A character device 0/0: nothing, to an overlay.
    Whiteout,
    Socket,
    Device,
}

/// Whether what stands at a path is what an entry says, content included.
pub(super) fn is_as(path: &Path, kind: &EntryKind) -> Result<bool, WorkspaceError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if is_absent(&error) => return Ok(*kind == EntryKind::Gone),
        found => found.at(path)?,
    };
    Ok(match kind {
        EntryKind::File {
            digest,
            size,
            mode: wanted,
            ..
        } => {
            found.is_file()
                && found.len() == *size
                && mode(&found) == *wanted
                && hash(path)? == *digest
        }
        EntryKind::Link { target } => {
            found.is_symlink()
                && super::name::encode(fs::read_link(path).at(path)?.as_os_str()) == *target
        }
        EntryKind::Folder { mode: wanted, .. } => found.is_dir() && mode(&found) == *wanted,
        EntryKind::Fifo { mode: wanted } => {
            super::disk::kind(&found) == Kind::Fifo && mode(&found) == *wanted
        }
        EntryKind::HardLink { .. } | EntryKind::Gone => false,
    })
}

/// Whether an error says that nothing is there.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The digest of a file's content.
pub(super) fn hash(path: &Path) -> Result<mainstay_contract::Digest, WorkspaceError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open(path)?).at(path)?;
    Ok(mainstay_contract::Digest(*hasher.finalize().as_bytes()))
}
