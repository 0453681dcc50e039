//! Turns: asked for, waited for, ended and resolved.

use super::Node;
use crate::error::RequestError;
use crate::{at_rest, snapshot};
use mainstay_contract::{AgentName, Digest, Message, Role, Seq, SessionId, StepId, TurnId};
use mainstay_sessions::{
    Blob, BlobContent, Input, OnBusy, Record, RecordKind, Rejected, Reply, Resolution, StartTurn,
    TurnState, TurnView, encode_message,
};
use tokio::sync::broadcast;

/// A turn that a caller asks for.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    /// The session; made where it is new.
    pub session: SessionId,
    /// The agent; the only one of the manifest where it is not named.
    pub agent: Option<AgentName>,
    /// What it is to do.
    pub input: String,
    /// The turn's id, as the caller wrote it.
    pub turn: Option<String>,
    /// Must be equal to the turn's id where both are given.
    pub scope: Option<String>,
    /// Makes repeated requests of one session into one turn.
    pub idempotency_key: Option<String>,
    /// What to do if the session is busy.
    pub on_busy: OnBusy,
    /// Nothing is known yet, so nothing is accepted.
    pub options: serde_json::Value,
}

/// A turn that is durable now.
#[derive(Debug, Clone)]
pub struct TurnAccepted {
    /// Its session.
    pub session: SessionId,
    /// Its id.
    pub turn: TurnId,
    /// Where its acceptance stands on the tape.
    pub seq: Seq,
    /// Whether it waits behind another.
    pub is_queued: bool,
    /// Where it stands.
    pub state: TurnState,
    /// The turn that took its input, if it was steered.
    pub steered_into: Option<TurnId>,
}

/// An operator's word on a step in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveWord {
    /// It took effect, with this result.
    Result(String),
    /// It did not; run it again.
    Retry,
    /// Treat it as failed and tell the model this.
    Fail(String),
}

impl Node {
    /// Accepts a turn. When this answers well, a crash cannot lose it.
    ///
    /// # Errors
    /// [`RequestError`]; then nothing was recorded.
    pub async fn start_turn(&self, request: TurnRequest) -> Result<TurnAccepted, RequestError> {
        if *self.inner.stopping.borrow() {
            return Err(RequestError::Stopping);
        }
        check_options(&request.options)?;
        let turn = turn_id(&request)?;
        let (input, bytes) = encode_message(&Message::text(Role::User, request.input.as_str()));
        if let Some(known) = self.known(&request, &turn, input).await? {
            return Ok(known);
        }
        let snapshot = snapshot::take(&self.inner.manifest, request.agent.as_ref())?;
        let mut blobs = snapshot.blobs;
        blobs.push(Blob {
            digest: input,
            content: BlobContent::Bytes(bytes),
        });
        let start = Input::StartTurn(Box::new(StartTurn {
            turn: turn.clone(),
            config_digest: snapshot.digest,
            config: snapshot.config,
            input,
            on_busy: request.on_busy,
        }));
        let reply = self.command(&request.session, start, blobs).await?;
        let (seq, is_queued, steered_into) = match reply {
            Reply::Accepted { seq, is_queued } => (seq, is_queued, None),
            Reply::Steered { into } => (Seq(0), false, Some(into)),
            Reply::Known | Reply::Done => (Seq(0), false, None),
        };
        let state = match (&steered_into, is_queued) {
            (Some(_), _) => TurnState::Steered,
            (None, true) => TurnState::Accepted,
            (None, false) => TurnState::Running,
        };
        Ok(TurnAccepted {
            session: request.session,
            turn,
            seq,
            is_queued,
            state,
            steered_into,
        })
    }

    /// A turn that was accepted before, whatever the manifest says now.
    async fn known(
        &self,
        request: &TurnRequest,
        turn: &TurnId,
        input: Digest,
    ) -> Result<Option<TurnAccepted>, RequestError> {
        let Some(row) = self.turn_row(turn).await? else {
            return Ok(None);
        };
        if row.session != request.session {
            let session = row.session.to_string();
            return Err(RequestError::TurnElsewhere {
                turn: turn.to_string(),
                session,
            });
        }
        let (machine, records) = self.load(&row.session).await?;
        let view = machine.turn_view(turn);
        let view = view.ok_or_else(|| RequestError::not_found("turn", turn.as_str()))?;
        let conflict = |what| Rejected::Conflict {
            turn: turn.clone(),
            what,
        };
        if view.input != input {
            return Err(conflict("input").into());
        }
        if request
            .agent
            .as_ref()
            .is_some_and(|agent| *agent != view.agent)
        {
            return Err(conflict("agent").into());
        }
        let is_open = !view.state.is_final() && !view.state.is_parked();
        if is_open && self.inner.at_rest.is_none() {
            self.inner.actors.wake(&self.inner, &row.session);
        }
        let (seq, steered_into) = acceptance(&records, turn);
        let is_queued = view.state == TurnState::Accepted;
        let session = row.session;
        let (turn, state) = (turn.clone(), view.state);
        Ok(Some(TurnAccepted {
            session,
            turn,
            seq,
            is_queued,
            state,
            steered_into,
        }))
    }

    /// Waits until a turn has ended or waits for an operator.
    ///
    /// # Errors
    /// [`RequestError::Commit`] while the store cannot write what the turn decides.
    pub async fn wait_turn(
        &self,
        session: &SessionId,
        turn: &TurnId,
    ) -> Result<TurnView, RequestError> {
        let mut live = self.inner.feeds.listen(session);
        loop {
            let view = self.turn(turn).await?.1;
            if view.state.is_final() || view.state.is_parked() {
                return Ok(view);
            }
            loop {
                match live.recv().await {
                    Ok(event) if event.seq > Seq(0) => break,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return Err(RequestError::Stopping),
                }
            }
        }
    }

    /// Ends a turn, whatever it is doing; without one, the turn that holds the session.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn cancel(
        &self,
        session: &SessionId,
        turn: Option<TurnId>,
    ) -> Result<(), RequestError> {
        self.row(session).await?;
        self.command(session, Input::Cancel { turn }, Vec::new())
            .await
            .map(drop)
    }

    /// Says what became of a step in doubt, or releases a quarantined turn.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn resolve(&self, step: &StepId, word: ResolveWord) -> Result<(), RequestError> {
        let unknown = || RequestError::not_found("step", step.as_str());
        let (turn, _) = step.parts().ok_or_else(unknown)?;
        let session = self.session_of(&turn).await.map_err(|error| match error {
            RequestError::NotFound { .. } => unknown(),
            other => other,
        })?;
        let (resolution, blobs) = match word {
            ResolveWord::Retry => (Resolution::Retry, Vec::new()),
            ResolveWord::Result(text) => {
                let (digest, blobs) = self.said(&session, step, &text).await?;
                (Resolution::Result(digest), blobs)
            }
            ResolveWord::Fail(text) => {
                let (digest, blobs) = self.said(&session, step, &text).await?;
                (Resolution::Fail(digest), blobs)
            }
        };
        let input = Input::Resolve {
            step: step.clone(),
            resolution,
        };
        self.command(&session, input, blobs).await.map(drop)
    }

    /// The tool message that an operator gives as a result.
    async fn said(
        &self,
        session: &SessionId,
        step: &StepId,
        text: &str,
    ) -> Result<(Digest, Vec<Blob>), RequestError> {
        let (_, records) = self.load(session).await?;
        let call = records.iter().rev().find_map(|record| match &record.kind {
            RecordKind::ToolIntended {
                step: intended,
                call,
                ..
            } if intended == step => Some(call.as_str()),
            _ => None,
        });
        let not_in_doubt = || Rejected::NotInDoubt { step: step.clone() };
        let message = Message::tool_result(call.ok_or_else(not_in_doubt)?, text);
        let (digest, bytes) = encode_message(&message);
        Ok((
            digest,
            vec![Blob {
                digest,
                content: BlobContent::Bytes(bytes),
            }],
        ))
    }

    pub(super) async fn command(
        &self,
        session: &SessionId,
        input: Input,
        blobs: Vec<Blob>,
    ) -> Result<Reply, RequestError> {
        let inner = &self.inner;
        match &inner.at_rest {
            Some(commands) => at_rest::command(inner, commands, session, input, blobs).await,
            None => inner.actors.send(inner, session, input, blobs).await,
        }
    }
}

fn check_options(options: &serde_json::Value) -> Result<(), RequestError> {
    match options {
        serde_json::Value::Null => Ok(()),
        serde_json::Value::Object(fields) => match fields.keys().next() {
            Some(name) => Err(RequestError::Option { name: name.clone() }),
            None => Ok(()),
        },
        other => Err(RequestError::Option {
            name: other.to_string(),
        }),
    }
}

/// The turn's id: the caller's, the one that follows from its key, or a fresh one.
fn turn_id(request: &TurnRequest) -> Result<TurnId, RequestError> {
    let (turn, scope) = (request.turn.as_deref(), request.scope.as_deref());
    if let (Some(turn), Some(scope)) = (turn, scope)
        && turn != scope
    {
        let (turn, scope) = (turn.to_owned(), scope.to_owned());
        return Err(RequestError::ScopeMismatch { turn, scope });
    }
    match (turn.or(scope), &request.idempotency_key) {
        (Some(id), _) => Ok(TurnId::new(id)?),
        (None, Some(key)) => {
            let hash = blake3::hash(format!("{}\n{key}", request.session).as_bytes()).to_hex();
            Ok(TurnId::new(format!("trn_key_{}", &hash.as_str()[..32]))?)
        }
        (None, None) => Ok(TurnId::generate()),
    }
}

fn acceptance(records: &[Record], turn: &TurnId) -> (Seq, Option<TurnId>) {
    for record in records {
        match &record.kind {
            RecordKind::TurnAccepted { .. } if record.turn == *turn => return (record.seq, None),
            RecordKind::InputSteered { from, .. } if from == turn => {
                return (record.seq, Some(record.turn.clone()));
            }
            _ => {}
        }
    }
    (Seq(0), None)
}
