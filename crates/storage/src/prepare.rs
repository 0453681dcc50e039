//! What can be done before a batch reaches the one thread that writes: encoding, hashing, compressing,
//! and making large blobs durable.

use crate::blobs::{BlobFolder, INLINE_BYTES_MAX, Row};
use mainstay_contract::{AgentName, SessionId, Timestamp};
use mainstay_sessions::{BlobContent, JournalBatch, StoreError, TurnRow};
use std::collections::HashSet;

/// More than this is not prepared on the caller's own thread, which other work waits for.
const QUICK_BYTES_MAX: usize = 128 << 10;

/// A batch that only has to be written.
pub(crate) struct Prepared {
    pub(crate) session: SessionId,
    pub(crate) agent: AgentName,
    /// Place, time and encoding of each record.
    pub(crate) records: Vec<(u64, Timestamp, String)>,
    pub(crate) turns: Vec<TurnRow>,
    pub(crate) blobs: Vec<Row>,
}

/// Whether preparing it takes no noticeable time.
pub(crate) fn is_quick(batch: &JournalBatch) -> bool {
    let mut total = 0;
    batch.blobs.iter().all(|blob| match &blob.content {
        BlobContent::Bytes(bytes) => {
            total += bytes.len();
            bytes.len() <= INLINE_BYTES_MAX && total <= QUICK_BYTES_MAX
        }
        BlobContent::File(_) => false,
    })
}

pub(crate) fn prepare(batch: JournalBatch, folder: &BlobFolder) -> Result<Prepared, StoreError> {
    let mut seen = HashSet::new();
    let blobs = batch
        .blobs
        .into_iter()
        .filter(|blob| seen.insert(blob.digest))
        .map(|blob| folder.prepare(blob))
        .collect::<Result<_, _>>()?;
    let mut records = Vec::with_capacity(batch.records.len());
    for record in &batch.records {
        let text = serde_json::to_string(record).map_err(|error| StoreError::Corrupt {
            what: format!("record {} of {}: {error}", record.seq.0, batch.session),
        })?;
        records.push((record.seq.0, record.at, text));
    }
    Ok(Prepared {
        session: batch.session,
        agent: batch.agent,
        records,
        turns: batch.turns,
        blobs,
    })
}
