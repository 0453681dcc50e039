//! The zygote's own side: it forks the helpers, each of which takes the descriptors of one run from the
//! node, and ends with the node.

use super::super::sys;
use super::super::zygote::DESCRIPTORS;
use super::seccomp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Answers in each helper, with the descriptors of its run in the places 0, 1 and 2; in the zygote
/// itself never. There is always one helper ahead, which waits for its run.
pub(super) fn become_helper() -> io::Result<()> {
    // What the node's own parent left open is for nobody here.
    sys::close_from(3)?;
    seccomp::prepare();
    // Nobody waits for helpers: the node sees their sockets close.
    sys::ignore_children(true);
    // SAFETY: descriptor 0 is the socket to the node, and stays open until the process ends.
    let node = unsafe { BorrowedFd::borrow_raw(0) };
    loop {
        let (mut taken, taker) = io::pipe()?;
        if sys::clone_into(0, None)? > 0 {
            drop(taker);
            // It has a run now, or it died.
            taken.read_to_end(&mut Vec::new())?;
            if is_over(node)? {
                sys::exit(0);
            }
            continue;
        }
        drop(taken);
        sys::ignore_children(false);
        let Some(run) = receive(node)? else {
            sys::exit(0);
        };
        drop(taker);
        for (place, descriptor) in (0..).zip(&run) {
            sys::duplicate(descriptor.as_raw_fd(), place)?;
        }
        return Ok(());
    }
}

/// Whether the node is gone.
fn is_over(node: BorrowedFd<'_>) -> io::Result<bool> {
    let mut watched = [PollFd::new(&node, PollFlags::empty())];
    let now = Timespec::default();
    rustix::event::poll(&mut watched, Some(&now))?;
    Ok(watched[0].revents().contains(PollFlags::HUP))
}

/// The next run's descriptors; none once the node is gone.
fn receive(node: BorrowedFd<'_>) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let mut words = [IoSliceMut::new(&mut word)];
    let received = loop {
        match rustix::net::recvmsg(node, &mut words, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let run: Vec<OwnedFd> = rights.flatten().collect();
    if run.len() == DESCRIPTORS {
        Ok(Some(run))
    } else {
        Err(io::Error::from(io::ErrorKind::InvalidData))
    }
}
