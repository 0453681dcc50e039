//! A server that speaks TLS with a certificate of its own authority, and a proxy before it.

use crate::server::GOOD;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Answers every request well.
pub(crate) struct TlsServer {
    pub(crate) url: String,
    /// Who vouches for it, in PEM.
    pub(crate) authority: Vec<u8>,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    open: watch::Sender<usize>,
    ends: watch::Sender<usize>,
}

impl TlsServer {
    pub(crate) async fn start(http2: bool) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = match http2 {
            true => vec![b"h2".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self {
            url: format!("https://localhost:{port}/v1"),
            authority: made.cert.pem().into_bytes(),
            requests: Arc::default(),
            connections: Arc::default(),
            open: watch::Sender::new(0),
            ends: watch::Sender::new(0),
        };
        let (requests, connections) = (
            Arc::clone(&server.requests),
            Arc::clone(&server.connections),
        );
        let (open, ends) = (server.open.clone(), server.ends.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                let (requests, connections) = (Arc::clone(&requests), Arc::clone(&connections));
                let (open, mut ends) = (open.clone(), ends.subscribe());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    connections.fetch_add(1, Ordering::Relaxed);
                    open.send_modify(|open| *open += 1);
                    tokio::select! {
                        () = serve(TokioIo::new(stream), http2, &requests) => {}
                        _ = ends.changed() => {}
                    }
                    open.send_modify(|open| *open -= 1);
                });
            }
        });
        server
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Drops every connection.
    pub(crate) async fn end_connections(&self) {
        self.ends.send_modify(|ends| *ends += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open == 0).await.unwrap();
    }
}

async fn serve(
    stream: TokioIo<tokio_rustls::server::TlsStream<TcpStream>>,
    http2: bool,
    requests: &Arc<AtomicUsize>,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let requests = Arc::clone(requests);
        async move {
            request.into_body().collect().await.unwrap();
            requests.fetch_add(1, Ordering::Relaxed);
            let response = Response::builder().header("content-type", "text/event-stream");
            let body = Full::new(Bytes::from_static(GOOD.as_bytes()));
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    });
    let _ = match http2 {
        true => {
            let server = http2::Builder::new(TokioExecutor::new());
            server.serve_connection(stream, answer).await
        }
        false => http1::Builder::new().serve_connection(stream, answer).await,
    };
}

/// A proxy for tunnels, and what it was asked.
pub(crate) struct Tunnels {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tunnels {
    pub(crate) fn requests(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

/// Starts a proxy that answers with this head, and tunnels where it begins with 200.
pub(crate) async fn through(answer: fn(&str) -> &'static str) -> Tunnels {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            heard.lock().unwrap().extend(head);
            let answer = answer(&text);
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.starts_with("HTTP/1.1 200") {
                let target = text.split(' ').nth(1).unwrap().to_owned();
                let mut server = TcpStream::connect(target).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut server).await });
            }
        }
    });
    Tunnels { url, seen }
}
