//! The world that the tool sees: a fresh root on tmpfs with the host's system folders read-only, a
//! private home, and the workspace at its own path.

use super::super::job::Job;
use super::super::spec::WorkspaceMount;
use super::super::sys;
use super::{Failed, Step};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Component, Path, PathBuf};

/// The host's folders that every tool sees.
const SYSTEM: &[&str] = &[
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "etc",
];
/// Devices that do no harm.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Folders that are empty, private and writable.
const SCRATCH: &[&str] = &["tmp", "var/tmp", "run", "dev/shm"];

const STAGE: &str = "/tmp";
const OLD: &str = "/old";
const NEW: &str = "/new";
const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const PLAIN: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const NONE: &str = "";

pub(super) fn build(job: &Job) -> Result<(), Failed> {
    stage().step("making a root")?;
    system_folders().step("mounting the system folders")?;
    devices().step("mounting devices")?;
    let proc_flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // Without capabilities root is still the owner of /proc/sys.
    let proc_flags = if job.uid == 0 {
        proc_flags | libc::MS_RDONLY
    } else {
        proc_flags
    };
    mount_kind("proc", "proc", proc_flags, NONE).step("mounting /proc")?;
    scratch(job).step("making private folders")?;
    for path in &job.spec.read {
        bind(path, READ_ONLY).step("mounting a readable path")?;
    }
    for path in &job.spec.write {
        bind(path, PLAIN).step("mounting a writable path")?;
    }
    if let Some(workspace) = &job.spec.workspace {
        mount_workspace(workspace).step("mounting the workspace")?;
    }
    hide(job).step("hiding paths")?;
    leave().step("leaving the host's root")
}

/// Makes the stage: a tmpfs that holds the old root, the new root and what is bound from nowhere.
fn stage() -> io::Result<()> {
    let none = Path::new(NONE);
    sys::mount(
        none,
        Path::new("/"),
        NONE,
        libc::MS_REC | libc::MS_PRIVATE,
        NONE,
    )?;
    sys::mount(
        Path::new("tmpfs"),
        Path::new(STAGE),
        "tmpfs",
        libc::MS_NOSUID,
        "mode=755",
    )?;
    std::env::set_current_dir(STAGE)?;
    fs::create_dir("old")?;
    fs::create_dir("new")?;
    sys::pivot_root(Path::new("."), Path::new("old"))?;
    std::env::set_current_dir("/")?;
    let options = "mode=755,size=1g,nr_inodes=200k";
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    sys::mount(Path::new("tmpfs"), Path::new(NEW), "tmpfs", flags, options)
}

fn system_folders() -> io::Result<()> {
    for name in SYSTEM {
        let (from, to) = (Path::new(OLD).join(name), Path::new(NEW).join(name));
        let Ok(found) = fs::symlink_metadata(&from) else {
            continue;
        };
        if found.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if found.is_dir() {
            fs::create_dir(&to)?;
            bind_to(&from, &to, READ_ONLY)?;
        }
    }
    Ok(())
}

fn devices() -> io::Result<()> {
    let dev = Path::new(NEW).join("dev");
    fs::create_dir(&dev)?;
    for name in DEVICES {
        let from = Path::new(OLD).join("dev").join(name);
        if from.exists() {
            let to = dev.join(name);
            File::create(&to)?;
            sys::mount(&from, &to, NONE, libc::MS_BIND, NONE)?;
        }
    }
    fs::create_dir(dev.join("pts"))?;
    let options = "newinstance,ptmxmode=0666,mode=620";
    mount_kind(
        "devpts",
        "dev/pts",
        libc::MS_NOSUID | libc::MS_NOEXEC,
        options,
    )?;
    symlink("pts/ptmx", dev.join("ptmx"))?;
    symlink("/proc/self/fd", dev.join("fd"))?;
    symlink("/proc/self/fd/0", dev.join("stdin"))?;
    symlink("/proc/self/fd/1", dev.join("stdout"))?;
    symlink("/proc/self/fd/2", dev.join("stderr"))
}

fn mount_kind(kind: &str, at: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let to = Path::new(NEW).join(at);
    fs::create_dir_all(&to)?;
    sys::mount(Path::new(kind), &to, kind, flags, options)
}

fn scratch(job: &Job) -> io::Result<()> {
    for name in SCRATCH {
        let path = Path::new(NEW).join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o1777))?;
    }
    let home = inside(&job.spec.home)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&home)?;
    fs::set_permissions(&home, Permissions::from_mode(0o700))?;
    if job.is_root {
        chown(&home, Some(job.uid), Some(job.gid))?;
    }
    Ok(())
}

/// Makes a host path visible at its own place.
fn bind(path: &Path, attributes: u64) -> io::Result<()> {
    let from = outside(path)?;
    let to = inside(path)?;
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::metadata(&from).map_err(named)?.is_dir() {
        fs::create_dir_all(&to).map_err(named)?;
    } else {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(named)?;
        }
        File::create(&to).map_err(named)?;
    }
    bind_to(&from, &to, attributes).map_err(named)
}

fn bind_to(from: &Path, to: &Path, attributes: u64) -> io::Result<()> {
    sys::mount(from, to, NONE, libc::MS_BIND | libc::MS_REC, NONE)?;
    sys::mount_setattr(to, attributes, true)
}

fn mount_workspace(workspace: &WorkspaceMount) -> io::Result<()> {
    let at = inside(workspace.at())?;
    fs::create_dir_all(&at)?;
    match workspace {
        WorkspaceMount::Bind { source, .. } => bind_to(&outside(source)?, &at, PLAIN),
        WorkspaceMount::Overlay {
            lower, upper, work, ..
        } => {
            // Bound to short names first, because the options cannot hold every path.
            for (from, to) in [(lower.as_path(), "/lower"), (parent(upper)?, "/view")] {
                fs::create_dir(to)?;
                sys::mount(
                    &outside(from)?,
                    Path::new(to),
                    NONE,
                    libc::MS_BIND | libc::MS_REC,
                    NONE,
                )?;
            }
            let (upper, work) = (name(upper)?, name(work)?);
            overlay(
                &format!("upperdir=/view/{upper},workdir=/view/{work}"),
                work,
                &at,
            )
        }
    }
}

/// Mounts the overlay so that its end does not wait for the host's whole disk: what counts of a view
/// is committed to the store, and a view that a power failure tore is made anew.
fn overlay(folders: &str, work: &str, at: &Path) -> io::Result<()> {
    let mount = |more: &str| {
        let options = format!("userxattr,{more}lowerdir=/lower,{folders}");
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        sys::mount(Path::new("overlay"), at, "overlay", flags, &options)
    };
    // The kernel's note that the last mount was such a one.
    let note = &Path::new("/view").join(work).join("work/incompat/volatile");
    let _none = fs::remove_file(note.join("dirty")).and_then(|()| fs::remove_dir(note));
    match mount("volatile,") {
        // Linux before 5.10.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => mount(""),
        done => done,
    }
}

/// Covers what must not be seen: the node's own data, and what only root could read.
fn hide(job: &Job) -> io::Result<()> {
    let mut covers: Vec<PathBuf> = job.spec.hide.clone();
    if job.uid == 0 {
        covers.extend(job.masks.iter().cloned());
    }
    if covers.is_empty() {
        return Ok(());
    }
    DirBuilder::new().mode(0o555).create("/empty")?;
    File::create("/nothing")?;
    fs::set_permissions("/nothing", Permissions::from_mode(0o000))?;
    // What is bound from here is like this from the start.
    sys::mount_setattr(Path::new("/"), READ_ONLY, false)?;
    for path in covers {
        let to = inside(&path)?;
        let Ok(found) = fs::symlink_metadata(&to) else {
            continue;
        };
        if found.is_symlink() {
            continue;
        }
        let from = if found.is_dir() { "/empty" } else { "/nothing" };
        sys::mount(Path::new(from), &to, NONE, libc::MS_BIND, NONE)?;
    }
    Ok(())
}

fn leave() -> io::Result<()> {
    std::env::set_current_dir(NEW)?;
    sys::pivot_root(Path::new("."), Path::new("."))?;
    sys::detach(Path::new("."))?;
    std::env::set_current_dir("/")
}

fn inside(path: &Path) -> io::Result<PathBuf> {
    below(NEW, path)
}

fn outside(path: &Path) -> io::Result<PathBuf> {
    below(OLD, path)
}

/// An absolute path below another root; `..` is not for paths that we were given in their final form.
fn below(root: &str, path: &Path) -> io::Result<PathBuf> {
    let mut whole = PathBuf::from(root);
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => whole.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
        }
    }
    Ok(whole)
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn name(path: &Path) -> io::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
