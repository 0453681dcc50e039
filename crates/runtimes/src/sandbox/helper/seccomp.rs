//! The list of system calls that a tool is denied, as a program for the kernel.
//!
//! The kernel checks and compiles the program at every start, in time that grows with its length, so
//! it is as short as it can be: one comparison for each call, and shared ends.

use super::super::bpf::{
    self, ANY_BIT, ARCHITECTURE, ARCHITECTURE_AT, AT_LEAST, EQUAL, FIRST_ARGUMENT, Line, NUMBER,
    SECOND_ARGUMENT, X32,
};
use super::super::sys;
use super::{Failed, Step};
use std::io;
use std::sync::OnceLock;

/// System calls that no tool needs and that have opened kernels before; they fail with EPERM.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_open_by_handle_at,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_syslog,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_personality,
];

/// Namespaces that `clone` must not make; its flags cannot be read in `clone3`, which is denied whole.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Kinds of sockets that programs use.
const SOCKETS: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Puts characters into a terminal's input.
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// A place to jump to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// The call is one of this architecture.
    Ours,
    Allow,
    Deny,
    /// The call does not exist, so that programs fall back to another.
    Missing,
    Clone,
    Ioctl,
    Socket,
}

/// Denies the calls to this process and its children, for good.
pub(super) fn restrict() -> Result<(), Failed> {
    let program = PROGRAM.get_or_init(|| bpf::assemble(&lines()));
    let program = program
        .as_ref()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        .step("setting up seccomp")?;
    sys::set_seccomp(program).step("setting up seccomp")
}

/// Worked out by the zygote, for all its helpers.
static PROGRAM: OnceLock<Option<Vec<libc::sock_filter>>> = OnceLock::new();

/// Does what is the same for all runs.
pub(super) fn prepare() {
    PROGRAM.get_or_init(|| bpf::assemble(&lines()));
}

fn lines() -> Vec<Line<Label>> {
    use Label::{Allow, Clone, Deny, Ioctl, Missing, Ours, Socket};
    use Line::{Here, If, Load, Return};
    use bpf::number;
    let mut lines = vec![
        Load(ARCHITECTURE_AT),
        If(EQUAL, ARCHITECTURE, Ours),
        Return(libc::SECCOMP_RET_KILL_PROCESS),
        Here(Ours),
        Load(NUMBER),
        If(AT_LEAST, X32, Missing),
        // Its flags are behind a pointer and cannot be read.
        If(EQUAL, number(libc::SYS_clone3), Missing),
    ];
    let forbidden = FORBIDDEN.iter();
    lines.extend(forbidden.map(|&call| If(EQUAL, number(call), Deny)));
    lines.extend([
        If(EQUAL, number(libc::SYS_clone), Clone),
        If(EQUAL, number(libc::SYS_ioctl), Ioctl),
        If(EQUAL, number(libc::SYS_socket), Socket),
        Return(libc::SECCOMP_RET_ALLOW),
        Here(Clone),
        Load(FIRST_ARGUMENT),
        If(ANY_BIT, NAMESPACES.cast_unsigned(), Deny),
        Return(libc::SECCOMP_RET_ALLOW),
        Here(Ioctl),
        Load(SECOND_ARGUMENT),
        If(EQUAL, TIOCSTI, Deny),
        If(EQUAL, TIOCLINUX, Deny),
        Return(libc::SECCOMP_RET_ALLOW),
        Here(Socket),
        Load(FIRST_ARGUMENT),
    ]);
    let families = SOCKETS.iter();
    lines.extend(families.map(|family| If(EQUAL, family.cast_unsigned(), Allow)));
    lines.extend([
        Here(Deny),
        Return(bpf::failure(libc::EPERM)),
        Here(Missing),
        Return(bpf::failure(libc::ENOSYS)),
        Here(Allow),
        Return(libc::SECCOMP_RET_ALLOW),
    ]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

    fn decide(architecture: u32, call: u32, arguments: [u32; 2]) -> u32 {
        bpf::decide(
            &bpf::assemble(&lines()).unwrap(),
            architecture,
            call,
            arguments,
        )
    }

    fn call(number: libc::c_long, arguments: [u32; 2]) -> u32 {
        decide(ARCHITECTURE, u32::try_from(number).unwrap(), arguments)
    }

    #[test]
    fn every_forbidden_call_is_denied_and_ordinary_ones_are_not() {
        for number in FORBIDDEN {
            assert_eq!(call(*number, [0, 0]), EPERM, "{number}");
        }
        for number in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat] {
            assert_eq!(call(number, [0, 0]), ALLOW, "{number}");
        }
    }

    #[test]
    fn arguments_decide_where_only_some_uses_are_harmful() {
        let threads = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        assert_eq!(call(libc::SYS_clone, [threads.cast_unsigned(), 0]), ALLOW);
        let user = libc::CLONE_NEWUSER | libc::SIGCHLD;
        assert_eq!(call(libc::SYS_clone, [user.cast_unsigned(), 0]), EPERM);
        assert_eq!(call(libc::SYS_ioctl, [0, 0x5401]), ALLOW);
        assert_eq!(call(libc::SYS_ioctl, [0, TIOCSTI]), EPERM);
        let packet = libc::AF_PACKET.cast_unsigned();
        assert_eq!(call(libc::SYS_socket, [packet, 0]), EPERM);
        assert_eq!(call(libc::SYS_socket, [2, 0]), ALLOW);
    }

    #[test]
    fn other_ways_to_ask_lead_nowhere() {
        assert_eq!(call(libc::SYS_clone3, [0, 0]), ENOSYS);
        let x32 = X32 | u32::try_from(libc::SYS_mount).unwrap();
        assert_eq!(decide(ARCHITECTURE, x32, [0, 0]), ENOSYS);
        let i386 = decide(0x4000_0003, 21, [0, 0]);
        assert_eq!(i386, libc::SECCOMP_RET_KILL_PROCESS);
    }
}
