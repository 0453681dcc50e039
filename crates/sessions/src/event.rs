//! The event tape is a reading of the journal: same order, same sequence, nothing stored twice.

use crate::{Record, RecordKind};
use mainstay_contract::{Event, SessionId};
use serde_json::Value;

/// The event that tells of a record.
#[must_use]
pub fn event_of(session: &SessionId, record: &Record) -> Event {
    Event {
        session: session.clone(),
        seq: record.seq,
        at: record.at,
        turn: Some(record.turn.clone()),
        kind: record.kind.name().to_owned(),
        data: data_of(&record.kind),
    }
}

fn data_of(kind: &RecordKind) -> Value {
    match serde_json::to_value(kind) {
        Ok(Value::Object(mut fields)) => fields.remove("data").unwrap_or_default(),
        _ => Value::Null,
    }
}
