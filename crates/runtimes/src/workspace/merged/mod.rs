//! A view as its tools see it, for this process alone: the same overlay that a sandbox mounts, in no
//! namespace, reached through one descriptor and gone with it. While one is open that can be written, no
//! sandbox may use the view, and what a sandbox changed is seen only by one that is opened afterwards: two
//! overlays over one folder do not see each other (Documentation/filesystems/overlayfs.rst, "Changes to
//! underlying filesystems").

mod helper;

pub use helper::view_main;

use super::disk;
use crate::sandbox::WorkspaceMount;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens the root of a view. One that is only to be looked at costs a fraction. `exe` is this program.
///
/// # Errors
/// What the system says.
pub fn open(exe: &Path, mount: &WorkspaceMount, is_writable: bool) -> io::Result<OwnedFd> {
    match mounted(mount, is_writable) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            helper::open(exe, mount, is_writable)
        }
        other => other,
    }
}

/// The paths of all that differs from the folder, from its root: files, new folders with nothing in them, and
/// folders that hide what is behind them.
///
/// # Errors
/// What the system says; `Unsupported` where the view is a copy.
pub fn changes(mount: &WorkspaceMount) -> io::Result<Vec<Vec<u8>>> {
    let WorkspaceMount::Overlay { lower, upper, .. } = mount else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let mut changes = Vec::new();
    changed_in(lower, upper, &mut Vec::new(), &mut changes)?;
    Ok(changes)
}

fn changed_in(
    lower: &Path,
    upper: &Path,
    path: &mut Vec<u8>,
    changes: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(upper)? {
        let entry = entry?;
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend(entry.file_name().as_bytes());
        let (below, inner) = (lower.join(entry.file_name()), entry.path());
        let is_folder = entry.file_type()?.is_dir();
        let hides = || disk::is_opaque(&inner).map_err(io::Error::other);
        let is_new = below.symlink_metadata().is_err();
        let is_empty = || std::fs::read_dir(&inner).map(|mut entries| entries.next().is_none());
        // A new folder is opaque as well, and hides nothing.
        let is_change = match (is_folder, is_new) {
            (false, _) => true,
            (true, true) => is_empty()?,
            (true, false) => hides()?,
        };
        if is_change {
            changes.push(path.clone());
        }
        if is_folder {
            changed_in(&below, &inner, path, changes)?;
        }
        path.truncate(length);
    }
    Ok(())
}

fn mounted(mount: &WorkspaceMount, is_writable: bool) -> io::Result<OwnedFd> {
    let root = match mount {
        WorkspaceMount::Bind { source, .. } => folder(source),
        WorkspaceMount::Overlay { lower, upper, .. } if !is_writable => looked_at(lower, upper),
        WorkspaceMount::Overlay {
            lower, upper, work, ..
        } => {
            forget_last(work);
            match written_to(lower, upper, work, true) {
                // Linux before 5.10.
                Err(Errno::INVAL) => written_to(lower, upper, work, false),
                other => other,
            }
        }
    };
    Ok(root?)
}

fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

/// Both as layers that nobody writes to.
fn looked_at(lower: &Path, upper: &Path) -> Result<OwnedFd, Errno> {
    let (lower, upper) = (folder(lower)?, folder(upper)?);
    overlay(
        &[],
        &[("lowerdir", &format!("{}:{}", name(&upper), name(&lower)))],
    )
}

/// `is_volatile`: its end does not wait for the disk, because what counts is committed to the store.
fn written_to(
    lower: &Path,
    upper: &Path,
    work: &Path,
    is_volatile: bool,
) -> Result<OwnedFd, Errno> {
    let (lower, upper, work) = (folder(lower)?, folder(upper)?, folder(work)?);
    let flags: &[&str] = if is_volatile { &["volatile"] } else { &[] };
    let names = [name(&lower), name(&upper), name(&work)];
    let folders = ["lowerdir", "upperdir", "workdir"].into_iter();
    let folders: Vec<(&str, &str)> = folders.zip(names.iter().map(String::as_str)).collect();
    overlay(flags, &folders)
}

/// By descriptor: no name is too long, and none has a meaning of its own.
fn name(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

fn overlay(flags: &[&str], folders: &[(&str, &str)]) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(&context, "userxattr")?;
    for flag in flags {
        fsconfig_set_flag(&context, *flag)?;
    }
    for (key, folder) in folders {
        fsconfig_set_string(&context, *key, *folder)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Takes away the kernel's note that the last overlay did not wait for the disk.
fn forget_last(work: &Path) {
    let note = work.join("work/incompat/volatile");
    let _none = std::fs::remove_file(note.join("dirty")).and_then(|()| std::fs::remove_dir(note));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_shows_what_a_sandbox_would_see_and_writes_where_it_would_write() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root mounts");
        }
        let place = tempfile::tempdir().unwrap();
        let [lower, upper, work] =
            ["lower, a:b", "upper", "work"].map(|name| place.path().join(name));
        for folder in [&lower, &upper, &work] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(lower.join("a"), "one").unwrap();
        fs::write(upper.join("b"), "two").unwrap();
        fs::create_dir(lower.join("old")).unwrap();
        fs::write(lower.join("old/x"), "").unwrap();
        let at = lower.clone();
        let mount = WorkspaceMount::Overlay {
            lower: lower.clone(),
            upper: upper.clone(),
            work,
            at,
        };
        for round in 0..3 {
            let root = mounted(&mount, true).unwrap();
            let here = Path::new("/proc/self/fd").join(root.as_raw_fd().to_string());
            assert_eq!(fs::read_to_string(here.join("b")).unwrap(), "two");
            fs::write(here.join("a"), round.to_string()).unwrap();
            drop(root);
            let root = mounted(&mount, false).unwrap();
            let here = Path::new("/proc/self/fd").join(root.as_raw_fd().to_string());
            assert_eq!(
                fs::read_to_string(here.join("a")).unwrap(),
                round.to_string()
            );
            assert!(fs::write(here.join("a"), "").is_err());
        }
        let root = mounted(&mount, true).unwrap();
        let here = Path::new("/proc/self/fd").join(root.as_raw_fd().to_string());
        fs::create_dir_all(here.join("new/deep")).unwrap();
        fs::write(here.join("new/deep/x"), "").unwrap();
        fs::create_dir(here.join("empty")).unwrap();
        fs::remove_dir_all(here.join("old")).unwrap();
        fs::create_dir(here.join("old")).unwrap();
        drop(root);
        let mut changed = changes(&mount).unwrap();
        changed.sort();
        assert_eq!(changed, [&b"a"[..], b"b", b"empty", b"new/deep/x", b"old"]);
        fs::remove_file(upper.join("a")).unwrap();
        assert_eq!(fs::read_to_string(lower.join("a")).unwrap(), "one");
    }
}
