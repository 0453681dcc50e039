//! Connections to one server, kept for the next request.
//!
//! A connection of HTTP/1.1 is driven by whoever waits for its answer, in the same task: no other task has to
//! wake up on the way. While it is idle nobody drives it; before it is used again it is asked whether its
//! server has closed it. HTTP/2 serves many requests at once and has a task of its own.
//!
//! A request that was certainly not sent, because its connection closed first, goes out over another one. What
//! may have been sent is never repeated here: only the gate knows whether that may be.

use super::connect::{ConnectError, Connector, Stream, Written};
use http::{HeaderValue, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Connections that nobody uses are closed after this time.
const IDLE: Duration = Duration::from_secs(55);
/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);
/// Response headers over HTTP/2 may take this many bytes; HTTP/1 has the client's own bounds.
const HEADER_BYTES_MAX: u32 = 64 << 10;

type Sending = Request<Full<Bytes>>;

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or what came over it is not HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The connection broke before all of the request was written to it.
    #[error(transparent)]
    Cut(hyper::Error),
}

/// A request that a connection did not bring back an answer for.
struct Missed {
    /// The request, where it was certainly not sent.
    unsent: Option<Box<Sending>>,
    error: ExchangeError,
}

impl From<TrySendError<Sending>> for Missed {
    fn from(mut failed: TrySendError<Sending>) -> Self {
        Self {
            unsent: failed.take_message().map(Box::new),
            error: failed.into_error().into(),
        }
    }
}

/// The connections to one server.
pub(super) struct Pool {
    connector: Connector,
    /// The server, as a `Host` field names it.
    host: HeaderValue,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that was used last is last.
    idle: VecDeque<(Instant, Box<Connection>)>,
    shared: Option<http2::SendRequest<Full<Bytes>>>,
    is_swept: bool,
}

/// A connection of HTTP/1.1 and what drives it.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<Stream, Full<Bytes>>,
    written: Written,
}

/// The body of a response.
pub(super) struct ResponseBody {
    incoming: Incoming,
    /// Of HTTP/1.1, until the body has ended.
    connection: Option<(Arc<Pool>, Box<Connection>)>,
}

impl Pool {
    /// A pool without connections, for the server of an address.
    pub(super) fn new(
        connector: Connector,
        server: &Uri,
    ) -> Result<Self, header::InvalidHeaderValue> {
        let default = match server.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = server.host().unwrap_or_default();
        let port = server.port_u16().filter(|port| *port != default);
        let host = match port {
            Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
            None => HeaderValue::from_str(host),
        };
        Ok(Self {
            connector,
            host: host?,
            state: Mutex::default(),
        })
    }

    /// A pool for the same server that shares nothing with this one.
    pub(super) fn emptied(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            host: self.host.clone(),
            state: Mutex::default(),
        }
    }

    /// Sends a request whose address is whole, and waits for the head of its response.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        mut request: Box<Sending>,
    ) -> Result<Response<ResponseBody>, ExchangeError> {
        if let Some(shared) = self.shared() {
            match Box::pin(over_http2(shared, request)).await {
                Ok(response) => return Ok(response),
                Err(missed) => request = missed.unsent.ok_or(missed.error)?,
            }
        }
        let address = request.uri().clone();
        self.address_to_server(&mut request);
        while let Some(connection) = self.idle() {
            match self.over_http1(connection, request).await {
                Ok(response) => return Ok(response),
                Err(missed) => request = missed.unsent.ok_or(missed.error)?,
            }
        }
        // Rare and large: it has a place of its own, so that the rest is not moved about with its size.
        Box::pin(self.over_new(address, request)).await
    }

    async fn over_new(
        self: &Arc<Self>,
        address: Uri,
        mut request: Box<Sending>,
    ) -> Result<Response<ResponseBody>, ExchangeError> {
        let stream = self.connector.open(&address).await?;
        if !stream.is_http2() {
            let written = stream.written();
            let (sender, driver) = http1::handshake(stream).await?;
            let connection = Box::new(Connection {
                sender,
                driver,
                written,
            });
            let sent = self.over_http1(connection, request).await;
            return sent.map_err(|missed| missed.error);
        }
        *request.uri_mut() = address;
        request.headers_mut().remove(header::HOST);
        let shared = self.share(stream).await?;
        let sent = over_http2(shared, request).await;
        sent.map_err(|missed| missed.error)
    }

    /// HTTP/1.1 names the server in a field of its own and the rest in the first line.
    fn address_to_server(&self, request: &mut Sending) {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        let host = self.host.clone();
        request.headers_mut().insert(header::HOST, host);
    }

    async fn over_http1(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        request: Box<Sending>,
    ) -> Result<Response<ResponseBody>, Missed> {
        let length = request.body().size_hint().lower();
        connection.written.begin();
        let mut response = pin!(connection.sender.try_send_request(*request));
        let driver = &mut connection.driver;
        let mut is_over = false;
        let response = poll_fn(|context| {
            is_over = is_over || Pin::new(&mut *driver).poll(context).is_ready();
            match is_over {
                true => response.as_mut().poll(context),
                // Only the driver brings it, and the driver was just asked.
                false => response.as_mut().poll(&mut nobody()),
            }
        });
        let response = response.await.map_err(|failed| {
            let missed = Missed::from(failed);
            match missed.error {
                ExchangeError::Http(error) if connection.written.bytes() < length => Missed {
                    error: ExchangeError::Cut(error),
                    ..missed
                },
                _ => missed,
            }
        });
        let response = response?;
        let kept = (!is_over).then(|| (Arc::clone(self), connection));
        Ok(response.map(|incoming| ResponseBody {
            incoming,
            connection: kept,
        }))
    }

    /// Makes a connection of HTTP/2 everybody's.
    async fn share(&self, stream: Stream) -> Result<http2::SendRequest<Full<Bytes>>, hyper::Error> {
        let (shared, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(HEADER_BYTES_MAX)
            .handshake(stream)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to a provider ended");
            }
        });
        self.state().shared = Some(shared.clone());
        Ok(shared)
    }

    fn shared(&self) -> Option<http2::SendRequest<Full<Bytes>>> {
        let mut state = self.state();
        let shared = state.shared.take_if(|shared| shared.is_closed());
        drop(shared);
        state.shared.clone()
    }

    /// An idle connection that its server has not closed, the last used first: the others may rest.
    fn idle(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.state().idle.pop_back()?;
            if since.elapsed() < IDLE && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    fn keep(self: &Arc<Self>, mut connection: Box<Connection>) {
        if !connection.is_usable() {
            return;
        }
        let mut state = self.state();
        state.idle.push_back((Instant::now(), connection));
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what is too old or was closed by the server; says whether anything is left.
    fn close_old(&self) -> bool {
        let mut state = self.state();
        state
            .idle
            .retain_mut(|(since, connection)| since.elapsed() < IDLE && connection.is_usable());
        state.is_swept = !state.idle.is_empty();
        state.is_swept
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn over_http2(
    mut shared: http2::SendRequest<Full<Bytes>>,
    mut request: Box<Sending>,
) -> Result<Response<ResponseBody>, Missed> {
    *request.version_mut() = Version::HTTP_2;
    let response = shared.try_send_request(*request).await?;
    Ok(response.map(|incoming| ResponseBody {
        incoming,
        connection: None,
    }))
}

/// Looks idle connections through until there are none.
async fn sweep(pool: std::sync::Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_old()) {
            return;
        }
    }
}

impl Connection {
    /// Whether the next request may go over it: the last one is over, and the server has not closed it.
    fn is_usable(&mut self) -> bool {
        Pin::new(&mut self.driver).poll(&mut nobody()).is_pending() && self.sender.is_ready()
    }
}

impl ResponseBody {
    /// The next bytes; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = match self.connection {
                Some(_) => poll_fn(|context| self.poll_driven(context)).await,
                None => self.incoming.frame().await,
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(Ok(bytes));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    if let Some((pool, connection)) = self.connection.take() {
                        pool.keep(connection);
                    }
                    return None;
                }
            }
        }
    }

    fn poll_driven(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
        let mut frame = Pin::new(&mut self.incoming).poll_frame(&mut nobody());
        if frame.is_pending()
            && let Some((_, connection)) = &mut self.connection
        {
            if Pin::new(&mut connection.driver).poll(context).is_ready() {
                self.connection = None;
                return Pin::new(&mut self.incoming).poll_frame(context);
            }
            frame = Pin::new(&mut self.incoming).poll_frame(&mut nobody());
        }
        frame
    }
}

/// For what is asked again after each turn of its driver, so that nobody has to be woken for it.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
