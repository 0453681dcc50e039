//! Commands to a node that does not work on turns: what they decide is recorded, and what they would
//! set in motion waits for a node that works.

use crate::batch::batch_of;
use crate::clock::now;
use crate::error::RequestError;
use crate::node::Inner;
use mainstay_contract::SessionId;
use mainstay_sessions::{Blob, Input, Reply, Session};
use tokio::sync::Mutex;

/// Takes in one command.
pub(crate) async fn command(
    inner: &Inner,
    commands: &Mutex<()>,
    session: &SessionId,
    input: Input,
    blobs: Vec<Blob>,
) -> Result<Reply, RequestError> {
    let _one_at_a_time = commands.lock().await;
    let loaded = inner.reader.session(session).await?;
    let mut machine = loaded.map_or_else(|| Session::new(session.clone()), |(machine, _)| machine);
    let reply = machine.handle(now(), input)?;
    machine.handle(now(), Input::Suspend)?;
    if let Some(outbox) = machine.poll_outbox() {
        let batch = batch_of(&machine, outbox, blobs);
        let records = batch.records.clone();
        let written = inner.journal.append(batch).await;
        written.map_err(RequestError::Commit)?;
        inner.feeds.tell_records(session, &records);
    }
    Ok(reply)
}
