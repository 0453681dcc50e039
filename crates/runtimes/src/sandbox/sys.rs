//! System calls that have no safe wrapper in our crates. Each function is the thinnest possible one.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub(crate) fn c_string(path: impl AsRef<[u8]>) -> io::Result<CString> {
    CString::new(path.as_ref()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn c_path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_bytes())
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of `clone3`, in its version of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into new namespaces, and into a control group of version 2; 0 in the child. Only for
/// single-threaded processes.
pub(crate) fn clone_into(
    namespaces: libc::c_int,
    group: Option<BorrowedFd<'_>>,
) -> io::Result<libc::pid_t> {
    let Some(group) = group else {
        let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
        // SAFETY: without CLONE_VM and a null stack this is a fork; the callers have one thread.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        return check(pid).map(|pid| libc::pid_t::try_from(pid).unwrap_or(-1));
    };
    let arguments = CloneArguments {
        flags: u64::from(namespaces.cast_unsigned()) | CLONE_INTO_CGROUP,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        cgroup: u64::try_from(group.as_raw_fd()).unwrap_or_default(),
        ..CloneArguments::default()
    };
    let size = size_of::<CloneArguments>();
    // SAFETY: without CLONE_VM and a stack this is a fork; the callers have one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size) };
    check(pid).map(|pid| libc::pid_t::try_from(pid).unwrap_or(-1))
}

/// Mounts; empty texts become null.
pub(crate) fn mount(
    source: &Path,
    target: &Path,
    kind: &str,
    flags: libc::c_ulong,
    options: &str,
) -> io::Result<()> {
    let (source, target) = (c_path(source)?, c_path(target)?);
    let (kind, options) = (c_string(kind)?, c_string(options)?);
    let or_null = |text: &CStr| {
        if text.is_empty() {
            ptr::null()
        } else {
            text.as_ptr()
        }
    };
    // SAFETY: all pointers are null or point to strings that live through the call.
    let result = unsafe {
        libc::mount(
            or_null(&source),
            target.as_ptr(),
            or_null(&kind),
            flags,
            or_null(&options).cast(),
        )
    };
    check(result.into()).map(drop)
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes of a mount and all mounts below it.
pub(crate) fn mount_setattr(target: &Path, set: u64, is_recursive: bool) -> io::Result<()> {
    let target = c_path(target)?;
    let attr = MountAttr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the struct has the kernel's layout and its size is passed along.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            if is_recursive { libc::AT_RECURSIVE } else { 0 },
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

pub(crate) fn pivot_root(new: &Path, old: &Path) -> io::Result<()> {
    let (new, old) = (c_path(new)?, c_path(old)?);
    // SAFETY: both strings live through the call.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, new.as_ptr(), old.as_ptr()) }).map(drop)
}

/// Moves this process into new namespaces. Only for single-threaded processes.
pub(crate) fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: a plain integer; without CLONE_FILES no descriptor of another thread is lost.
    check(unsafe { libc::unshare(namespaces) }.into()).map(drop)
}

pub(crate) fn detach(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: the string lives through the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// Becomes a user for good, with no other groups.
pub(crate) fn become_user(uid: u32, gid: u32, may_set_groups: bool) -> io::Result<()> {
    if may_set_groups {
        // SAFETY: an empty list of groups needs no memory.
        check(unsafe { libc::setgroups(0, ptr::null()) }.into())?;
    }
    // SAFETY: plain integers.
    check(unsafe { libc::setresgid(gid, gid, gid) }.into())?;
    // SAFETY: plain integers.
    check(unsafe { libc::setresuid(uid, uid, uid) }.into()).map(drop)
}

/// `prctl` with integer arguments.
pub(crate) fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take integers only.
    check(unsafe { libc::prctl(option, a, b, 0, 0) }.into()).map(drop)
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

/// Gives up capabilities for whatever is executed later, which takes one of them to do.
pub(crate) fn drop_bounding_capabilities() -> io::Result<()> {
    for capability in 0..64 {
        if let Err(error) = prctl(libc::PR_CAPBSET_DROP, capability, 0)
            && error.raw_os_error() != Some(libc::EINVAL)
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Gives up all capabilities: the ambient, inheritable, permitted and effective sets.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong,
        0,
    )?;
    let header = CapHeader {
        version: VERSION_3,
        pid: 0,
    };
    let none = [[0u32; 3]; 2];
    // SAFETY: version 3 takes a header and two triples, which is what is passed.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    check(result).map(drop)
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: nothing that the caller still uses is that high.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) }).map(drop)
}

/// Makes `to` another name of `from`, kept across exec.
pub(crate) fn duplicate(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: plain descriptors.
    check(unsafe { libc::dup2(from, to) }.into()).map(drop)
}

pub(crate) fn set_limit(resource: libc::c_uint, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is ours and has the right layout.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) }.into())?;
    limit.rlim_max = limit.rlim_max.min(value);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }.into()).map(drop)
}

/// Waits for a child (`-1` for any); its id and raw status.
pub(crate) fn wait(pid: libc::pid_t) -> io::Result<(libc::pid_t, libc::c_int)> {
    let mut status = 0;
    loop {
        // SAFETY: the status is ours.
        let ended = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        match check(ended.into()) {
            Ok(_) => return Ok((ended, status)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn kill(pid: libc::pid_t, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: plain integers.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Waits until a descriptor is readable or hung up, or the time is over; which of them are.
pub(crate) fn poll<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout_ms: i32,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let count = libc::nfds_t::try_from(N).map_err(io::Error::other)?;
    // SAFETY: the array has that many entries.
    match check(unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) }.into()) {
        Ok(_) => Ok(polled.map(|fd| fd.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
    }
}

/// Replaces this process; comes back only with a failure.
pub(crate) fn execute(argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter()
            .map(|text| text.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    let Some(&program) = argv.first().filter(|program| !program.is_null()) else {
        return io::Error::from(io::ErrorKind::InvalidInput);
    };
    // SAFETY: both lists end in null and their strings live until the process is replaced.
    unsafe { libc::execvpe(program, argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process without running anything more of it.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: it does not come back.
    unsafe { libc::_exit(code) }
}

/// Brings the loopback of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: plain integers.
    let socket = check(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    let socket = RawFd::try_from(socket).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).unwrap_or_default();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: the request lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(result.into()).map(drop)
}

pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the bytes live through the call.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into()).map(drop)
}

/// Puts signals back to what a fresh program expects.
pub(crate) fn reset_signals() {
    for signal in 1..32 {
        // SAFETY: the default action is always valid; signals that cannot be set are left alone.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: all zeroes is a valid, empty set once sigemptyset has run.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Puts a filter on system calls, which needs `no_new_privs`.
pub(crate) fn set_seccomp(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads as many instructions as there are, and keeps nothing of them.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(set).map(drop)
}

/// Whether the ends of child processes are of no interest, so that nobody has to wait for them.
pub(crate) fn ignore_children(is_ignored: bool) {
    let action = if is_ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: both actions are valid for this signal.
    unsafe { libc::signal(libc::SIGCHLD, action) };
}

pub(crate) fn new_session() {
    // SAFETY: no arguments; it fails only for a leader, which is as good.
    unsafe { libc::setsid() };
}

pub(crate) fn set_umask(mask: libc::mode_t) {
    // SAFETY: a plain integer.
    unsafe { libc::umask(mask) };
}
