//! What the system says of a file without reading it.

use rustix::fs::{AtFlags, FileType, Stat as RawStat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

/// Identity and age of a file: where none of it changed, the content did not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) device: u64,
    pub(crate) bytes: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) changed: i64,
}

/// A file, folder, link or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: FileType,
    /// The last nine bits.
    pub(crate) mode: u32,
    pub(crate) stamp: Stamp,
    /// What it takes on the disk, in bytes.
    pub(crate) allocated: u64,
    /// How many names it has.
    pub(crate) links: u64,
}

impl Stat {
    /// Whether it may have holes.
    pub(crate) fn is_sparse(&self) -> bool {
        self.allocated < self.stamp.bytes
    }

    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    pub(crate) fn of(raw: &RawStat) -> Self {
        let nanos = |seconds: i64, nanos: u64| {
            let nanos = i64::try_from(nanos).unwrap_or(0);
            seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
        };
        Self {
            kind: FileType::from_raw_mode(raw.st_mode),
            mode: raw.st_mode & 0o777,
            stamp: Stamp {
                inode: raw.st_ino,
                device: raw.st_dev,
                bytes: u64::try_from(raw.st_size).unwrap_or(0),
                modified: nanos(raw.st_mtime, raw.st_mtime_nsec),
                changed: nanos(raw.st_ctime, raw.st_ctime_nsec),
            },
            links: raw.st_nlink,
            allocated: u64::try_from(raw.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
        }
    }
}

/// What stands at a name, links not followed; nothing where nothing does.
pub(crate) fn look(folder: impl AsFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(raw) => Ok(Some(Stat::of(&raw))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
