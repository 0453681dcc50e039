//! System calls of the observer that have no safe wrapper. Each function is the thinnest possible one.

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts a filter on this process that asks the listener, which is the answer.
pub(super) fn install_listener(
    program: &[libc::sock_filter],
    flags: libc::c_ulong,
) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads as many instructions as there are, and keeps nothing of them.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | flags,
            &raw const program,
        )
    };
    owned(check(listener)?)
}

/// Lets the kernel change to the answering process at once instead of waking it up for later.
pub(super) fn wake_at_once(listener: BorrowedFd<'_>) -> io::Result<()> {
    const SYNC_WAKE_UP: libc::c_ulong = 1;
    let request = libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS;
    // SAFETY: the argument is a plain integer.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), request, SYNC_WAKE_UP) }.into()).map(drop)
}

/// The next notification of a listener; waits for it.
pub(super) fn receive(listener: BorrowedFd<'_>) -> io::Result<libc::seccomp_notif> {
    // SAFETY: all zeroes is a valid value, and what the kernel asks for.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
    // SAFETY: the struct is the one that this request fills.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut notification) }.into())?;
    Ok(notification)
}

/// Whether the process that a notification is about still waits for its answer.
pub(super) fn is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
    // SAFETY: the integer is what this request reads.
    unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw const id) == 0 }
}

/// Lets the call of a notification go on.
pub(super) fn go_on(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    let response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1),
    };
    let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
    // SAFETY: the struct is the one that this request reads.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw const response) }.into())
        .map(drop)
}

/// Reads from the memory of another process; how much of the buffer was filled.
pub(super) fn read_memory(pid: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let remote = libc::iovec {
        iov_base: ptr::without_provenance_mut(usize::try_from(address).map_err(io::Error::other)?),
        iov_len: buffer.len(),
    };
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: the local part is our buffer; the remote one is checked by the kernel.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(read).map_err(io::Error::other)
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(super) struct Signals(libc::sigset_t);

impl Signals {
    pub(super) fn all() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset makes the set valid.
        Self(unsafe {
            libc::sigfillset(set.as_mut_ptr());
            set.assume_init()
        })
    }

    pub(super) fn none() -> Self {
        // No signal has this number.
        Self::only(0)
    }

    pub(super) fn only(signal: libc::c_int) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset makes the set valid; a wrong number would change nothing.
        Self(unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), signal);
            set.assume_init()
        })
    }

    fn contains(&self, signal: libc::c_int) -> bool {
        // SAFETY: the set is valid.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// Blocks these signals and no others; which ones were blocked before.
    pub(super) fn block(&self) -> io::Result<Self> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets live through the call, which makes the second one valid.
        unsafe {
            let set = libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, before.as_mut_ptr());
            check(set.into())?;
            Ok(Self(before.assume_init()))
        }
    }

    /// Makes a descriptor that is readable when one of them arrives.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is valid.
        owned(check(
            unsafe { libc::signalfd(-1, &raw const self.0, flags) }.into(),
        )?)
    }
}

/// The signals that wait for this process because it blocks them.
pub(super) fn pending_signals() -> io::Result<Vec<libc::c_int>> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call makes the set valid.
    let pending = unsafe {
        check(libc::sigpending(set.as_mut_ptr()).into())?;
        Signals(set.assume_init())
    };
    Ok((1..32).filter(|signal| pending.contains(*signal)).collect())
}

/// Does with a signal what a fresh program does.
pub(super) fn reset_signal(signal: libc::c_int) {
    // SAFETY: the default action is always valid; signals that cannot be set are left alone.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Reaps a child that has ended, if there is one; its id and raw status.
pub(super) fn reap() -> io::Result<Option<(libc::pid_t, libc::c_int)>> {
    let mut status = 0;
    // SAFETY: the status is ours.
    let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    check(ended.into())?;
    Ok((ended > 0).then_some((ended, status)))
}

/// Replaces this process, with its own environment; comes back only with a failure.
pub(super) fn execute(program: &OsStr, argv: &[CString]) -> io::Error {
    use std::os::unix::ffi::OsStrExt;
    let Ok(program) = CString::new(program.as_bytes()) else {
        return io::Error::from_raw_os_error(libc::EINVAL);
    };
    let pointers: Vec<*const libc::c_char> = argv
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect();
    // SAFETY: the list ends in null and its strings live until the process is replaced.
    unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Closes a descriptor that nothing here owns.
pub(super) fn close(descriptor: RawFd) {
    // SAFETY: the callers name descriptors that they inherited and that no value stands for.
    unsafe { libc::close(descriptor) };
}
