//! The system calls that take paths, and where in their arguments these are.

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: libc::c_long,
    pub(super) act: Act,
}

/// What a call does, with the places of the arguments that say more.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Open(Name, OpenFlags),
    Execute(Name, Follow),
    Look(Name, Follow),
    ReadLink(Name),
    /// Makes what must not be there yet.
    Make(Name),
    /// Changes what must be there.
    Change(Name, Follow),
    Remove(Name),
    Rename(Name, Name, Option<Argument>),
    Link(Name, Name, Follow),
}

/// The place of an argument.
pub(super) type Argument = usize;

/// A path, and the folder that it begins at: a descriptor's, or the working folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) folder: Option<Argument>,
    pub(super) path: Argument,
}

/// Where the flags of an `open` are.
#[derive(Debug, Clone, Copy)]
pub(super) enum OpenFlags {
    In(Argument),
    /// At the beginning of a struct.
    Behind(Argument),
    #[cfg(target_arch = "x86_64")]
    Are(libc::c_int),
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follow {
    Always,
    #[cfg(target_arch = "x86_64")]
    Never,
    /// Unless the argument has this bit.
    Unless(Argument, libc::c_int),
    /// When the argument has this bit.
    When(Argument, libc::c_int),
}

const fn at(folder: Argument, path: Argument) -> Name {
    let folder = Some(folder);
    Name { folder, path }
}

const fn unless(argument: Argument) -> Follow {
    Follow::Unless(argument, libc::AT_SYMLINK_NOFOLLOW)
}

const fn call(number: libc::c_long, act: Act) -> Call {
    Call { number, act }
}

/// Since Linux 6.6.
const SYS_FCHMODAT2: libc::c_long = 452;

const FIRST: Name = at(0, 1);

/// Those of every architecture.
const COMMON: &[Call] = &[
    call(libc::SYS_openat, Act::Open(FIRST, OpenFlags::In(2))),
    call(libc::SYS_openat2, Act::Open(FIRST, OpenFlags::Behind(2))),
    call(libc::SYS_execveat, Act::Execute(FIRST, unless(4))),
    call(libc::SYS_newfstatat, Act::Look(FIRST, unless(3))),
    call(libc::SYS_statx, Act::Look(FIRST, unless(2))),
    call(libc::SYS_faccessat, Act::Look(FIRST, Follow::Always)),
    call(libc::SYS_faccessat2, Act::Look(FIRST, unless(3))),
    call(libc::SYS_readlinkat, Act::ReadLink(FIRST)),
    call(libc::SYS_mkdirat, Act::Make(FIRST)),
    call(libc::SYS_mknodat, Act::Make(FIRST)),
    call(libc::SYS_symlinkat, Act::Make(at(1, 2))),
    call(libc::SYS_fchmodat, Act::Change(FIRST, Follow::Always)),
    call(SYS_FCHMODAT2, Act::Change(FIRST, unless(3))),
    call(libc::SYS_fchownat, Act::Change(FIRST, unless(4))),
    call(libc::SYS_utimensat, Act::Change(FIRST, unless(3))),
    call(libc::SYS_unlinkat, Act::Remove(FIRST)),
    call(libc::SYS_renameat2, Act::Rename(FIRST, at(2, 3), Some(4))),
    call(
        libc::SYS_linkat,
        Act::Link(FIRST, at(2, 3), Follow::When(4, libc::AT_SYMLINK_FOLLOW)),
    ),
    call(libc::SYS_execve, Act::Execute(working(0), Follow::Always)),
    call(libc::SYS_truncate, Act::Change(working(0), Follow::Always)),
    call(libc::SYS_renameat, Act::Rename(FIRST, at(2, 3), None)),
];

const fn working(path: Argument) -> Name {
    Name { folder: None, path }
}

/// Those that newer architectures do without.
#[cfg(target_arch = "x86_64")]
const OLD: &[Call] = {
    use Follow::{Always, Never};
    const CREATE: libc::c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    const PATH: Name = working(0);
    &[
        call(libc::SYS_open, Act::Open(PATH, OpenFlags::In(1))),
        call(libc::SYS_creat, Act::Open(PATH, OpenFlags::Are(CREATE))),
        call(libc::SYS_stat, Act::Look(PATH, Always)),
        call(libc::SYS_lstat, Act::Look(PATH, Never)),
        call(libc::SYS_access, Act::Look(PATH, Always)),
        call(libc::SYS_readlink, Act::ReadLink(PATH)),
        call(libc::SYS_mkdir, Act::Make(PATH)),
        call(libc::SYS_mknod, Act::Make(PATH)),
        call(libc::SYS_symlink, Act::Make(working(1))),
        call(libc::SYS_chmod, Act::Change(PATH, Always)),
        call(libc::SYS_chown, Act::Change(PATH, Always)),
        call(libc::SYS_lchown, Act::Change(PATH, Never)),
        call(libc::SYS_utime, Act::Change(PATH, Always)),
        call(libc::SYS_utimes, Act::Change(PATH, Always)),
        call(libc::SYS_futimesat, Act::Change(FIRST, Always)),
        call(libc::SYS_unlink, Act::Remove(PATH)),
        call(libc::SYS_rmdir, Act::Remove(PATH)),
        call(libc::SYS_rename, Act::Rename(PATH, working(1), None)),
        call(libc::SYS_link, Act::Link(PATH, working(1), Never)),
    ]
};
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[Call] = &[];

/// All of them, the frequent ones first.
pub(super) fn all() -> impl Iterator<Item = &'static Call> {
    COMMON.iter().chain(OLD)
}

/// The one with this number.
pub(super) fn find(number: libc::c_int) -> Option<&'static Call> {
    all().find(|call| call.number == libc::c_long::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_there_once() {
        for call in all() {
            let same = all().filter(|other| other.number == call.number);
            assert_eq!(same.count(), 1, "{call:?}");
        }
    }
}
