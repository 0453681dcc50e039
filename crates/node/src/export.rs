//! A session as JSON lines that can be checked without the node: every line carries the blake3 hash
//! of the line before it and of itself.

use crate::error::RequestError;
use crate::journal::Reader;
use mainstay_contract::{Digest, SessionId};
use mainstay_sessions::{Record, RecordKind};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What deciding a turn again came to.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayReport {
    /// How many records were decided again, all alike.
    pub records: usize,
}

/// The lines of a session: a head, every message, every record.
pub(crate) async fn lines(
    reader: &Reader,
    session: &SessionId,
    records: &[Record],
) -> Result<Vec<String>, RequestError> {
    let mut chain = Chain::default();
    let mut lines = vec![chain.link(json!({
        "kind": "session", "format": 1, "session": session, "records": records.len(),
    }))];
    for digest in records
        .iter()
        .filter_map(message_of)
        .collect::<BTreeSet<_>>()
    {
        let message = reader.message(digest).await.map_err(RequestError::Store)?;
        lines.push(chain.link(json!({ "kind": "message", "digest": digest, "message": message })));
    }
    for record in records {
        lines.push(chain.link(json!({ "kind": "record", "record": record })));
    }
    Ok(lines)
}

fn message_of(record: &Record) -> Option<Digest> {
    match &record.kind {
        RecordKind::TurnAccepted { input, .. } | RecordKind::InputSteered { input, .. } => {
            Some(*input)
        }
        RecordKind::ModelAnswered { message, .. } => Some(*message),
        RecordKind::ToolCompleted { result, .. } => Some(*result),
        _ => None,
    }
}

struct Chain {
    last: blake3::Hash,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            last: blake3::hash(b""),
        }
    }
}

impl Chain {
    fn link(&mut self, mut line: Value) -> String {
        let text = line.to_string();
        self.last = blake3::hash(format!("{}\n{text}", self.last.to_hex()).as_bytes());
        line["chain"] = json!(self.last.to_hex().as_str());
        line.to_string()
    }
}
