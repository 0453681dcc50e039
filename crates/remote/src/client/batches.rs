//! Small blobs, many in one call.

use super::{Limits, RemoteCache, RemoteError};
use crate::digest::RemoteDigest;
use crate::protocol::messages::{
    BatchReadBlobsRequest, BatchReadBlobsResponse, BatchUpdateBlobsRequest,
    BatchUpdateBlobsResponse, BlobUpdate, Digest, Status,
};
use crate::protocol::{SHA256, method};
use bytes::Bytes;
use std::collections::HashMap;
use tonic::Code;

/// What a blob costs in a message beside its bytes.
const DIGEST_BYTES: u64 = 100;

impl RemoteCache {
    pub(super) fn write_blobs(&self, blobs: Vec<Bytes>) -> Result<(), RemoteError> {
        let limits = self.limits()?;
        let mut named = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let digest = RemoteDigest::of(&blob);
            check_size(&digest, limits)?;
            named.push((digest, blob));
        }
        for batch in split(&named, limits, |(digest, _)| digest.size) {
            let requests = batch.iter().map(|(digest, data)| BlobUpdate {
                digest: Some((*digest).into()),
                data: data.clone(),
                compressor: 0,
            });
            let request = BatchUpdateBlobsRequest {
                instance_name: self.link.options.instance.clone(),
                requests: requests.collect(),
                digest_function: SHA256,
            };
            let answer: BatchUpdateBlobsResponse =
                self.link.unary(method::BATCH_UPDATE, request)?;
            if answer.responses.len() != batch.len() {
                let what = "another number of blobs than was sent";
                return Err(RemoteError::Nonsense { what });
            }
            for response in &answer.responses {
                outcome(response.status.as_ref())?;
            }
        }
        Ok(())
    }

    pub(super) fn read_blobs(
        &self,
        digests: &[RemoteDigest],
    ) -> Result<Vec<Result<Bytes, RemoteError>>, RemoteError> {
        let limits = self.limits()?;
        for digest in digests {
            check_size(digest, limits)?;
        }
        let mut results = Vec::with_capacity(digests.len());
        for batch in split(digests, limits, |digest| digest.size) {
            let request = BatchReadBlobsRequest {
                instance_name: self.link.options.instance.clone(),
                digests: batch.iter().map(|digest| Digest::from(*digest)).collect(),
                digest_function: SHA256,
            };
            let answer: BatchReadBlobsResponse = self.link.unary(method::BATCH_READ, request)?;
            let mut answers = HashMap::new();
            for response in answer.responses {
                let digest = response.digest.unwrap_or_default();
                answers.insert(digest.hash, (response.status, response.data));
            }
            results.extend(batch.iter().map(|digest| {
                if digest.is_empty_blob() {
                    return Ok(Bytes::new());
                }
                let answer = answers.get(&digest.hex());
                let (status, data) = answer.ok_or(RemoteError::Missing { digest: *digest })?;
                if status.as_ref().map(|status| status.code) == Some(Code::NotFound.into()) {
                    return Err(RemoteError::Missing { digest: *digest });
                }
                outcome(status.as_ref())?;
                match RemoteDigest::of(data) == *digest {
                    true => Ok(data.clone()),
                    false => Err(RemoteError::Damaged { digest: *digest }),
                }
            }));
        }
        Ok(results)
    }
}

fn check_size(digest: &RemoteDigest, limits: Limits) -> Result<(), RemoteError> {
    let (digest, max) = (*digest, limits.batch_bytes_max);
    match digest.size + DIGEST_BYTES > max {
        true => Err(RemoteError::TooLarge { digest, max }),
        false => Ok(()),
    }
}

fn outcome(status: Option<&Status>) -> Result<(), RemoteError> {
    match status {
        Some(status) if status.code != 0 => Err(RemoteError::Rejected {
            code: format!("{:?}", Code::from(status.code)),
            message: status.message.clone(),
        }),
        _ => Ok(()),
    }
}

/// Cuts a list where a batch would become too large.
fn split<T>(items: &[T], limits: Limits, size: impl Fn(&T) -> u64) -> Vec<&[T]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        let cost = size(item) + DIGEST_BYTES;
        if at > start && bytes + cost > limits.batch_bytes_max {
            batches.push(&items[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += cost;
    }
    if start < items.len() {
        batches.push(&items[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_full_and_keep_the_order() {
        let limits = Limits {
            batch_bytes_max: 1000,
            is_read_only: false,
        };
        let sizes = [800, 200, 500, 0, 0, 900];
        let batches = split(&sizes, limits, |size| *size);
        assert_eq!(batches, [&[800][..], &[200, 500, 0], &[0], &[900]]);
        assert!(split(&[], limits, |size| *size).is_empty());
    }
}
