//! Blobs of any size: verified while they arrive, hashed while they are sent.

use super::{RemoteCache, RemoteError};
use crate::digest::{Hasher, RemoteDigest};
use crate::protocol::messages::{ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use crate::protocol::resource::{read_name, upload_name};
use crate::protocol::{CHUNK_BYTES, method};
use bytes::Bytes;
use futures_util::stream;
use http::uri::PathAndQuery;
use std::io::{self, Read, Write};
use tokio::sync::mpsc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

/// How many chunks wait to be sent.
const CHUNKS_MAX: usize = 4;

impl RemoteCache {
    pub(super) fn read_stream(
        &self,
        digest: &RemoteDigest,
        into: &mut dyn Write,
    ) -> Result<(), RemoteError> {
        self.link.check_on()?;
        let digest = *digest;
        let deadline = self.link.deadline(digest.size);
        let request = self.link.request(ReadRequest {
            resource_name: read_name(&self.link.options.instance, &digest),
            read_offset: 0,
            read_limit: 0,
        });
        let mut channel = self.link.channel();
        let path = PathAndQuery::from_static(method::READ);
        let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
        let opened = channel.server_streaming(request, path, codec);
        let opened = self.link.wait(deadline, opened)?;
        let judge = |status: Status| match status.code() {
            Code::NotFound => RemoteError::Missing { digest },
            _ => self.link.judge(&status),
        };
        let mut stream = opened.map_err(judge)?.into_inner();
        let mut hasher = Hasher::new();
        loop {
            let message = self.link.wait(deadline, stream.message())?;
            let Some(message) = message.map_err(judge)? else {
                break;
            };
            hasher.update(&message.data);
            if hasher.size() > digest.size {
                return Err(RemoteError::Damaged { digest });
            }
            into.write_all(&message.data).map_err(RemoteError::local)?;
        }
        match hasher.finish() == digest {
            true => Ok(()),
            false => Err(RemoteError::Damaged { digest }),
        }
    }

    pub(super) fn write_stream(
        &self,
        digest: &RemoteDigest,
        from: &mut dyn Read,
    ) -> Result<(), RemoteError> {
        self.link.check_on()?;
        let deadline = self.link.deadline(digest.size);
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        let messages = stream::unfold(receiver, |mut receiver| async {
            let message = receiver.recv().await?;
            Some((message, receiver))
        });
        let request = self.link.request(messages);
        let mut channel = self.link.channel();
        let path = PathAndQuery::from_static(method::WRITE);
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let mut call = self
            .link
            .spawn(async move { channel.client_streaming(request, path, codec).await });
        let uuid = uuid::Uuid::now_v7().to_string();
        let mut chunks = Chunks::new(*digest, from);
        let mut name = upload_name(&self.link.options.instance, &uuid, digest);
        loop {
            let offset = chunks.offset();
            let chunk = match chunks.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    call.abort();
                    return Err(error);
                }
            };
            let message = WriteRequest {
                resource_name: std::mem::take(&mut name),
                write_offset: i64::try_from(offset).unwrap_or(i64::MAX),
                finish_write: chunks.is_at_end(),
                data: chunk,
            };
            let sent = self.link.wait(deadline, sender.send(message));
            let sent = sent.inspect_err(|_| call.abort())?;
            // Who has the blob already answers early.
            if sent.is_err() || call.is_finished() {
                break;
            }
        }
        drop(sender);
        let answer = self.link.wait(deadline, &mut call);
        let answer = answer.inspect_err(|_| call.abort())?;
        let answer = answer.unwrap_or_else(|error| Err(Status::internal(error.to_string())));
        let answer = answer.map_err(|status| self.link.judge(&status))?;
        let committed = answer.into_inner().committed_size;
        if u64::try_from(committed) != Ok(digest.size) {
            let what = "another size than was sent";
            return Err(RemoteError::Nonsense { what });
        }
        Ok(())
    }
}

/// The caller's bytes in chunks; the last is only given once all are known to be the right ones.
struct Chunks<'a> {
    digest: RemoteDigest,
    from: &'a mut dyn Read,
    hasher: Option<Hasher>,
    offset: u64,
}

impl<'a> Chunks<'a> {
    fn new(digest: RemoteDigest, from: &'a mut dyn Read) -> Self {
        Self {
            digest,
            from,
            hasher: Some(Hasher::new()),
            offset: 0,
        }
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn is_at_end(&self) -> bool {
        self.hasher.is_none()
    }

    fn next(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let Some(mut hasher) = self.hasher.take() else {
            return Ok(None);
        };
        let mismatch = RemoteError::Mismatch {
            digest: self.digest,
        };
        let left = self.digest.size - self.offset;
        let length = left.min(CHUNK_BYTES as u64);
        let mut chunk = Vec::new();
        let read = self.from.take(length).read_to_end(&mut chunk);
        read.map_err(RemoteError::local)?;
        hasher.update(&chunk);
        self.offset += chunk.len() as u64;
        if (chunk.len() as u64) < length {
            return Err(mismatch);
        }
        if self.offset < self.digest.size {
            self.hasher = Some(hasher);
        } else if hasher.finish() != self.digest || !is_empty(self.from)? {
            return Err(mismatch);
        }
        Ok(Some(chunk.into()))
    }
}

fn is_empty(from: &mut dyn Read) -> Result<bool, RemoteError> {
    let copied = io::copy(&mut from.take(1), &mut io::sink());
    Ok(copied.map_err(RemoteError::local)? == 0)
}
