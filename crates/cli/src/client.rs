//! Talks to a node over its unix socket or over TCP. The same routes serve both.

use crate::error::CliError;
use futures_util::StreamExt;
use mainstay_contract::{ErrorReport, Event, Seq};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The socket of the node that owns a data directory.
pub(crate) const SOCKET: &str = "node.sock";
/// The socket of a node that a command has for itself.
pub(crate) const PRIVATE_SOCKET: &str = "command.sock";

/// A path to the socket of a data directory that fits a socket address (108 bytes on Linux),
/// however long the directory's own path is.
#[derive(Debug, Clone)]
pub(crate) struct SocketPath {
    pub(crate) path: PathBuf,
    _directory: Option<Arc<File>>,
}

impl SocketPath {
    /// A socket in `data_dir`, which must exist.
    pub(crate) fn of(data_dir: &Path, name: &str) -> std::io::Result<Self> {
        const LENGTH_MAX: usize = 100;
        let path = data_dir.join(name);
        if path.as_os_str().len() <= LENGTH_MAX {
            return Ok(Self {
                path,
                _directory: None,
            });
        }
        let directory = File::open(data_dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        Ok(Self {
            path,
            _directory: Some(Arc::new(directory)),
        })
    }
}

/// A connection to a node. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    address: String,
    key: Option<String>,
    _socket: Option<SocketPath>,
}

impl Client {
    /// Over a unix socket.
    pub(crate) fn unix(socket: SocketPath) -> Result<Self, CliError> {
        let address = socket.path.display().to_string();
        let http = builder()?.unix_socket(socket.path.clone()).build();
        Ok(Self {
            http: http.map_err(|error| CliError::Runtime(error.to_string()))?,
            base: "http://localhost".to_owned(),
            address,
            key: None,
            _socket: Some(socket),
        })
    }

    /// Over TCP; the key comes from the environment.
    pub(crate) fn tcp(url: &str) -> Result<Self, CliError> {
        let http = builder()?
            .build()
            .map_err(|error| CliError::Runtime(error.to_string()))?;
        let base = url.trim_end_matches('/').to_owned();
        let is_http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https");
        if !reqwest::Url::parse(&base).is_ok_and(|url| is_http(&url)) {
            return Err(CliError::Url { url: base });
        }
        let key = std::env::var("MAINSTAY_KEY").ok();
        Ok(Self {
            http,
            address: base.clone(),
            base,
            key,
            _socket: None,
        })
    }

    /// Sends a request; a failure of the node comes back as its own report.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Response, CliError> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("accept", accept);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.failure(response).await)
    }

    /// Sends a request and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, CliError> {
        let response = self.send(method, path, "application/json", body).await?;
        response.json().await.map_err(|error| self.protocol(&error))
    }

    /// Reads a JSON answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.json(Method::GET, path, None).await
    }

    /// Follows a stream of events, calling `on_event` until it says stop or the stream ends.
    pub(crate) async fn events(
        &self,
        path: &str,
        mut on_event: impl FnMut(Event) -> Follow,
    ) -> Result<Follow, CliError> {
        let on_frame = |_, data: &[u8]| Ok(on_event(serde_json::from_slice(data)?));
        self.frames(path, on_frame).await
    }

    /// Follows a stream of events as text: their sequence, where they have one, and their data.
    pub(crate) async fn frames(
        &self,
        path: &str,
        on_frame: impl FnMut(Option<u64>, &[u8]) -> serde_json::Result<Follow>,
    ) -> Result<Follow, CliError> {
        let response = self
            .send(Method::GET, path, "text/event-stream", None)
            .await?;
        self.read_frames(response, on_frame).await
    }

    /// Posts a body, and follows the stream that answers it.
    pub(crate) async fn post_frames(
        &self,
        path: &str,
        body: &Value,
        on_frame: impl FnMut(Option<u64>, &[u8]) -> serde_json::Result<Follow>,
    ) -> Result<Follow, CliError> {
        let response = self
            .send(Method::POST, path, "text/event-stream", Some(body))
            .await?;
        self.read_frames(response, on_frame).await
    }

    /// A stream that ended before its end.
    pub(crate) fn cut(&self) -> CliError {
        let why = "the connection ended within the answer".to_owned();
        let address = self.address.clone();
        CliError::Unreachable { address, why }
    }

    async fn read_frames(
        &self,
        response: Response,
        mut on_frame: impl FnMut(Option<u64>, &[u8]) -> serde_json::Result<Follow>,
    ) -> Result<Follow, CliError> {
        let mut stream = response.bytes_stream();
        let mut lines = Vec::new();
        let mut seq = None;
        while let Some(chunk) = stream.next().await {
            lines.extend_from_slice(&chunk.map_err(|error| self.unreachable(&error))?);
            while let Some(end) = lines.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = lines.drain(..=end).collect();
                if let Some(id) = line.strip_prefix(b"id:") {
                    seq = str::from_utf8(id)
                        .ok()
                        .and_then(|id| id.trim().parse().ok());
                }
                let Some(data) = line.strip_prefix(b"data:") else {
                    continue;
                };
                let read = on_frame(seq.take(), data).map_err(|error| self.protocol(&error))?;
                if read == Follow::Stop {
                    return Ok(Follow::Stop);
                }
            }
        }
        Ok(Follow::Next)
    }

    async fn failure(&self, response: Response) -> CliError {
        let status = response.status();
        match response.bytes().await {
            Ok(body) => match serde_json::from_slice::<ErrorReport>(&body) {
                Ok(report) => report.into(),
                Err(_) => self.protocol(&format!("status {status} without a report")),
            },
            Err(error) => self.unreachable(&error),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        CliError::Unreachable {
            address: self.address.clone(),
            why,
        }
    }

    fn protocol(&self, why: &impl std::fmt::Display) -> CliError {
        CliError::Protocol {
            address: self.address.clone(),
            why: why.to_string(),
        }
    }

    /// Whether a node answers at all.
    pub(crate) async fn is_alive(&self) -> bool {
        let answer = self.http.get(format!("{}/healthz", self.base)).send().await;
        answer.is_ok_and(|response| response.status() == StatusCode::OK)
    }
}

/// Whether to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Go on.
    Next,
    /// Enough.
    Stop,
}

/// The path of a session's events after a place.
pub(crate) fn events_path(session: &str, after: Seq) -> String {
    format!("/api/sessions/{session}/events?after={}", after.0)
}

fn builder() -> Result<reqwest::ClientBuilder, CliError> {
    let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::Runtime(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy())
}
