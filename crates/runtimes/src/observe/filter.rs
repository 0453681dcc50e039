//! The program that makes the kernel ask before each call that takes a path.

use super::calls;
use crate::sandbox::bpf::{
    self, ARCHITECTURE, ARCHITECTURE_AT, AT_LEAST, EQUAL, Line, NUMBER, X32, assemble, number,
};

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// The call is one of this architecture.
    Ours,
    Ask,
    /// The call does not exist, so that programs fall back to another.
    Missing,
}

/// The program; none where it would be too long.
pub(super) fn program() -> Option<Vec<libc::sock_filter>> {
    assemble(&lines())
}

fn lines() -> Vec<Line<Label>> {
    use Label::{Ask, Missing, Ours};
    use Line::{Here, If, Load, Return};
    let mut lines = vec![
        Load(ARCHITECTURE_AT),
        If(EQUAL, ARCHITECTURE, Ours),
        // What other architectures' programs do is not understood, but counted.
        Return(libc::SECCOMP_RET_USER_NOTIF),
        Here(Ours),
        Load(NUMBER),
        If(AT_LEAST, X32, Missing),
        // What is asked for in its rings passes no filter.
        If(EQUAL, number(libc::SYS_io_uring_setup), Missing),
    ];
    lines.extend(calls::all().map(|call| If(EQUAL, number(call.number), Ask)));
    lines.extend([
        Return(libc::SECCOMP_RET_ALLOW),
        Here(Missing),
        Return(bpf::failure(libc::ENOSYS)),
        Here(Ask),
        Return(libc::SECCOMP_RET_USER_NOTIF),
    ]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(architecture: u32, call: u32) -> u32 {
        bpf::decide(&program().unwrap(), architecture, call, [0, 0])
    }

    #[test]
    fn it_asks_for_paths_and_for_nothing_else() {
        for call in calls::all() {
            let answer = decide(ARCHITECTURE, number(call.number));
            assert_eq!(answer, libc::SECCOMP_RET_USER_NOTIF, "{call:?}");
        }
        for call in [libc::SYS_read, libc::SYS_sendmsg, libc::SYS_close] {
            let answer = decide(ARCHITECTURE, number(call));
            assert_eq!(answer, libc::SECCOMP_RET_ALLOW, "{call}");
        }
    }

    #[test]
    fn no_call_goes_another_way() {
        let ring = decide(ARCHITECTURE, number(libc::SYS_io_uring_setup));
        assert_eq!(ring, bpf::failure(libc::ENOSYS));
        let x32 = decide(ARCHITECTURE, X32 | number(libc::SYS_openat));
        assert_eq!(x32, bpf::failure(libc::ENOSYS));
        assert_eq!(decide(0x4000_0003, 5), libc::SECCOMP_RET_USER_NOTIF);
    }
}
