//! What a call asks of a path, judged by what is there.

use super::report::Access;
use rustix::fs::FileType;

/// What a call wants with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// With these flags.
    Open(libc::c_int),
    Execute,
    Look,
    ReadLink,
    /// To make what must not be there yet.
    Make,
    /// To put something in its place.
    Replace,
    /// To change or remove what must be there.
    Change,
    /// To take it away and show it elsewhere.
    Move,
    /// To show it elsewhere too.
    Copy,
}

/// What there is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) file_type: FileType,
    pub(super) is_executable: bool,
}

/// What is asked of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) read: bool,
    pub(super) written: bool,
    pub(super) executed: bool,
    looked_for: bool,
    listed: bool,
}

impl Kinds {
    const NONE: Self = Self {
        read: false,
        written: false,
        executed: false,
        looked_for: false,
        listed: false,
    };
    pub(super) const READ: Self = Self {
        read: true,
        ..Self::NONE
    };
    const WRITTEN: Self = Self {
        written: true,
        ..Self::NONE
    };
    const MOVED: Self = Self {
        read: true,
        ..Self::WRITTEN
    };
    const EXECUTED: Self = Self {
        executed: true,
        ..Self::NONE
    };
    const LOOKED_FOR: Self = Self {
        looked_for: true,
        ..Self::NONE
    };
    const LISTED: Self = Self {
        listed: true,
        ..Self::NONE
    };

    /// Whether what is there makes a difference to the command beyond its being there.
    pub(super) fn is_use(self) -> bool {
        self.read || self.executed || self.listed
    }

    /// Adds them to what was asked before.
    pub(super) fn add_to(self, access: &mut Access) {
        access.read |= self.read;
        access.written |= self.written;
        access.executed |= self.executed;
        access.looked_for |= self.looked_for;
        access.listed |= self.listed;
    }
}

impl Intent {
    /// Whether it fails where nothing is.
    pub(super) fn needs_presence(self) -> bool {
        match self {
            Self::Open(flags) => flags & libc::O_CREAT == 0,
            Self::Make | Self::Replace => false,
            Self::Execute
            | Self::Look
            | Self::ReadLink
            | Self::Change
            | Self::Move
            | Self::Copy => true,
        }
    }

    /// What it comes to, given what is there and, where nothing is, whether the folder above is.
    pub(super) fn kinds(self, found: Option<Found>, has_folder: impl FnOnce() -> bool) -> Kinds {
        let Some(found) = found else {
            return if !self.needs_presence() && has_folder() {
                Kinds::WRITTEN
            } else {
                Kinds::LOOKED_FOR
            };
        };
        match self {
            Self::Open(flags) => opened(flags, found.file_type),
            Self::Execute if found.is_executable => Kinds::EXECUTED,
            Self::ReadLink if found.file_type == FileType::Symlink => Kinds::READ,
            Self::Replace | Self::Change => Kinds::WRITTEN,
            Self::Move => Kinds::MOVED,
            Self::Copy => Kinds::READ,
            Self::Execute | Self::ReadLink | Self::Look | Self::Make => Kinds::LOOKED_FOR,
        }
    }
}

/// What an open of something that is there comes to.
fn opened(flags: libc::c_int, file_type: FileType) -> Kinds {
    let has = |flag: libc::c_int| flags & flag == flag;
    let is_writing = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let fails = match file_type {
        FileType::Directory => is_writing || has(libc::O_CREAT),
        FileType::Symlink => true,
        _ => has(libc::O_DIRECTORY) || has(libc::O_CREAT | libc::O_EXCL),
    };
    if fails || has(libc::O_PATH) || has(libc::O_TMPFILE) {
        return Kinds::LOOKED_FOR;
    }
    if file_type == FileType::Directory {
        return Kinds::LISTED;
    }
    let is_emptied = has(libc::O_TRUNC);
    Kinds {
        read: flags & libc::O_ACCMODE != libc::O_WRONLY && !(is_writing && is_emptied),
        written: is_writing || is_emptied,
        ..Kinds::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Found = Found {
        file_type: FileType::RegularFile,
        is_executable: false,
    };

    #[test]
    fn opening_a_file_reads_or_writes_it() {
        let open = |flags| Intent::Open(flags).kinds(Some(FILE), || true);
        assert_eq!(open(libc::O_RDONLY | libc::O_CLOEXEC), Kinds::READ);
        assert_eq!(open(libc::O_WRONLY | libc::O_TRUNC), Kinds::WRITTEN);
        assert_eq!(open(libc::O_WRONLY | libc::O_APPEND), Kinds::WRITTEN);
        assert_eq!(open(libc::O_RDWR), Kinds::MOVED);
        assert_eq!(open(libc::O_RDWR | libc::O_TRUNC), Kinds::WRITTEN);
        for flags in [
            libc::O_PATH,
            libc::O_DIRECTORY,
            libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
        ] {
            assert_eq!(open(flags), Kinds::LOOKED_FOR, "{flags:o}");
        }
    }

    #[test]
    fn what_is_absent_is_made_where_it_can_be_and_else_looked_for() {
        let create = Intent::Open(libc::O_WRONLY | libc::O_CREAT);
        assert_eq!(create.kinds(None, || true), Kinds::WRITTEN);
        assert_eq!(create.kinds(None, || false), Kinds::LOOKED_FOR);
        let read = Intent::Open(libc::O_RDONLY);
        assert_eq!(read.kinds(None, || true), Kinds::LOOKED_FOR);
        assert_eq!(
            Intent::Execute.kinds(Some(FILE), || true),
            Kinds::LOOKED_FOR
        );
    }

    #[test]
    fn folders_are_listed() {
        let folder = Found {
            file_type: FileType::Directory,
            is_executable: false,
        };
        let open = |flags| Intent::Open(flags).kinds(Some(folder), || true);
        assert_eq!(open(libc::O_RDONLY), Kinds::LISTED);
        assert_eq!(open(libc::O_RDONLY | libc::O_DIRECTORY), Kinds::LISTED);
        assert_eq!(open(libc::O_RDWR | libc::O_TMPFILE), Kinds::LOOKED_FOR);
    }
}
