//! Blobs in batches.

use super::{Shared, check_function, check_writable, digest, status};
use crate::RemoteDigest;
use crate::protocol::BATCH_BYTES_MAX;
use crate::protocol::messages::{
    BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest,
    BatchUpdateBlobsResponse, BlobRead, BlobUpdate, BlobUpdated, Digest, FindMissingBlobsRequest,
    FindMissingBlobsResponse, Status as BlobStatus,
};
use crate::store::Store;
use std::sync::Arc;
use tonic::{Code, Status};

pub(super) async fn find_missing(
    shared: Arc<Shared>,
    request: FindMissingBlobsRequest,
) -> Result<FindMissingBlobsResponse, Status> {
    check_function(request.digest_function)?;
    let asked = digests(&request.blob_digests)?;
    let missing = shared.store.run(move |store| {
        let missing = asked.into_iter().filter(|blob| !store.contains(blob));
        Ok(missing.map(Digest::from).collect())
    });
    let missing_blob_digests = missing.await.map_err(|error| status(&error))?;
    Ok(FindMissingBlobsResponse {
        missing_blob_digests,
    })
}

pub(super) async fn update(
    shared: Arc<Shared>,
    request: BatchUpdateBlobsRequest,
) -> Result<BatchUpdateBlobsResponse, Status> {
    check_function(request.digest_function)?;
    check_writable(&shared)?;
    let bytes = request.requests.iter().map(|blob| blob.data.len());
    check_batch(bytes.sum::<usize>() as u64)?;
    let updated = shared.store.run(move |store| {
        let responses = request.requests.into_iter().map(|blob| BlobUpdated {
            status: Some(outcome(update_one(store, &blob))),
            digest: blob.digest,
        });
        Ok(responses.collect())
    });
    let responses = updated.await.map_err(|error| status(&error))?;
    Ok(BatchUpdateBlobsResponse { responses })
}

pub(super) async fn read(
    shared: Arc<Shared>,
    request: BatchReadBlobsRequest,
) -> Result<BatchReadBlobsResponse, Status> {
    check_function(request.digest_function)?;
    let asked = digests(&request.digests)?;
    let sum = |sum: u64, blob: &RemoteDigest| sum.saturating_add(blob.size);
    check_batch(asked.iter().fold(0, sum))?;
    let read = shared.store.run(move |store| {
        let responses = asked.into_iter().map(|blob| read_one(store, blob));
        Ok(responses.collect())
    });
    let responses = read.await.map_err(|error| status(&error))?;
    Ok(BatchReadBlobsResponse { responses })
}

fn digests(digests: &[Digest]) -> Result<Vec<RemoteDigest>, Status> {
    digests.iter().map(|one| digest(Some(one))).collect()
}

fn check_batch(bytes: u64) -> Result<(), Status> {
    let max = BATCH_BYTES_MAX as u64;
    if bytes <= max {
        return Ok(());
    }
    let said = format!("{bytes} bytes are more than the {max} that one batch may have");
    Err(Status::invalid_argument(said))
}

fn update_one(store: &Store, blob: &BlobUpdate) -> Result<(), Status> {
    if blob.compressor != 0 {
        return Err(Status::invalid_argument("compressed blobs are not taken"));
    }
    let digest = digest(blob.digest.as_ref())?;
    let put = store.put(&digest, &blob.data);
    put.map_err(|error| status(&error))
}

fn read_one(store: &Store, digest: RemoteDigest) -> BlobRead {
    let read = store.read_blob(&digest, BATCH_BYTES_MAX as u64);
    let read = read
        .map_err(|error| status(&error))
        .and_then(|bytes| bytes.ok_or_else(|| Status::not_found("no such blob")));
    BlobRead {
        digest: Some(digest.into()),
        status: Some(outcome(read.as_ref().map(|_| ()).map_err(Clone::clone))),
        data: read.unwrap_or_default(),
        compressor: 0,
    }
}

fn outcome(done: Result<(), Status>) -> BlobStatus {
    let (code, message) = match done {
        Ok(()) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    };
    BlobStatus {
        code: code.into(),
        message,
    }
}
