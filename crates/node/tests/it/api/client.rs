//! A client that hides nothing: it writes bytes and reads what comes back.

use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The longest that anything in these tests may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: String,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts a complete report with this code and its status.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str) -> Value {
        let report = self.json();
        assert_eq!(report["code"], code, "{self:?}");
        let status = mainstay_contract::Code::parse(code).info().http;
        assert_eq!(self.status, status, "{self:?}");
        self.is_report();
        report
    }

    /// Asserts the form that every report has.
    #[track_caller]
    pub(crate) fn is_report(&self) {
        assert_eq!(
            self.head.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let report: mainstay_contract::ErrorReport = serde_json::from_str(&self.body).unwrap();
        let is_hopeless = matches!(
            report.retry.advice,
            mainstay_contract::RetryAdvice::Never | mainstay_contract::RetryAdvice::AfterFix
        );
        let advice = self.head.header("x-should-retry");
        assert_eq!(advice, is_hopeless.then_some("false"), "{self:?}");
        assert_eq!(
            self.head.header("retry-after").is_some(),
            report.retry.after_ms.is_some()
        );
        assert_eq!(
            self.head.header("x-mainstay-code"),
            Some(report.code.as_str())
        );
    }
}

impl Wire {
    pub(crate) async fn tcp(address: SocketAddr) -> Self {
        Self {
            stream: Box::new(TcpStream::connect(address).await.unwrap()),
            unread: Vec::new(),
        }
    }

    pub(crate) async fn unix(path: &Path) -> Self {
        Self {
            stream: Box::new(UnixStream::connect(path).await.unwrap()),
            unread: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends what may be refused half-way; answers whether all of it went.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    async fn more(&mut self) -> bool {
        let mut chunk = vec![0; 16 << 10];
        let read = tokio::time::timeout(LIMIT, self.stream.read(&mut chunk)).await;
        let count = read.expect("the node is silent").unwrap_or(0);
        self.unread.extend_from_slice(&chunk[..count]);
        count > 0
    }

    /// Reads up to and with a mark; `None` where the connection ends before it.
    async fn through(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self
                .unread
                .windows(mark.len())
                .position(|window| window == mark);
            if let Some(at) = found {
                return Some(self.unread.drain(..at + mark.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.unread.drain(..count).collect())
    }

    pub(crate) async fn head(&mut self) -> Head {
        loop {
            let bytes = self.through(b"\r\n\r\n").await.expect("an answer");
            let text = String::from_utf8(bytes).unwrap();
            let mut lines = text.lines();
            let status = lines
                .next()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .parse()
                .unwrap();
            let pair = |line: &str| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_owned(), value.trim().to_owned()))
            };
            let headers = lines.filter_map(pair).collect();
            if status != 100 {
                return Head { status, headers };
            }
        }
    }

    /// One chunk of a chunked body; `None` at its end, or where it is cut.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.through(b"\r\n").await?;
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let data = self.exactly(size).await?;
        self.exactly(2).await?;
        (size > 0).then_some(data)
    }

    /// One event or comment of a stream: its lines. `None` at the end.
    pub(crate) async fn frame(&mut self, rest: &mut String) -> Option<String> {
        loop {
            if let Some((frame, after)) = rest.split_once("\n\n") {
                let frame = frame.to_owned();
                *rest = after.to_owned();
                return Some(frame);
            }
            rest.push_str(&String::from_utf8(self.chunk().await?).unwrap());
        }
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.head().await;
        let mut body = Vec::new();
        if let Some(length) = head.header("content-length") {
            body = self
                .exactly(length.parse().unwrap())
                .await
                .expect("the whole body");
        } else {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        }
        Reply {
            status: head.status,
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Whether the node has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && !self.more().await
    }
}
