//! A blob as a stream of chunks: what is on its way is never more than a few of them.

use crate::protocol::CHUNK_BYTES;
use crate::store::OpenBlob;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use std::io::{self, SeekFrom};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Up to `length` bytes of a blob from `start`, which is not past its end.
pub(super) fn chunks(
    blob: OpenBlob,
    start: u64,
    length: u64,
) -> BoxStream<'static, io::Result<Bytes>> {
    match blob {
        OpenBlob::Memory(bytes) => {
            let limit = bytes.len() as u64;
            let clamp = |at: u64| usize::try_from(at.min(limit)).unwrap_or(bytes.len());
            let part = bytes.slice(clamp(start)..clamp(start.saturating_add(length)));
            let parts = part.chunks(CHUNK_BYTES).map(|chunk| part.slice_ref(chunk));
            stream::iter(parts.map(Ok).collect::<Vec<_>>()).boxed()
        }
        OpenBlob::File(file) => stream::once(async move {
            let mut file = tokio::fs::File::from_std(file);
            file.seek(SeekFrom::Start(start)).await?;
            Ok::<_, io::Error>(from_file(file.take(length)))
        })
        .flat_map(|opened| match opened {
            Ok(chunks) => chunks,
            Err(error) => stream::once(async { Err(error) }).boxed(),
        })
        .boxed(),
    }
}

fn from_file(file: tokio::io::Take<tokio::fs::File>) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let length = file.read_buf(&mut chunk).await?;
        Ok((length > 0).then(|| (chunk.freeze(), file)))
    })
    .boxed()
}
