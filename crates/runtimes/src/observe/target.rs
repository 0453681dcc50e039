//! What one notification asks for: paths in the memory of the process that asked, made absolute.

use super::calls::{Act, Call, Follow, Name, OpenFlags};
use super::intent::Intent;
use super::listener::Notification;
use super::sys;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PATH_BYTES_MAX: usize = 4096;
const PAGE_BYTES: usize = 4096;
/// Most paths are shorter.
const CHUNK_BYTES: usize = 256;

/// One path that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Absolute, otherwise as it was given.
    pub(super) path: PathBuf,
    pub(super) is_followed: bool,
    pub(super) intent: Intent,
}

/// The thread that asked.
pub(super) struct Target<'a>(pub(super) &'a Notification);

impl Target<'_> {
    /// What the call asks for, in the order in which the kernel does; none for paths that name nothing.
    pub(super) fn asked(&self, call: &Call) -> io::Result<Vec<Asked>> {
        let one = |name, is_followed, intent| {
            let path = self.path(name, intent == Intent::Execute)?;
            let asked = path.map(|path| Asked {
                path,
                is_followed,
                intent,
            });
            Ok(asked.into_iter().collect())
        };
        match call.act {
            Act::Open(name, flags) => {
                let flags = self.open_flags(flags)?;
                let is_new = flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
                let is_followed = !is_new && flags & libc::O_NOFOLLOW == 0;
                one(name, is_followed, Intent::Open(flags))
            }
            Act::Execute(name, follow) => one(name, self.follows(follow), Intent::Execute),
            Act::Look(name, follow) => one(name, self.follows(follow), Intent::Look),
            Act::ReadLink(name) => one(name, false, Intent::ReadLink),
            Act::Make(name) => one(name, false, Intent::Make),
            Act::Change(name, follow) => one(name, self.follows(follow), Intent::Change),
            Act::Remove(name) => one(name, false, Intent::Change),
            Act::Rename(from, to, flags) => {
                let flags = flags.map_or(0, |at| self.number(at).cast_unsigned());
                let intents = match flags {
                    flags if flags & libc::RENAME_EXCHANGE != 0 => (Intent::Move, Intent::Move),
                    flags if flags & libc::RENAME_NOREPLACE != 0 => (Intent::Move, Intent::Make),
                    _ => (Intent::Move, Intent::Replace),
                };
                Ok([one(from, false, intents.0)?, one(to, false, intents.1)?].concat())
            }
            Act::Link(from, to, follow) => {
                let from = one(from, self.follows(follow), Intent::Copy)?;
                Ok([from, one(to, false, Intent::Make)?].concat())
            }
        }
    }

    /// An argument that is an `int`: the lower half.
    fn number(&self, at: usize) -> libc::c_int {
        let low = self.argument(at) & u64::from(u32::MAX);
        u32::try_from(low).unwrap_or_default().cast_signed()
    }

    fn argument(&self, at: usize) -> u64 {
        self.0.data.args.get(at).copied().unwrap_or_default()
    }

    fn follows(&self, follow: Follow) -> bool {
        match follow {
            Follow::Always => true,
            #[cfg(target_arch = "x86_64")]
            Follow::Never => false,
            Follow::Unless(at, bit) => self.number(at) & bit == 0,
            Follow::When(at, bit) => self.number(at) & bit != 0,
        }
    }

    fn open_flags(&self, flags: OpenFlags) -> io::Result<libc::c_int> {
        Ok(match flags {
            OpenFlags::In(at) => self.number(at),
            #[cfg(target_arch = "x86_64")]
            OpenFlags::Are(flags) => flags,
            OpenFlags::Behind(at) => {
                let mut word = [0; 8];
                sys::read_memory(self.0.pid, self.argument(at), &mut word)?;
                let flags = u64::from_ne_bytes(word);
                // The kernel refuses what does not fit.
                libc::c_int::try_from(flags).unwrap_or_default()
            }
        })
    }

    /// The path of an argument, from the root on; none for an empty one, unless it names the folder.
    fn path(&self, name: Name, is_folder_named: bool) -> io::Result<Option<PathBuf>> {
        let text = self.text(self.argument(name.path))?;
        if text.is_empty() && !(is_folder_named && name.folder.is_some()) {
            return Ok(None);
        }
        let path = Path::new(OsStr::from_bytes(&text));
        if let Some((link, rest)) = self.own_link(path) {
            let base = fs::read_link(self.own(&link))?;
            return Ok(base.is_absolute().then(|| join(base, rest)));
        }
        if path.is_absolute() {
            return Ok(Some(path.to_owned()));
        }
        let folder = match name.folder.map(|at| self.number(at)) {
            None | Some(libc::AT_FDCWD) => "cwd".to_owned(),
            Some(descriptor) => format!("fd/{descriptor}"),
        };
        // A descriptor that is none fails in the call as well.
        let base = match fs::read_link(self.own(&folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            base => base?,
        };
        Ok(base.is_absolute().then(|| join(base, path)))
    }

    /// A link in its folder of `/proc`.
    fn own(&self, link: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{link}", self.0.pid))
    }

    /// Paths that lead through the asking process itself: the link below its folder in `/proc`, and what
    /// comes after it.
    fn own_link<'a>(&self, path: &'a Path) -> Option<(String, &'a Path)> {
        for (name, descriptor) in [("stdin", 0), ("stdout", 1), ("stderr", 2)] {
            if path == Path::new("/dev").join(name) {
                return Some((format!("fd/{descriptor}"), Path::new("")));
            }
        }
        let inside = path.strip_prefix("/proc/self");
        let inside = inside.or_else(|_| path.strip_prefix("/proc/thread-self"));
        let below = match (inside, path.strip_prefix("/dev/fd")) {
            (Ok(inside), _) => {
                if let Ok(rest) = inside.strip_prefix("cwd") {
                    return Some(("cwd".to_owned(), rest));
                }
                inside.strip_prefix("fd").ok()?
            }
            (_, Ok(below)) => below,
            _ => return None,
        };
        let mut parts = below.components();
        let descriptor = parts.next()?.as_os_str().to_str()?;
        Some((format!("fd/{descriptor}"), parts.as_path()))
    }

    /// A text in its memory, up to its zero. It may end just before memory that is not there, so no read
    /// goes past the end of a page.
    fn text(&self, mut address: u64) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while address != 0 && text.len() < PATH_BYTES_MAX {
            let mut chunk = [0; CHUNK_BYTES];
            let offset = usize::try_from(address % PAGE_BYTES as u64).map_err(io::Error::other)?;
            let length = CHUNK_BYTES.min(PAGE_BYTES - offset);
            let read = sys::read_memory(self.0.pid, address, &mut chunk[..length])?;
            let read = &chunk[..read];
            if let Some(end) = read.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&read[..end]);
                return Ok(text);
            }
            text.extend_from_slice(read);
            address += read.len() as u64;
        }
        Ok(text)
    }
}

/// Keeps the slash at the end, which asks for a folder.
fn join(base: PathBuf, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        base
    } else {
        base.join(rest)
    }
}
