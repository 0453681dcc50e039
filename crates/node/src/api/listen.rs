//! Listening: a unix socket for the owner, TCP for whoever has the key, and an end in good order.

use super::guard::{Access, HostName};
use super::key::Key;
use super::room;
use super::router::router_until;
use crate::Node;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mainstay_contract::{Code, Coded, ErrorReport};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long the head of a request may take to arrive, and an idle connection is kept.
const HEAD: Duration = Duration::from_secs(20);
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How many connections at a time hear that the node stops, while requests in flight end.
const LATE_MAX: usize = 64;
/// How long to wait when the system has no room for another connection.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Where to listen.
#[derive(Debug, Clone, Default)]
pub struct Listen {
    /// A unix socket, open to this user only.
    pub unix: Option<PathBuf>,
    /// An address; port 0 lets the system choose.
    pub tcp: Option<SocketAddr>,
    /// The file with the key for TCP, made where it is missing. TCP cannot do without.
    pub key: Option<PathBuf>,
    /// Names that TCP is reached by, beside its address.
    pub hosts: Vec<HostName>,
}

/// Why a node cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TCP without a file for its key.
    #[error("listening on {address} needs a key, and no file for one was named")]
    KeyMissing {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The key cannot be used.
    #[error("the key file {path} cannot be used: {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Tcp {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {error}")]
    Unix {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process answers on the socket.
    #[error("another node answers on {path}")]
    Taken {
        /// The socket.
        path: PathBuf,
    },
}

impl Coded for ServeError {
    fn code(&self) -> Code {
        match self {
            Self::Taken { .. } => Code::StoreLocked,
            Self::KeyMissing { .. } | Self::Key { .. } | Self::Tcp { .. } | Self::Unix { .. } => {
                Code::InvalidRequest
            }
        }
    }

    fn report(&self) -> ErrorReport {
        let report = ErrorReport::new(self.code(), self.to_string());
        match self {
            Self::Tcp { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                report.hint("something else listens there; choose another with --listen")
            }
            Self::Tcp { .. } => report.hint("choose another address with --listen"),
            Self::Taken { .. } => report.hint("talk to that node, or choose another --data-dir"),
            _ => report,
        }
    }
}

/// Listeners that are open and not yet answered.
#[derive(Debug)]
pub struct Bound {
    unix: Option<(UnixListener, SocketFile)>,
    tcp: Option<(TcpListener, Access)>,
}

/// Opens the listeners. Callers wait from now on; [`Bound::serve`] answers them.
///
/// # Errors
/// [`ServeError`].
pub async fn bind(listen: Listen) -> Result<Bound, ServeError> {
    let tcp = match listen.tcp {
        None => None,
        Some(address) => {
            let path = listen.key.ok_or(ServeError::KeyMissing { address })?;
            let key = Key::load(&path)?;
            let failed = |error| ServeError::Tcp { address, error };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let hosts = listen.hosts;
            Some((
                listener,
                Access::Key {
                    key,
                    address,
                    hosts,
                },
            ))
        }
    };
    let unix = match listen.unix {
        None => None,
        Some(path) => Some(bind_unix(path).await?),
    };
    Ok(Bound { unix, tcp })
}

/// Opens the listeners and answers until `shutdown` ends, with how long requests in flight may take to end then.
///
/// # Errors
/// [`ServeError`] where the listeners cannot be opened.
pub async fn serve(
    node: Node,
    listen: Listen,
    shutdown: impl Future<Output = Duration> + Send,
) -> Result<(), ServeError> {
    bind(listen).await?.serve(node, shutdown).await
}

/// The file of a socket; removed when the listener goes, unless it is another's by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _absent = std::fs::remove_file(&self.path);
        }
    }
}

async fn bind_unix(path: PathBuf) -> Result<(UnixListener, SocketFile), ServeError> {
    if UnixStream::connect(&path).await.is_ok() {
        return Err(ServeError::Taken { path });
    }
    match place_socket(&path) {
        Ok((listener, inode)) => Ok((listener, SocketFile { path, inode })),
        Err(error) => Err(ServeError::Unix { path, error }),
    }
}

/// Makes the socket beside its place and moves it there, so that nobody finds it open to others, and
/// one that a dead node left is replaced.
fn place_socket(path: &Path) -> io::Result<(UnixListener, u64)> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| !is_socket(&found)) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
    let inode = std::fs::symlink_metadata(&draft)?.ino();
    std::fs::rename(&draft, path)?;
    Ok((listener, inode))
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

impl Bound {
    /// The address of the TCP listener.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        let (_, access) = self.tcp.as_ref()?;
        match access {
            Access::Key { address, .. } => Some(*address),
            Access::Owner => None,
        }
    }

    /// Answers until `shutdown` ends, as many callers at a time as this process may open files for, which it
    /// raises as far as it may. Then streams of events end with a comment, and requests in flight go on for as
    /// long as `shutdown` says; who comes meanwhile is told that the node stops.
    ///
    /// # Errors
    /// None at present; a listener that fails for a moment is tried again.
    pub async fn serve(
        self,
        node: Node,
        shutdown: impl Future<Output = Duration> + Send,
    ) -> Result<(), ServeError> {
        let (stop, stopped) = watch::channel(false);
        room::raise_files();
        let mut listeners = JoinSet::new();
        let mut socket_file = None;
        if let Some((listener, file)) = self.unix {
            let app = router_until(node.clone(), Access::Owner, stopped.clone());
            listeners.spawn(accept(
                Door::Unix(listener),
                app,
                room::OWNER,
                stopped.clone(),
            ));
            socket_file = Some(file);
        }
        if let Some((listener, access)) = self.tcp {
            let app = router_until(node, access, stopped.clone());
            listeners.spawn(accept(Door::Tcp(listener), app, room::callers(), stopped));
        }
        let drain = shutdown.await;
        drop(socket_file);
        stop.send_replace(true);
        let ending = async { while listeners.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, ending).await.is_err() {
            tracing::warn!("requests that were still in flight are cut");
        }
        Ok(())
    }
}

enum Door {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Either kind of connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Door {
    async fn next(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Lets so many callers in at a time until the node stops, then waits for those inside, while others hear that it
/// stops. Who finds no room waits in the system's queue.
async fn accept(door: Door, app: Router, room: usize, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(room));
    let mut inside = JoinSet::new();
    loop {
        let entered = async {
            let permit = room.clone().acquire_owned().await;
            (permit, door.next().await)
        };
        let (permit, stream) = tokio::select! {
            () = over(&mut stopped) => break,
            entered = entered => entered,
            Some(_) = inside.join_next() => continue,
        };
        match stream {
            Ok(stream) => {
                let (app, stopped) = (app.clone(), stopped.clone());
                inside.spawn(async move {
                    converse(stream, app, stopped).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
    let mut late = JoinSet::new();
    while !inside.is_empty() {
        tokio::select! {
            _ = inside.join_next() => {}
            Some(_) = late.join_next() => {}
            stream = door.next(), if late.len() < LATE_MAX => match stream {
                Ok(stream) => drop(late.spawn(answer_once(stream, app.clone()))),
                Err(_) => tokio::time::sleep(EXHAUSTED).await,
            },
        }
    }
}

fn http() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
}

/// Answers one request of somebody who comes while the node stops.
async fn answer_once(stream: Box<dyn Stream>, app: Router) {
    let service = TowerToHyperService::new(app);
    let connection = http()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn converse(stream: Box<dyn Stream>, app: Router, mut stopped: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(app);
    let connection = http().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = over(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Ends when the listener stops.
async fn over(stopped: &mut watch::Receiver<bool>) {
    let _gone = stopped.wait_for(|is_stopped| *is_stopped).await;
}
