//! Where a path leads, as the command sees the files: in its own root and mount namespace.

use super::intent::Found;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// As the kernel has it.
const LINKS_MAX: usize = 40;

/// The files as one process sees them.
pub(super) struct View(OwnedFd);

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The place itself, with no link in it that was followed.
    pub(super) path: PathBuf,
    /// The links on the way, each where it is.
    pub(super) links: Vec<PathBuf>,
    /// What is there.
    pub(super) found: Option<Found>,
}

impl View {
    /// The files as a process sees them now.
    pub(super) fn of(process: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = format!("/proc/{process}/root");
        Ok(Self(rustix::fs::open(root, flags, Mode::empty())?))
    }

    /// Follows an absolute path; of a link at its end only where that is asked.
    pub(super) fn resolve(&self, path: &Path, is_followed: bool) -> Resolved {
        let is_followed = is_followed || path.as_os_str().as_bytes().ends_with(b"/");
        // One call where there is no link, which is nearly always so.
        match self.look(path, is_followed) {
            Ok((_, found)) => Resolved {
                path: normal(path),
                links: Vec::new(),
                found: Some(found),
            },
            Err(Errno::NOENT | Errno::NOTDIR) => Resolved {
                path: normal(path),
                links: Vec::new(),
                found: None,
            },
            Err(_) => self.walk(path, is_followed),
        }
    }

    /// What is at a path without links; one at its end is itself what is there, unless it would be
    /// followed, which fails.
    fn look(&self, path: &Path, is_followed: bool) -> Result<(OwnedFd, Found), Errno> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if !is_followed {
            flags |= OFlags::NOFOLLOW;
        }
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let file = rustix::fs::openat2(&self.0, path, flags, Mode::empty(), how)?;
        let stat = rustix::fs::fstat(&file)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let is_executable = file_type == FileType::RegularFile && stat.st_mode & 0o111 != 0;
        let found = Found {
            file_type,
            is_executable,
        };
        Ok((file, found))
    }

    /// Follows a path part by part.
    fn walk(&self, path: &Path, is_followed: bool) -> Resolved {
        let mut todo = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = Vec::new();
        let mut found = None;
        while let Some(part) = todo.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(part);
            let Ok((file, here)) = self.look(&next, false) else {
                at = next;
                while let Some(part) = todo.pop() {
                    step(&mut at, &part);
                }
                found = None;
                break;
            };
            let is_entered = here.file_type == FileType::Symlink
                && (is_followed || !todo.is_empty())
                && links.len() < LINKS_MAX;
            let target = is_entered.then(|| rustix::fs::readlinkat(&file, "", Vec::new()));
            if let Some(Ok(target)) = target {
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                todo.extend(parts(&target));
                links.push(next);
                found = None;
            } else {
                at = next;
                found = Some(here);
            }
        }
        // Left empty where `..` or `/` came last: folders, both.
        let found = found.or_else(|| self.look(&at, false).ok().map(|(_, found)| found));
        Resolved {
            path: at,
            links,
            found,
        }
    }

    /// Whether something is there.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.look(path, false).is_ok()
    }

    /// Opens a file for reading.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let how = ResolveFlags::IN_ROOT;
        let file = rustix::fs::openat2(&self.0, path, flags, Mode::empty(), how)?;
        Ok(File::from(file))
    }
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect();
    parts.reverse();
    parts
}

fn step(at: &mut PathBuf, part: &OsStr) {
    if part == ".." {
        at.pop();
    } else {
        at.push(part);
    }
}

/// A path without `.`, `..` and doubled slashes.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut at = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                at.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    at
}
