//! A provider that costs next to nothing: HTTP/1.1 with keep-alive, answers that are ready. The model's name says
//! how it answers: `instant`; `slow`, after a moment; `stamped`, a stream whose pieces carry the time that they
//! were sent at; `silent`, a stream that says nothing after its first piece.

use crate::wire;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Pieces of a `stamped` stream.
pub(crate) const PIECES: usize = 200;
/// Between two of them.
const GAP: Duration = Duration::from_millis(2);
/// What `slow` takes.
const MOMENT: Duration = Duration::from_millis(3);

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"instant","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there, this is a reply."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17}}"#;
const MODELS: &str = r#"{"object":"list","data":[{"id":"instant","object":"model","created":1700000000,"owned_by":"bench"}]}"#;
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The provider, on a thread of its own.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicU64>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            crate::load::alone(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    tokio::spawn(converse(stream, Arc::clone(&counted)));
                }
            });
        });
        let address = receiver.recv().unwrap();
        Self { address, calls }
    }

    /// How often it was asked for an answer.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Nanoseconds since the first call: the clock of stamps.
pub(crate) fn nanos() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap()
}

/// Answers one caller until it goes, which is no failure of ours.
async fn converse(mut stream: TcpStream, calls: Arc<AtomicU64>) {
    let plain = response(ANSWER);
    let models = response(MODELS);
    let mut buffer = Vec::with_capacity(8 << 10);
    while let Ok(head) = wire::head(&mut stream, &mut buffer).await {
        let Ok(end) = wire::body(&mut stream, &mut buffer, &head).await else {
            return;
        };
        let said = match is_get(&buffer) {
            true => stream.write_all(&models).await,
            false => {
                calls.fetch_add(1, Ordering::Relaxed);
                answer(&mut stream, &buffer[head.length..end], &plain).await
            }
        };
        if said.is_err() {
            return;
        }
        buffer.drain(..end);
    }
}

fn is_get(request: &[u8]) -> bool {
    request.starts_with(b"GET ")
}

async fn answer(stream: &mut TcpStream, body: &[u8], plain: &[u8]) -> std::io::Result<()> {
    let has = |name: &[u8]| wire::find(body, name).is_some();
    if has(b"\"stamped\"") {
        return stamped(stream).await;
    }
    if has(b"\"silent\"") {
        stream.write_all(STREAM).await?;
        stream.write_all(&chunk(&piece("hello"))).await?;
        // Until the other side goes: nothing more is ever sent.
        let mut rest = Vec::new();
        let _gone = wire::more(stream, &mut rest).await;
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    if has(b"\"slow\"") {
        tokio::time::sleep(MOMENT).await;
    }
    stream.write_all(plain).await
}

async fn stamped(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(STREAM).await?;
    for _ in 0..PIECES {
        tokio::time::sleep(GAP).await;
        let piece = piece(&format!("@{}@", nanos()));
        stream.write_all(&chunk(&piece)).await?;
    }
    let last = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"stamped","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":20,"total_tokens":29}}"#;
    let end = chunk(&format!("data: {last}\n\ndata: [DONE]\n\n"));
    stream.write_all(&[&end, &b"0\r\n\r\n"[..]].concat()).await
}

fn piece(text: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
         \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\
         \"finish_reason\":null}}]}}\n\n"
    )
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

fn response(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
