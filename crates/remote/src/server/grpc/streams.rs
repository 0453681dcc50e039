//! Blobs of any size, as streams.

use super::super::sending::chunks;
use super::super::uploads::Running;
use super::{Answers, Shared, check_writable, status};
use crate::protocol::messages::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest,
    WriteResponse,
};
use crate::protocol::resource::{UploadName, parse_read, parse_upload};
use futures_util::stream::StreamExt;
use std::sync::Arc;
use tonic::{Status, Streaming};

pub(super) async fn read(
    shared: Arc<Shared>,
    request: ReadRequest,
) -> Result<Answers<ReadResponse>, Status> {
    let digest = parse_read(&request.resource_name).ok_or_else(wrong_name)?;
    let out_of_range = || Status::out_of_range("the offset is outside of the blob");
    let offset = u64::try_from(request.read_offset).map_err(|_| out_of_range())?;
    if offset > digest.size {
        return Err(out_of_range());
    }
    let length = match u64::try_from(request.read_limit) {
        Ok(0) => digest.size,
        Ok(limit) => limit,
        Err(_) => return Err(Status::invalid_argument("the limit is negative")),
    };
    let opened = shared.store.run(move |store| store.open_blob(&digest));
    let opened = opened.await.map_err(|error| status(&error))?;
    let blob = opened.ok_or_else(|| Status::not_found("no such blob"))?;
    let answers = chunks(blob, offset, length).map(|chunk| match chunk {
        Ok(data) => Ok(ReadResponse { data }),
        Err(error) => {
            tracing::error!(%error, "a blob cannot be read to its end");
            Err(Status::internal("the store failed"))
        }
    });
    Ok(answers.boxed())
}

pub(super) async fn query_write(
    shared: Arc<Shared>,
    request: QueryWriteStatusRequest,
) -> Result<QueryWriteStatusResponse, Status> {
    let UploadName { upload, digest } =
        parse_upload(&request.resource_name).ok_or_else(wrong_name)?;
    let contains = shared.store.run(move |store| Ok(store.contains(&digest)));
    let complete = contains.await.map_err(|error| status(&error))?;
    let committed = match complete {
        true => digest.size,
        false => shared.uploads.size(&upload).unwrap_or(0),
    };
    Ok(QueryWriteStatusResponse {
        committed_size: signed(committed),
        complete,
    })
}

pub(super) async fn write(
    shared: Arc<Shared>,
    mut stream: Streaming<WriteRequest>,
) -> Result<WriteResponse, Status> {
    check_writable(&shared)?;
    let first = next(&shared, &mut stream).await?;
    let first = first.ok_or_else(|| Status::invalid_argument("nothing was sent"))?;
    let name = first.resource_name.clone();
    let UploadName { upload, digest } = parse_upload(&name).ok_or_else(wrong_name)?;
    let max = shared.store.blob_bytes_max();
    if digest.size > max {
        let said = format!("{} bytes are more than the {max} allowed", digest.size);
        return Err(Status::invalid_argument(said));
    }
    let contains = shared.store.run(move |store| Ok(store.contains(&digest)));
    if contains.await.map_err(|error| status(&error))? {
        return committed(digest.size);
    }
    let from = u64::try_from(first.write_offset).map_err(|_| wrong_offset(0))?;
    let running = Running::begin(&shared.uploads, &shared.store, upload, digest.size, from);
    let mut running = running.await.map_err(|error| status(&error))?;
    let mut message = Some(first);
    while let Some(request) = message {
        if request.write_offset != signed(running.size()) {
            return Err(wrong_offset(running.size()));
        }
        if !request.resource_name.is_empty() && request.resource_name != name {
            return Err(wrong_name());
        }
        let written = running.write(&request.data).await;
        written.map_err(|error| status(&error))?;
        if request.finish_write {
            let finished = running.finish(&shared.store, digest).await;
            finished.map_err(|error| status(&error))?;
            return committed(digest.size);
        }
        message = next(&shared, &mut stream).await?;
    }
    committed(running.size())
}

async fn next(
    shared: &Shared,
    stream: &mut Streaming<WriteRequest>,
) -> Result<Option<WriteRequest>, Status> {
    let paused = || Status::deadline_exceeded("nothing was sent for too long");
    let message = tokio::time::timeout(shared.pause_max, stream.message()).await;
    message.map_err(|_| paused())?
}

fn committed(size: u64) -> Result<WriteResponse, Status> {
    Ok(WriteResponse {
        committed_size: signed(size),
    })
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn wrong_name() -> Status {
    Status::invalid_argument("the resource name is none of a blob that this cache can hold")
}

fn wrong_offset(committed: u64) -> Status {
    Status::invalid_argument(format!("the next byte is that at {committed}"))
}
