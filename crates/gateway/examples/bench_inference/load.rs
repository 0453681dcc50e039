//! Callers. Open loop: a request is due at its moment whatever became of those before it, and its latency counts
//! from that moment, so that a caller who was held up hides nothing. Closed loop: the next request follows the
//! answer.

use crate::upstream::nanos;
use crate::wire;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

/// Connections of the open loop. At 1,000 requests a second each has one every 64 ms.
const OPEN_CONNECTIONS: usize = 64;

/// Runs a future on this thread alone.
pub(crate) fn alone<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(work)
}

/// Whom to ask, and with which key.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Target {
    /// A request for an answer of a model.
    pub(crate) fn request(&self, model: &str, more: &str) -> Vec<u8> {
        let Self { address, key } = self;
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
        let length = body.len();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// A connection to a target.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(4 << 10);
        Ok(Self { stream, buffer })
    }

    /// Sends a request and waits for the whole answer; its status, head and body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> std::io::Result<(u16, String)> {
        let status = self.exchange(request).await?;
        Ok((status, String::from_utf8_lossy(&self.buffer).into_owned()))
    }

    /// The same, keeping nothing but the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let head = wire::head(&mut self.stream, &mut self.buffer).await?;
        wire::body(&mut self.stream, &mut self.buffer, &head).await?;
        Ok(head.status)
    }

    /// An exchange that has to go well.
    async fn answered(&mut self, request: &[u8]) {
        let status = self.exchange(request).await.unwrap();
        let said = String::from_utf8_lossy(&self.buffer);
        assert_eq!(status, 200, "{said}");
    }

    /// Sends a request and waits for the first piece of its stream.
    pub(crate) async fn begin(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let head = wire::head(&mut self.stream, &mut self.buffer).await;
        let status = head.unwrap().status;
        while status == 200 && wire::find(&self.buffer, b"hello").is_none() {
            wire::more(&mut self.stream, &mut self.buffer)
                .await
                .unwrap();
        }
        let said = String::from_utf8_lossy(&self.buffer);
        assert_eq!(status, 200, "{said}");
        self.buffer = Vec::new();
    }

    /// Reads a stream of stamped pieces; how late each came, in nanoseconds.
    pub(crate) async fn lateness(&mut self, request: &[u8]) -> Vec<u64> {
        self.buffer.clear();
        self.stream.write_all(request).await.unwrap();
        let (mut late, mut read) = (Vec::new(), 0);
        while wire::find(&self.buffer[read..], b"[DONE]").is_none() {
            wire::more(&mut self.stream, &mut self.buffer)
                .await
                .unwrap();
            let now = nanos();
            while let Some((stamp, end)) = stamp(&self.buffer[read..]) {
                late.push(now.saturating_sub(stamp));
                read += end;
            }
        }
        late
    }
}

/// The next stamp and where it ends.
fn stamp(text: &[u8]) -> Option<(u64, usize)> {
    let from = wire::find(text, b"@")? + 1;
    let length = wire::find(text.get(from..)?, b"@")?;
    let digits = std::str::from_utf8(&text[from..from + length]).ok()?;
    Some((digits.parse().ok()?, from + length + 1))
}

/// Asks over so many connections, each request after the last answer, for a time; how many were answered.
pub(crate) fn closed(target: &Target, connections: usize, time: Duration) -> u64 {
    let end = Instant::now() + time;
    until(target, connections, move |_| Instant::now() >= end)
}

/// The same until so many were answered.
pub(crate) fn closed_count(target: &Target, connections: usize, count: u64) -> u64 {
    until(target, connections, move |asked| asked >= count)
}

fn until(
    target: &Target,
    connections: usize,
    is_over: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> u64 {
    let asked = Arc::new(AtomicU64::new(0));
    let request = target.request("instant", "");
    alone(async {
        let mut callers = JoinSet::new();
        for _ in 0..connections {
            let (asked, request, is_over) = (Arc::clone(&asked), request.clone(), is_over.clone());
            let mut client = Client::open(target.address).await.unwrap();
            callers.spawn(async move {
                let mut answered = 0;
                while !is_over(asked.fetch_add(1, Ordering::Relaxed)) {
                    client.answered(&request).await;
                    answered += 1;
                }
                answered
            });
        }
        callers.join_all().await.into_iter().sum()
    })
}

/// Asks so often a second for a time; the latencies in nanoseconds, sorted.
pub(crate) fn open(target: &Target, per_second: u32, time: Duration) -> Vec<u64> {
    let gap = Duration::from_secs(1) / per_second;
    let count = u32::try_from(time.as_nanos() / gap.as_nanos()).unwrap();
    let request = target.request("instant", "");
    alone(async {
        let mut callers = JoinSet::new();
        let mut places = Vec::new();
        for _ in 0..OPEN_CONNECTIONS {
            let (sender, mut due) = unbounded_channel::<Instant>();
            places.push(sender);
            let mut client = Client::open(target.address).await.unwrap();
            let request = request.clone();
            callers.spawn(async move {
                client.answered(&request).await;
                let mut latencies = Vec::new();
                while let Some(due) = due.recv().await {
                    client.answered(&request).await;
                    latencies.push(u64::try_from(due.elapsed().as_nanos()).unwrap());
                }
                latencies
            });
        }
        let pacer = std::thread::spawn(move || {
            // The usual slack of 50 µs would be measured with every request.
            rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).unwrap();
            let start = Instant::now() + Duration::from_millis(100);
            for number in 0..count {
                let due = start + gap * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let place = usize::try_from(number).unwrap() % places.len();
                places[place].send(due).unwrap();
            }
        });
        let mut latencies: Vec<u64> = callers.join_all().await.into_iter().flatten().collect();
        pacer.join().unwrap();
        latencies.sort_unstable();
        latencies
    })
}

/// The latency that so many of a thousand stay below, in microseconds.
pub(crate) fn quantile(sorted: &[u64], thousandths: usize) -> f64 {
    let at = sorted.len() * thousandths / 1000;
    crate::number(sorted[at.min(sorted.len() - 1)]) / 1000.0
}
