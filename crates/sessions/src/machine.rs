//! The machine of one session.

use crate::record::ConfigOf;
use crate::{Blob, Divergence, Effect, Input, Record, Rejected, Reply, SessionView, TurnState};
use mainstay_contract::{Seq, SessionId, Timestamp, TurnId};

/// What must become durable before any further effect is released.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outbox {
    /// Records, in order.
    pub records: Vec<Record>,
    /// Blobs the machine made itself (results of cancelled calls).
    pub blobs: Vec<Blob>,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
}

impl Session {
    /// A session without history.
    #[must_use]
    pub fn new(id: SessionId) -> Self {
        Self { id }
    }

    /// Takes in one record of the journal, without deciding anything.
    ///
    /// # Errors
    /// [`Divergence`] where the record cannot follow.
    pub fn replay(&mut self, _record: &Record, _config_of: ConfigOf<'_>) -> Result<(), Divergence> {
        Ok(())
    }

    /// Takes up an interrupted turn, once, after the replay of a whole journal.
    pub fn resume(&mut self, _now: Timestamp) {}

    /// Handles a command or an outcome.
    ///
    /// # Errors
    /// [`Rejected`]; then nothing changed.
    pub fn handle(&mut self, _now: Timestamp, _input: Input) -> Result<Reply, Rejected> {
        Ok(Reply::Done)
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, _now: Timestamp) {}

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// What must be written now; the shell writes it, then calls [`Self::written`].
    pub fn poll_outbox(&mut self) -> Option<Outbox> {
        None
    }

    /// Everything handed out by [`Self::poll_outbox`] up to `seq` is durable.
    pub fn written(&mut self, _seq: Seq) {}

    /// The next effect; `None` while records are not durable.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// Where a turn stands.
    #[must_use]
    pub fn turn_state(&self, _turn: &TurnId) -> Option<TurnState> {
        None
    }

    /// The turn that holds the session, and those that wait.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        true
    }

    /// A picture of the whole.
    #[must_use]
    pub fn view(&self) -> SessionView {
        SessionView {
            session: self.id.clone(),
            last_seq: Seq(0),
            workspace: None,
            turns: Vec::new(),
        }
    }
}
