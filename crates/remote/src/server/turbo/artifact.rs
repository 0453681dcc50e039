//! An artifact: a blob, and a record that names it and keeps what the client wants back.

use super::refusal::Refusal;
use crate::RemoteDigest;
use crate::protocol::messages::Digest;
use crate::store::{Key, Store, StoreError};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use prost::Message;

const DURATION: HeaderName = HeaderName::from_static("x-artifact-duration");
const TAG: HeaderName = HeaderName::from_static("x-artifact-tag");

/// The longest tag: Turborepo's own service takes 600.
const TAG_BYTES_MAX: usize = 1024;

/// What is kept of an artifact beside its bytes.
#[derive(Debug)]
pub(super) struct Artifact {
    pub(super) digest: RemoteDigest,
    pub(super) notes: Notes,
}

/// What the client said of it: how long the task took, and a signature, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) duration: Option<u64>,
    pub(super) tag: Option<Vec<u8>>,
}

/// The form of a record on disk.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    digest: Option<Digest>,
    #[prost(uint64, optional, tag = "2")]
    duration: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    tag: Option<Vec<u8>>,
}

impl Notes {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let number = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
        let duration = headers.get(DURATION).map(number);
        if duration == Some(None) {
            return Err(Refusal::Bad("the duration is no number"));
        }
        let tag = headers.get(TAG).map(|value| value.as_bytes().to_vec());
        if tag.as_ref().is_some_and(|tag| tag.len() > TAG_BYTES_MAX) {
            return Err(Refusal::Bad("the tag is too long"));
        }
        let duration = duration.flatten();
        Ok(Self { duration, tag })
    }
}

impl Artifact {
    /// The artifact, if its blob is here as well.
    pub(super) fn find(store: &Store, key: &Key) -> Result<Option<Self>, StoreError> {
        let Some(record) = store.record(key)? else {
            return Ok(None);
        };
        // Before the blob, so that the blob's use is the later one and it outlives the record.
        store.touch_after(key, &[]);
        let found = Record::decode(record.as_slice()).ok().and_then(Self::read);
        Ok(found.filter(|artifact| store.contains(&artifact.digest)))
    }

    pub(super) fn put(self, store: &Store, key: Key) -> Result<(), StoreError> {
        let record = Record {
            digest: Some(self.digest.into()),
            duration: self.notes.duration,
            tag: self.notes.tag,
        };
        store.put_record(key, &record.encode_to_vec(), &[self.digest])
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_LENGTH, self.digest.size.into());
        if let Some(duration) = self.notes.duration {
            headers.insert(DURATION, duration.into());
        }
        let tag = self.notes.tag.as_deref().map(HeaderValue::from_bytes);
        if let Some(Ok(tag)) = tag {
            headers.insert(TAG, tag);
        }
        headers
    }

    fn read(record: Record) -> Option<Self> {
        let digest = RemoteDigest::try_from(&record.digest?).ok()?;
        let (duration, tag) = (record.duration, record.tag);
        let notes = Notes { duration, tag };
        Some(Self { digest, notes })
    }
}
