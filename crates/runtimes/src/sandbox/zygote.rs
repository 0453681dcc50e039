//! The node's side of the zygote: this program, started again once, which forks a helper for each run.
//!
//! Forking the node itself would be wrong, since it has threads; starting the program anew for each
//! run costs more than the rest of a start. The zygote has one thread and no state, so its forks are
//! as good as new. It is started when it is first needed, and again when it has died.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{self, IoSlice, PipeReader, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// What a run gets: the socket of its job and outcome, its output, its errors.
pub(super) const DESCRIPTORS: usize = 3;

/// How long the end of a zygote may take.
const END_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Zygote {
    exe: PathBuf,
    live: Mutex<Option<Live>>,
}

#[derive(Debug)]
struct Live {
    socket: UnixStream,
    /// Killed when the node forgets it.
    process: Child,
}

/// A helper that was asked for: it reads its job from the socket, and dies when the socket closes.
#[derive(Debug)]
pub(super) struct Helper {
    pub(super) socket: UnixStream,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
}

impl Zygote {
    pub(super) fn new(exe: PathBuf) -> Self {
        Self {
            exe,
            live: Mutex::default(),
        }
    }

    /// Forks a helper and gives it its job.
    pub(super) async fn fork(&self, job: &[u8]) -> io::Result<Helper> {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // What the socket holds is there before the helper asks.
        let written = ours.write(job).unwrap_or_default();
        let mut socket = UnixStream::from_std(ours)?;
        let (stdout, out) = io::pipe()?;
        let (stderr, err) = io::pipe()?;
        self.hand_over([theirs.as_fd(), out.as_fd(), err.as_fd()])
            .await?;
        socket.write_all(&job[written..]).await?;
        let receiver = |from: PipeReader| pipe::Receiver::from_owned_fd(OwnedFd::from(from));
        Ok(Helper {
            socket,
            stdout: receiver(stdout)?,
            stderr: receiver(stderr)?,
        })
    }

    /// Ends the zygote, and with it the helper that waits.
    pub(super) async fn end(&self) {
        if let Some(Live {
            socket,
            mut process,
        }) = self.live.lock().await.take()
        {
            drop(socket);
            // It is killed where it does not see that by itself.
            let _ended = tokio::time::timeout(END_LIMIT, process.wait()).await;
        }
    }

    async fn hand_over(&self, descriptors: [BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
        let mut live = self.live.lock().await;
        if let Some(zygote) = &*live
            && send(&zygote.socket, &descriptors).await.is_ok()
        {
            return Ok(());
        }
        let zygote = live.insert(self.start()?);
        send(&zygote.socket, &descriptors).await
    }

    fn start(&self) -> io::Result<Live> {
        let (socket, theirs) = std::os::unix::net::UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let process = Command::new(&self.exe)
            .arg("__sandbox")
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A terminal's interrupt is for the node, which ends its runs in good order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Live {
            socket: UnixStream::from_std(socket)?,
            process,
        })
    }
}

async fn send(socket: &UnixStream, descriptors: &[BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
    let sent = socket.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let _there_is_space = control.push(SendAncillaryMessage::ScmRights(descriptors));
        let word = [IoSlice::new(b"r")];
        Ok(rustix::net::sendmsg(
            socket,
            &word,
            &mut control,
            SendFlags::NOSIGNAL,
        )?)
    });
    sent.await.map(drop)
}
