//! Reads a stream to its end with bounded memory: the head, the tail, and a file with the whole where
//! those do not hold it.

use super::spec::Captured;
use std::collections::VecDeque;
use std::path::PathBuf;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// No file holds more; the rest of a stream is read and dropped, and that is said.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output, as it came.
pub type Chunk = (Stream, Vec<u8>);

/// Reads `from` to its end. Pieces go to `live` while it keeps up; a slow listener misses some.
pub(super) async fn capture(
    mut from: impl AsyncRead + Unpin,
    stream: Stream,
    bytes_max: usize,
    file: PathBuf,
    live: Option<mpsc::Sender<Chunk>>,
) -> std::io::Result<Captured> {
    let half = (bytes_max / 2).max(1);
    let mut head = Vec::new();
    let mut tail = VecDeque::new();
    let mut total = 0u64;
    let mut whole: Option<File> = None;
    let mut filed = 0u64;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        let chunk = &buffer[..count];
        if let Some(live) = &live {
            let _slow_or_gone = live.try_send((stream, chunk.to_vec()));
        }
        if total + count as u64 > (half * 2) as u64 && whole.is_none() {
            let mut opened = File::create(&file).await?;
            let held: Vec<u8> = head.iter().chain(&tail).copied().collect();
            opened.write_all(&held).await?;
            filed = held.len() as u64;
            whole = Some(opened);
        }
        if let Some(opened) = &mut whole {
            let room = usize::try_from(FILE_BYTES_MAX - filed)
                .unwrap_or(usize::MAX)
                .min(count);
            opened.write_all(&chunk[..room]).await?;
            filed += room as u64;
        }
        total += count as u64;
        let to_head = (half - head.len()).min(count);
        head.extend_from_slice(&chunk[..to_head]);
        let rest = &chunk[to_head..];
        tail.extend(&rest[rest.len().saturating_sub(half)..]);
        tail.drain(..tail.len().saturating_sub(half));
    }
    if let Some(opened) = &mut whole {
        opened.flush().await?;
    }
    Ok(Captured {
        head,
        tail: tail.into(),
        total_bytes: total,
        is_full_cut: filed < total && whole.is_some(),
        full: whole.map(|_| file),
    })
}
