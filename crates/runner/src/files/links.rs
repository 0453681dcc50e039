//! Where links lead, for commands: a view is seen by them at the folder's own path, so a link that names that
//! path stays in the view, where the system would take us to the folder itself.

use super::{Files, Stat};
use mainstay_tasks::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Links that follow each other, at most.
const LINKS_MAX: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Real {
    /// To this place, from the root, without links.
    At(Vec<u8>),
    /// To nothing.
    Missing,
    /// Out of the workspace.
    Outside,
}

impl Files {
    /// Where a path leads from the root, links followed as commands would.
    ///
    /// # Errors
    /// `ELOOP`, and what else the system says.
    pub(crate) fn real(&self, path: &[u8]) -> Result<Real, Errno> {
        let names = |path: &[u8]| -> Vec<Vec<u8>> {
            let names = path.split(|&byte| byte == b'/').rev();
            names.map(<[u8]>::to_vec).collect()
        };
        let mut rest = names(path);
        let mut at: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." if at.is_empty() => return Ok(Real::Outside),
                b".." => {
                    at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let here = match at.is_empty() {
                true => name,
                false => [&at[..], b"/", &name].concat(),
            };
            let target = match readlinkat(self.root(), here.as_slice(), Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::INVAL) => {
                    at = here;
                    continue;
                }
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Real::Missing),
                Err(errno) => return Err(errno),
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP);
            }
            let target = Path::new(OsStr::from_bytes(&target));
            let inner = match target.is_absolute() {
                false => target,
                true => match target.strip_prefix(&self.path) {
                    Ok(inner) => {
                        at.clear();
                        inner
                    }
                    Err(_) => return Ok(Real::Outside),
                },
            };
            rest.extend(names(inner.as_os_str().as_bytes()));
        }
        Ok(Real::At(at))
    }

    /// A path as commands see it, from the root where it is in the workspace.
    pub(crate) fn within<'p>(&self, path: &'p Path) -> &'p Path {
        match path.strip_prefix(&self.path) {
            Ok(inner) if self.is_view() && inner.as_os_str().is_empty() => Path::new("."),
            Ok(inner) if self.is_view() => inner,
            _ => path,
        }
    }

    /// What stands at a path as commands see it, links followed.
    pub(crate) fn look_at(&self, path: &Path) -> Result<Stat, Errno> {
        let raw = statat(self.root(), self.within(path), AtFlags::empty())?;
        Ok(Stat::of(&raw))
    }

    /// What to follow to get to the end of a link: the link itself, or in a view the place that it means for
    /// commands there; nothing where that is outside of it, or nowhere.
    pub(crate) fn end_of_link(&self, link: &Bytes) -> Result<Option<Vec<u8>>, Errno> {
        match self.is_view() {
            false => Ok(Some(link.0.clone())),
            true => match self.real(&link.0)? {
                Real::At(path) => Ok(Some(path)),
                Real::Missing | Real::Outside => Ok(None),
            },
        }
    }

    /// Where a folder really is, from the root; nothing where it is none, or outside.
    pub(crate) fn folder_at(&self, path: &[u8]) -> Option<Bytes> {
        if self.is_view() {
            return Some(Bytes(path.to_vec()));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(self.root(), path, flags, Mode::empty());
        let name = |fd: BorrowedFd<'_>| {
            let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
            std::fs::read_link(own).ok()
        };
        let folder = name(opened.ok()?.as_fd())?;
        let inner = folder.strip_prefix(name(self.root().as_fd())?).ok()?;
        Some(Bytes::from(inner.as_os_str().as_bytes()))
    }
}
