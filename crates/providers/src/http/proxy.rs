//! A tunnel through a proxy to the server of a provider, by `CONNECT` (RFC 9110, section 9.3.6).

use super::connect::{ConnectError, reach};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mainstay_inference::NetworkPhase;
use std::io;
use std::str::FromStr;
use tokio::net::TcpStream;

/// A proxy, spoken to without encryption: what goes through it is encrypted already.
#[derive(Clone)]
pub(super) struct Proxy {
    host: String,
    port: u16,
}

impl Proxy {
    /// The proxy at an address such as `http://proxy.internal:3128`.
    pub(super) fn new(address: &str) -> Result<Self, String> {
        let uri = Uri::from_str(address).map_err(|error| error.to_string())?;
        if uri.scheme_str() != Some("http") {
            return Err("a proxy is named as http://HOST:PORT".to_owned());
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err("a proxy that asks for a name and a password is not supported".to_owned());
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or("it names no host")?;
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(80),
        })
    }

    /// A connection to `server`, which is a host and a port, that the proxy carries.
    pub(super) async fn tunnel(&self, server: &str) -> Result<TcpStream, ConnectError> {
        let stream = reach(&self.host, self.port).await?;
        let failed = |error| ConnectError::failed(NetworkPhase::Connect, error);
        self.connect(stream, server).await.map_err(failed)
    }

    async fn connect(&self, stream: TcpStream, server: &str) -> io::Result<TcpStream> {
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from_str(server).map_err(io::Error::other)?;
        let host = HeaderValue::from_str(server).map_err(io::Error::other)?;
        request.headers_mut().insert(header::HOST, host);
        let answered = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(io::Error::other)?;
            let status = response.status();
            match status.is_success() {
                true => Ok(()),
                false => Err(io::Error::other(format!(
                    "the proxy {}:{} answered CONNECT {server} with {status}",
                    self.host, self.port
                ))),
            }
        };
        // The driver is over as soon as the connection no longer speaks HTTP.
        let driven = async { driver.without_shutdown().await.map_err(io::Error::other) };
        let ((), parts) = tokio::try_join!(answered, driven)?;
        match parts.read_buf.is_empty() {
            true => Ok(parts.io.into_inner()),
            false => Err(io::Error::other("the proxy sent more than its answer")),
        }
    }
}
