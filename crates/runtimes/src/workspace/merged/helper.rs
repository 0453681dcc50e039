//! Opening a view where this process may not mount: this program, started again, makes a user namespace in
//! which it may, and passes the descriptor back.

use super::mounted;
use crate::sandbox::{WorkspaceMount, sys};
use crate::socket::Socket;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Serialize, Deserialize)]
struct Request {
    mount: WorkspaceMount,
    is_writable: bool,
}

/// What the helper says: nothing beside the descriptor, or the number of the system's error.
type Answer = Option<i32>;

/// Asks a helper. `exe` is this program, whose `main` calls [`view_main`] when the first argument is
/// `__view`.
pub(super) fn open(exe: &Path, mount: &WorkspaceMount, is_writable: bool) -> io::Result<OwnedFd> {
    let (ours, theirs) = Socket::pair()?;
    let request = Request {
        mount: mount.clone(),
        is_writable,
    };
    ours.send(&request, None)?;
    let mut helper = Command::new(exe)
        .arg("__view")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = ours.receive::<Answer>();
    helper.wait()?;
    match answer? {
        Some((None, Some(root))) => Ok(root),
        Some((Some(errno), _)) => Err(io::Error::from_raw_os_error(errno)),
        Some((None, None)) | None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

/// The whole life of a helper. Call it first in `main`, before any thread exists, when the first argument is
/// `__view`.
pub fn view_main() -> ! {
    // SAFETY: descriptor 0 is the socket that was passed, and nobody else owns it.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(0) });
    let (said, root): (Answer, _) = match answer(&socket) {
        Ok(root) => (None, Some(root)),
        Err(error) => (Some(error.raw_os_error().unwrap_or(libc::EIO)), None),
    };
    let told = socket.send(&said, root.as_ref().map(AsFd::as_fd));
    sys::exit(i32::from(told.is_err()))
}

fn answer(socket: &Socket) -> io::Result<OwnedFd> {
    let request = socket.receive::<Request>()?;
    let (request, _) = request.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))?;
    mounted(&request.mount, request.is_writable)
}
