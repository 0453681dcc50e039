//! Connections to providers: name, TCP, TLS, each with its own failure. Proxy variables of the environment
//! are not read.

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use mainstay_inference::NetworkPhase;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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

/// Opens connections.
pub(super) struct Connector {
    tls: TlsConnector,
    within: Duration,
}

impl Connector {
    pub(super) fn new(tls: Arc<rustls::ClientConfig>, within: Duration) -> Self {
        Self {
            tls: TlsConnector::from(tls),
            within,
        }
    }

    /// Opens a connection to the server of an address, within the time that it may take.
    pub(super) async fn open(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let opened = tokio::time::timeout(self.within, self.dial(uri)).await;
        opened.unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn dial(&self, uri: &Uri) -> Result<Stream, ConnectError> {
        let failed = |phase| move |error| ConnectError::Failed { phase, error };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = lookup_host((host, port)).await;
        let addresses: Vec<_> = addresses.map_err(failed(NetworkPhase::Resolve))?.collect();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut opened = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    opened = Some(stream);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let Some(stream) = opened else {
            return Err(failed(NetworkPhase::Connect)(last));
        };
        stream
            .set_nodelay(true)
            .map_err(failed(NetworkPhase::Connect))?;
        if !is_tls {
            return Ok(Stream::Plain(TokioIo::new(stream)));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(NetworkPhase::Tls)(io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(failed(NetworkPhase::Tls))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }
}

/// An open connection.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Stream {
    /// Whether both sides chose HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
        }
    }
}

/// What TLS is spoken with. The certificate of a provider has to come from a public authority, or from one
/// of these.
pub(super) fn tls(
    authorities: &[rustls::pki_types::CertificateDer<'static>],
) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(roots)
    .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}
