//! File operations that must also work on files that their owner has locked himself out of.

use super::error::{At, WorkspaceError};
use super::tree::EntryKind;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub(super) const OPAQUE: &str = "user.overlay.opaque";
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

/// Whether a folder hides all that lies below it; refuses attributes that would lose data.
pub(super) fn is_opaque(path: &Path) -> Result<bool, WorkspaceError> {
    for name in ELSEWHERE {
        if attribute(path, name).at(path)?.is_some() {
            return Err(WorkspaceError::Unsupported {
                path: path.to_owned(),
                what: "an overlay entry whose content lies elsewhere",
            });
        }
    }
    Ok(attribute(path, OPAQUE).at(path)?.as_deref() == Some(b"y"))
}

fn attribute(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0u8; 64];
    match rustix::fs::lgetxattr(path, name, &mut value) {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP | rustix::io::Errno::ACCESS) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
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

/// Removes a file or a whole folder, whatever their permissions; nothing there is fine.
pub(super) fn remove(path: &Path) -> Result<(), WorkspaceError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.at(path)?,
    };
    if !found.is_dir() {
        return fs::remove_file(path).at(path);
    }
    if mode(&found) & 0o700 != 0o700 {
        set_mode(path, 0o700)?;
    }
    for name in names(path)? {
        remove(&path.join(name))?;
    }
    fs::remove_dir(path).at(path)
}

/// What a file is, where a workspace can keep it: not devices, and sockets are left out.
pub(super) fn kept_kind(path: &Path, found: &Metadata) -> Result<Option<Kind>, WorkspaceError> {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    Ok(Some(if kind.is_dir() {
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
        return Ok(None);
    } else {
        return Err(WorkspaceError::Unsupported {
            path: path.to_owned(),
            what: "a device",
        });
    }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link,
    Fifo,
    Whiteout,
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
            kept_kind(path, &found)? == Some(Kind::Fifo) && mode(&found) == *wanted
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
