//! The turn machine: commands in, records and effects out, replay.
//!
//! Pure. The machine decides and the shell acts: it writes [`Record`]s, then performs [`Effect`]s
//! and reports how they ended as [`Input`]s. The machine withholds every effect until the records
//! decided before it are durable, so a crash can lose work but never the truth about it.

mod config;
mod effect;
mod error;
mod event;
mod input;
mod machine;
mod ports;
mod record;
mod verify;
mod view;

pub use config::{EffectClass, Price, ToolPolicy, TurnConfig};
pub use effect::Effect;
pub use error::{RuntimeError, RuntimeErrorCode};
pub use event::event_of;
pub use input::{
    Input, ModelOutcome, OnBusy, ProbeOutcome, Rejected, Reply, Resolution, StartTurn, ToolOutcome,
};
pub use machine::{Interruption, Outbox, Session};
pub use ports::{
    Blob, BlobContent, BoxFuture, Journal, JournalBatch, SessionRow, StoreError, TurnRow,
};
pub use record::{CallRef, ConfigOf, Divergence, Record, RecordKind, ToolStatus, WorkspaceMode};
pub use verify::{FirstDivergence, verify};
pub use view::{SessionView, StepView, TurnState, TurnView};

use mainstay_contract::{Digest, Message};

/// The canonical bytes of a message and their digest.
#[must_use]
pub fn encode_message(message: &Message) -> (Digest, Vec<u8>) {
    let bytes = serde_json::to_vec(message).unwrap_or_default();
    (digest(&bytes), bytes)
}

/// The digest under which bytes are stored.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}
