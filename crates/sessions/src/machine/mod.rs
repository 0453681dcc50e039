//! The machine of one session.
//!
//! [`apply`] says how records change the state, [`decide`] what comes next, [`input`] what commands
//! and outcomes mean. Decisions are records; a record is applied the moment it is decided and waits
//! in the outbox; no effect leaves before everything decided is durable.

mod apply;
mod decide;
mod input;
mod state;
mod words;

pub use decide::Interruption;

use crate::{
    Blob, ConfigOf, Divergence, Effect, Record, RecordKind, SessionView, StepView, TurnConfig,
    TurnRow, TurnState, TurnView,
};
use mainstay_contract::{ErrorReport, Message, Seq, SessionId, StepId, Timestamp, TurnId};
use state::{State, Step, Turn};
use std::collections::VecDeque;

/// What must become durable before any further effect is released.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outbox {
    /// Records, in order.
    pub records: Vec<Record>,
    /// Blobs the machine made itself (results of calls that nobody ran).
    pub blobs: Vec<Blob>,
    /// Rows of the turns that these records change.
    pub turns: Vec<TurnRow>,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    id: SessionId,
    state: State,
    outbox: Outbox,
    /// Everything up to here is durable.
    written: Seq,
    effects: VecDeque<Effect>,
    awaited: Option<Awaited>,
    is_workspace_open: bool,
    /// Whether the turn that holds the session was taken up, or set going, since the replay.
    is_taken_up: bool,
    /// Why the outcome of the tool under way is unknown, where somebody said.
    unknown: Option<Box<ErrorReport>>,
}

/// The outcome that the machine waits for. Lost in a crash, and found again from the state.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Awaited {
    Workspace,
    Model(StepId),
    Retry(StepId, Timestamp),
    Tool(StepId),
    Probe(StepId),
}

impl Session {
    /// A session without history.
    #[must_use]
    pub fn new(id: SessionId) -> Self {
        Self {
            id,
            state: State::default(),
            outbox: Outbox::default(),
            written: Seq(0),
            effects: VecDeque::new(),
            awaited: None,
            is_workspace_open: false,
            is_taken_up: false,
            unknown: None,
        }
    }

    /// Takes in one record of the journal, without deciding anything.
    ///
    /// # Errors
    /// [`Divergence`] where the record cannot follow; the session is then of no further use.
    pub fn replay(&mut self, record: &Record, config_of: ConfigOf<'_>) -> Result<(), Divergence> {
        let expected = self.state.last_seq.next();
        if record.seq != expected {
            return Err(Divergence::Sequence {
                expected,
                found: record.seq,
            });
        }
        let config = match &record.kind {
            RecordKind::TurnAccepted { config, .. } => {
                Some(config_of(config).ok_or_else(|| Divergence::ConfigMissing {
                    turn: record.turn.clone(),
                    digest: *config,
                })?)
            }
            _ => None,
        };
        self.state
            .apply(record, config)
            .map_err(|why| Divergence::Impossible {
                seq: record.seq,
                kind: record.kind.name(),
                why,
            })?;
        self.written = record.seq;
        Ok(())
    }

    /// What must be written now; the shell writes it, then calls [`Self::written`].
    pub fn poll_outbox(&mut self) -> Option<Outbox> {
        (!self.outbox.records.is_empty()).then(|| std::mem::take(&mut self.outbox))
    }

    /// Everything handed out by [`Self::poll_outbox`] up to `seq` is durable.
    pub fn written(&mut self, seq: Seq) {
        self.written = self.written.max(seq.min(self.state.last_seq));
    }

    /// The next effect; `None` while records are not durable.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.written < self.state.last_seq {
            return None;
        }
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.awaited {
            Some(Awaited::Retry(_, at)) => Some(*at),
            _ => None,
        }
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The last record decided.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.state.last_seq
    }

    /// Where a turn stands.
    #[must_use]
    pub fn turn_state(&self, turn: &TurnId) -> Option<TurnState> {
        self.state.turn(turn).map(|turn| turn.state)
    }

    /// The turn that holds the session: it runs, or waits for an operator.
    #[must_use]
    pub fn current_turn(&self) -> Option<&TurnId> {
        self.state.current().map(|turn| &turn.id)
    }

    /// The configuration of a turn.
    #[must_use]
    pub fn config(&self, turn: &TurnId) -> Option<&TurnConfig> {
        self.state.turn(turn).map(|turn| &turn.config)
    }

    /// The conversation so far, as digests of stored messages, oldest first.
    #[must_use]
    pub fn transcript(&self) -> &[mainstay_contract::Digest] {
        &self.state.transcript
    }

    /// The committed state of the workspace, and how it is kept private.
    #[must_use]
    pub fn workspace(&self) -> Option<(mainstay_contract::Digest, crate::WorkspaceMode)> {
        self.state.workspace
    }

    /// The model call that is under way.
    pub(crate) fn awaited_model(&self) -> Option<StepId> {
        match &self.awaited {
            Some(Awaited::Model(step)) => Some(step.clone()),
            _ => None,
        }
    }

    /// The tool under way whose loss a probe would look into.
    pub(crate) fn awaited_probed_tool(&self) -> Option<StepId> {
        let Some(Awaited::Tool(step)) = &self.awaited else {
            return None;
        };
        let turn = self.state.current()?;
        let Some(Step::Tool(tool)) = turn.step(step) else {
            return None;
        };
        let policy = turn.config.tools.get(&tool.call.name)?;
        (policy.has_probe && tool.is_intended).then(|| step.clone())
    }

    /// Forgets that the view is open, as a session does that left memory.
    pub(crate) fn close_workspace(&mut self) {
        self.is_workspace_open = false;
    }

    /// Whether a probe is under way.
    pub(crate) fn is_probing(&self) -> bool {
        matches!(self.awaited, Some(Awaited::Probe(_)))
    }

    /// Whether the view is being opened.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.awaited, Some(Awaited::Workspace))
    }

    /// Whether nothing will happen without a command: no turn runs, or the one that holds the
    /// session waits for an operator.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.awaited.is_none() && self.outbox.records.is_empty() && self.effects.is_empty()
    }

    /// A picture of one turn.
    #[must_use]
    pub fn turn_view(&self, turn: &TurnId) -> Option<TurnView> {
        self.state.turn(turn).map(turn_view)
    }

    /// A picture of the whole.
    #[must_use]
    pub fn view(&self) -> SessionView {
        SessionView {
            session: self.id.clone(),
            last_seq: self.state.last_seq,
            workspace: self.state.workspace.map(|(digest, _)| digest),
            turns: self.state.turns.iter().map(turn_view).collect(),
        }
    }

    /// Decides a record: applies it and puts it into the outbox.
    fn record(&mut self, now: Timestamp, turn: &TurnId, kind: RecordKind) -> Seq {
        self.record_with(now, turn, kind, None)
    }

    fn record_with(
        &mut self,
        now: Timestamp,
        turn: &TurnId,
        kind: RecordKind,
        config: Option<TurnConfig>,
    ) -> Seq {
        let seq = self.state.last_seq.next();
        let steering = match &kind {
            RecordKind::InputSteered { from, .. } => Some(from.clone()),
            _ => None,
        };
        let is_running = |state: &State| state.turn(turn).is_some_and(Turn::is_running);
        let (before, was_running) = (self.turn_state(turn), is_running(&self.state));
        let record = Record {
            seq,
            at: now,
            turn: turn.clone(),
            kind,
        };
        if let Err(why) = self.state.apply(&record, config) {
            // What replay would refuse must never reach the journal.
            debug_assert!(false, "decided what cannot follow ({why}): {record:?}");
            return self.state.last_seq;
        }
        self.outbox.records.push(record);
        self.is_taken_up |= !was_running && is_running(&self.state);
        if self.turn_state(turn) != before {
            self.note_row(turn);
        }
        if let Some(steering) = steering {
            self.note_row(&steering);
        }
        seq
    }

    fn note_row(&mut self, id: &TurnId) {
        let Some(turn) = self.state.turn(id) else {
            return;
        };
        let row = TurnRow {
            turn: turn.id.clone(),
            session: self.id.clone(),
            agent: turn.agent.clone(),
            state: turn.state,
            accepted_at: turn.accepted_at,
            changed_at: turn.changed_at,
        };
        self.outbox.turns.retain(|known| known.turn != row.turn);
        self.outbox.turns.push(row);
    }

    /// Stores a tool message that the machine itself answers with.
    fn own_result(&mut self, call: &str, text: &str) -> mainstay_contract::Digest {
        let (digest, bytes) = crate::encode_message(&Message::tool_result(call, text));
        self.outbox.blobs.push(Blob {
            digest,
            content: crate::BlobContent::Bytes(bytes),
        });
        digest
    }
}

fn turn_view(turn: &Turn) -> TurnView {
    let steps = turn
        .steps
        .iter()
        .zip(1u32..)
        .map(|(step, number)| match step {
            Step::Model(model) => StepView {
                step: turn.step_id(number),
                tool: None,
                status: None,
                is_in_doubt: false,
                message: model.message,
            },
            Step::Tool(tool) => StepView {
                step: turn.step_id(number),
                tool: Some(tool.call.name.clone()),
                status: tool.status.clone(),
                is_in_doubt: tool.is_in_doubt,
                message: tool.result,
            },
        });
    TurnView {
        turn: turn.id.clone(),
        agent: turn.agent.clone(),
        state: turn.state,
        input: turn.input,
        config: turn.config_digest,
        answer: turn.answer.filter(|_| turn.state == TurnState::Completed),
        error: turn.error.clone(),
        spent: turn.spent(turn.changed_at),
        attempt: turn.attempt,
        steps: steps.collect(),
        accepted_at: turn.accepted_at,
        changed_at: turn.changed_at,
    }
}
