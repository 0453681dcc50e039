//! Connections to providers: name, TCP, a proxy where one is named, TLS, each with its own failure. Proxy
//! variables of the environment are not read.

use super::proxy::Proxy;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use mainstay_inference::NetworkPhase;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long an address is alone before the next is tried beside it (RFC 8305, section 8).
const BESIDE: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// One of its steps failed.
    #[error("{error}")]
    Failed {
        phase: NetworkPhase,
        error: io::Error,
    },
    /// It took longer than allowed.
    #[error("no connection in time")]
    TimedOut,
}

impl ConnectError {
    pub(super) const fn failed(phase: NetworkPhase, error: io::Error) -> Self {
        Self::Failed { phase, error }
    }
}

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    tls: TlsConnector,
    proxy: Option<Proxy>,
    within: Duration,
}

impl Connector {
    pub(super) fn new(
        tls: Arc<rustls::ClientConfig>,
        proxy: Option<Proxy>,
        within: Duration,
    ) -> Self {
        Self {
            tls: TlsConnector::from(tls),
            proxy,
            within,
        }
    }

    /// Opens a connection to the server of an address, within the time that it may take.
    pub(super) async fn open(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let opened = tokio::time::timeout(self.within, self.dial(uri)).await;
        opened.unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn dial(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let host = uri.host().unwrap_or_default();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = match &self.proxy {
            Some(proxy) => proxy.tunnel(&format!("{host}:{port}")).await?,
            None => reach(host, port).await?,
        };
        if !is_tls {
            return Ok(Stream::new(Wire::Plain(TokioIo::new(stream))));
        }
        let failed = |error| ConnectError::failed(NetworkPhase::Tls, error);
        let name = ServerName::try_from(bare(host).to_owned())
            .map_err(|error| failed(io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await.map_err(failed)?;
        Ok(Stream::new(Wire::Tls(Box::new(TokioIo::new(stream)))))
    }
}

/// Looks a name up and connects to the first of its addresses that answers.
pub(super) async fn reach(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let failed = |phase| move |error| ConnectError::failed(phase, error);
    let addresses = lookup_host((bare(host), port)).await;
    let addresses = addresses.map_err(failed(NetworkPhase::Resolve))?.collect();
    let stream = first_to_answer(addresses).await;
    let stream = stream.map_err(failed(NetworkPhase::Connect))?;
    let chosen = stream.set_nodelay(true);
    chosen.map_err(failed(NetworkPhase::Connect))?;
    Ok(stream)
}

/// The next address is tried as soon as one fails, or beside it after a while (RFC 8305): a network that
/// swallows IPv6 costs a quarter of a second, not the whole time.
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.into_iter().peekable();
    let mut tries = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = addresses.next() {
            tries.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            tried = tries.join_next() => match tried {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last = error,
                Some(Err(error)) => last = io::Error::other(error),
                None => return Err(last),
            },
            () = tokio::time::sleep(BESIDE), if addresses.peek().is_some() => {}
        }
    }
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// An open connection that counts what is written to it.
pub(super) struct Stream {
    wire: Wire,
    written: Written,
}

/// How many bytes a connection has taken since the last request began. Over TLS these are the bytes before
/// they are encrypted.
#[derive(Clone, Default)]
pub(super) struct Written(Arc<AtomicU64>);

enum Wire {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Written {
    pub(super) fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn count(&self, taken: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = taken {
            self.0.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        taken
    }
}

impl Stream {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            written: Written::default(),
        }
    }

    /// Counts on while the connection is in use.
    pub(super) fn written(&self) -> Written {
        self.written.clone()
    }

    /// Whether both sides chose HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        match &self.wire {
            Wire::Plain(_) => false,
            Wire::Tls(stream) => stream.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = match &mut this.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        };
        this.written.count(taken)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = match &mut this.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
        };
        this.written.count(taken)
    }
}
