//! What a machine decided, as the journal takes it.

use mainstay_contract::{AgentName, TurnId};
use mainstay_sessions::{Blob, JournalBatch, Outbox, Session};

/// What a machine decided, with the blobs that came with what it was told.
pub(crate) fn batch_of(machine: &Session, outbox: Outbox, mut blobs: Vec<Blob>) -> JournalBatch {
    blobs.extend(outbox.blobs);
    JournalBatch {
        session: machine.id().clone(),
        agent: agent_of(machine, &outbox.records[0].turn),
        records: outbox.records,
        blobs,
        turns: outbox.turns,
    }
}

fn agent_of(machine: &Session, turn: &TurnId) -> AgentName {
    match machine.config(turn) {
        Some(config) => config.agent.clone(),
        None => unreachable_agent(),
    }
}

/// Every record belongs to a turn that has a configuration; should that ever fail, the row says so.
fn unreachable_agent() -> AgentName {
    AgentName::new("unknown").unwrap_or_else(|_| unreachable_agent())
}
