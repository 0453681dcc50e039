//! The node as its callers see it. Every method is one verb of the interface.

use crate::actor::Actors;
use crate::config::{NodeConfig, StoreUrl};
use crate::doctor::{self, DoctorReport};
use crate::effects::Providers;
use crate::error::{NodeOpenError, RequestError};
use crate::export::{self, ReplayReport};
use crate::feed::{self, Feeds};
use crate::journal::Reader;
use crate::manifest_file::ManifestFile;
use crate::metrics::Metrics;
use crate::snapshot;
use crate::workspaces::{Blobs, Workspaces, blocking};
use futures_util::Stream;
use mainstay_contract::{AgentName, Digest, Event, Message, Role, Seq, SessionId, StepId, TurnId};
use mainstay_runtimes::sandbox::{
    Chunk, Sandbox, SandboxConfig, SandboxError, SandboxExit, SandboxSpec,
};
use mainstay_runtimes::workspace::{self, Applied, Diff, ViewParams};
use mainstay_sessions::{
    Blob, BlobContent, Input, Journal, OnBusy, Record, RecordKind, Rejected, Reply, Resolution,
    Session, SessionRow, SessionView, StartTurn, StoreError, TurnState, TurnView, WorkspaceMode,
    encode_message,
};
use mainstay_storage::{DataDirLock, OpenParams, SqliteJournal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};

/// How many sandboxes run at once on one node.
const SANDBOXES_MAX: usize = 64;

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

/// What all parts of a node share.
pub(crate) struct Inner {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Arc<SqliteJournal>,
    pub(crate) reader: Reader,
    pub(crate) manifest: ManifestFile,
    pub(crate) sandbox: Sandbox,
    pub(crate) workspaces: Workspaces,
    pub(crate) providers: Providers,
    pub(crate) tls: rustls::ClientConfig,
    pub(crate) feeds: Feeds,
    pub(crate) metrics: Metrics,
    pub(crate) actors: Actors,
    pub(crate) stopping: watch::Sender<bool>,
    sandboxes: Semaphore,
    _lock: DataDirLock,
}

impl Inner {
    /// Runs a tool in a sandbox when there is room for one.
    pub(crate) async fn run_sandboxed(
        &self,
        spec: &SandboxSpec,
        live: Option<mpsc::Sender<Chunk>>,
    ) -> Result<SandboxExit, SandboxError> {
        let _room = self.sandboxes.acquire().await;
        self.sandbox.run(spec, live).await
    }
}

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
    /// Opens a node: takes the data directory, and takes up every turn that a crash interrupted.
    ///
    /// # Errors
    /// [`NodeOpenError`].
    pub async fn open(config: NodeConfig) -> Result<Self, NodeOpenError> {
        let lock = DataDirLock::acquire(&config.data_dir)?;
        let StoreUrl::Sqlite(database) = config.store.clone();
        let blobs = config
            .blobs
            .clone()
            .unwrap_or_else(|| config.data_dir.join("blobs"));
        let opened = tokio::task::spawn_blocking(move || {
            SqliteJournal::open(OpenParams { database, blobs })
        });
        let opened = opened
            .await
            .map_err(|error| NodeOpenError::Internal(error.to_string()))?;
        let store = Arc::new(opened?);
        let sandbox = Sandbox::new(SandboxConfig {
            exe: config.exe.clone(),
            node: node_name(&config.data_dir),
            scratch: config.data_dir.join("scratch"),
        })
        .await?;
        let mode = match sandbox.support().overlay {
            Ok(()) => WorkspaceMode::Overlay,
            Err(_) => WorkspaceMode::Copy,
        };
        let journal: Arc<dyn Journal> = Arc::clone(&store) as Arc<dyn Journal>;
        let views = Blobs(Arc::clone(&journal));
        let inner = Arc::new(Inner {
            reader: Reader::new(Arc::clone(&journal)),
            manifest: ManifestFile::new(config.manifest),
            workspaces: Workspaces::new(config.data_dir, config.cache_dir, mode, views),
            providers: Providers::new(config.record),
            tls: tls().map_err(|error| NodeOpenError::Internal(error.to_string()))?,
            feeds: Feeds::default(),
            metrics: Metrics::new(),
            actors: Actors::default(),
            stopping: watch::channel(false).0,
            sandboxes: Semaphore::new(SANDBOXES_MAX),
            journal,
            store,
            sandbox,
            _lock: lock,
        });
        let node = Self { inner };
        node.recover().await?;
        Ok(node)
    }

    /// Wakes every session with a turn that has not ended and does not wait for an operator.
    async fn recover(&self) -> Result<(), StoreError> {
        let open = self
            .inner
            .reader
            .with(|journal| journal.open_turns())
            .await?;
        for row in open.iter().filter(|row| !row.state.is_parked()) {
            tracing::info!(session = %row.session, turn = %row.turn, "taking up a turn");
            self.inner.actors.wake(&self.inner, &row.session);
        }
        Ok(())
    }

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
        let id = turn.clone();
        let row = self
            .inner
            .reader
            .with(move |journal| journal.turn(&id))
            .await;
        let Some(row) = row.map_err(RequestError::Store)? else {
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
        if !view.state.is_final() && !view.state.is_parked() {
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

    /// All sessions, the latest change first.
    ///
    /// # Errors
    /// [`RequestError::Store`].
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, RequestError> {
        let rows = self.inner.reader.with(|journal| journal.sessions()).await;
        rows.map_err(RequestError::Store)
    }

    /// One session.
    ///
    /// # Errors
    /// [`RequestError::NotFound`], [`RequestError::Store`].
    pub async fn session(&self, session: &SessionId) -> Result<SessionView, RequestError> {
        Ok(self.load(session).await?.0.view())
    }

    /// One turn, and its session.
    ///
    /// # Errors
    /// [`RequestError::NotFound`], [`RequestError::Store`].
    pub async fn turn(&self, turn: &TurnId) -> Result<(SessionId, TurnView), RequestError> {
        let session = self.session_of(turn).await?;
        let (machine, _) = self.load(&session).await?;
        let view = machine.turn_view(turn);
        let view = view.ok_or_else(|| RequestError::not_found("turn", turn.as_str()))?;
        Ok((session, view))
    }

    /// A stored message.
    ///
    /// # Errors
    /// [`RequestError::NotFound`], [`RequestError::Store`].
    pub async fn message(&self, digest: &Digest) -> Result<Message, RequestError> {
        let message = self
            .inner
            .reader
            .message(*digest)
            .await
            .map_err(RequestError::Store)?;
        message.ok_or_else(|| RequestError::not_found("message", digest.to_string()))
    }

    /// The events of a session after a place: first the durable ones, then what comes, without gap or
    /// repetition. Events with sequence 0 are previews that are not kept.
    ///
    /// # Errors
    /// [`RequestError::NotFound`]; later failures end the stream.
    pub async fn events(
        &self,
        session: &SessionId,
        after: Seq,
    ) -> Result<impl Stream<Item = Result<Event, StoreError>> + Send + use<>, RequestError> {
        let live = self.inner.feeds.listen(session);
        self.row(session).await?;
        Ok(feed::follow(
            self.inner.reader.clone(),
            session.clone(),
            after,
            live,
        ))
    }

    /// The durable events of a session after a place, at most `limit`.
    ///
    /// # Errors
    /// [`RequestError::NotFound`], [`RequestError::Store`].
    pub async fn durable_events(
        &self,
        session: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Event>, RequestError> {
        self.row(session).await?;
        let records = self.inner.reader.records(session, after, limit).await;
        let records = records.map_err(RequestError::Store)?;
        Ok(records
            .iter()
            .map(|record| mainstay_sessions::event_of(session, record))
            .collect())
    }

    /// Whether nothing happens in a session without a command.
    #[must_use]
    pub fn is_idle(&self, session: &SessionId) -> bool {
        !self.inner.actors.is_awake(session)
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

    /// What the agent changed in its private view of the workspace.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn diff(&self, session: &SessionId) -> Result<Diff, RequestError> {
        let (params, state) = self.committed(session).await?;
        let blobs = self.inner.workspaces.blobs();
        Ok(blocking(move || workspace::diff(&params, state, &blobs)).await?)
    }

    /// Brings the agent's changes home, or into another folder.
    ///
    /// # Errors
    /// [`RequestError::Workspace`] with every conflict, and then nothing was written.
    pub async fn apply(
        &self,
        session: &SessionId,
        to: Option<PathBuf>,
    ) -> Result<Applied, RequestError> {
        let (params, state) = self.committed(session).await?;
        let blobs = self.inner.workspaces.blobs();
        let to = to.unwrap_or_else(|| params.folder.clone());
        Ok(blocking(move || workspace::apply(&params, state, &to, &blobs)).await?)
    }

    async fn committed(&self, session: &SessionId) -> Result<(ViewParams, Digest), RequestError> {
        let (machine, _) = self.load(session).await?;
        let none = || RequestError::NoWorkspace {
            session: session.to_string(),
        };
        let (state, mode) = machine.workspace().ok_or_else(none)?;
        let view = machine.view();
        let turn = view.turns.last().ok_or_else(none)?;
        let config = machine.config(&turn.turn).ok_or_else(none)?;
        let shell = snapshot::shell(config);
        let shell = shell.map_err(|error| RequestError::Internal(error.to_string()))?;
        let folder = shell.workspace.ok_or_else(none)?;
        let mut params = self.inner.workspaces.params(session, &folder)?;
        params.mode = mode;
        Ok((params, state))
    }

    /// A session as JSON lines.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn export(&self, session: &SessionId) -> Result<Vec<String>, RequestError> {
        let (_, records) = self.load(session).await?;
        export::lines(&self.inner.reader, session, &records).await
    }

    /// Decides the session of a turn again, offline, up to the turn's last record.
    ///
    /// # Errors
    /// [`RequestError::Diverged`] with the first place that differs.
    pub async fn replay(&self, turn: &TurnId) -> Result<ReplayReport, RequestError> {
        let session = self.session_of(turn).await?;
        let (machine, records) = self.load(&session).await?;
        let last = records.iter().rposition(|record| record.turn == *turn);
        let records = &records[..last.map_or(0, |at| at + 1)];
        let configs = machine
            .view()
            .turns
            .into_iter()
            .filter_map(|turn| Some((turn.config, machine.config(&turn.turn)?.clone())));
        let configs: std::collections::HashMap<_, _> = configs.collect();
        let config_of = |digest: &Digest| configs.get(digest).cloned();
        mainstay_sessions::verify(&session, records, &config_of)?;
        Ok(ReplayReport {
            records: records.len(),
        })
    }

    /// Removes a session and what only it stored.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] while a turn is under way.
    pub async fn remove(&self, session: &SessionId) -> Result<(), RequestError> {
        let (machine, _) = self.load(session).await?;
        if let Some(holder) = machine.current_turn() {
            return Err(Rejected::Busy {
                holder: holder.clone(),
            }
            .into());
        }
        self.inner.workspaces.close(session).await;
        self.inner
            .journal
            .remove_session(session)
            .await
            .map_err(RequestError::Commit)
    }

    /// What the host can do, and whether what is stored is sound.
    ///
    /// # Errors
    /// [`RequestError::Store`].
    pub async fn doctor(&self) -> Result<DoctorReport, RequestError> {
        doctor::examine(&self.inner).await
    }

    /// What the node counted, for Prometheus.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner.metrics.text()
    }

    /// Ends the node in good order: effects under way are given up and begin again at the next start.
    pub async fn shutdown(&self) {
        self.inner.stopping.send_replace(true);
        while self.inner.metrics.sessions_active.get() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        self.inner.workspaces.cleaned().await;
        let store = Arc::clone(&self.inner.store);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.close()).await {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }

    async fn command(
        &self,
        session: &SessionId,
        input: Input,
        blobs: Vec<Blob>,
    ) -> Result<Reply, RequestError> {
        self.inner
            .actors
            .send(&self.inner, session, input, blobs)
            .await
    }

    async fn load(&self, session: &SessionId) -> Result<(Session, Vec<Record>), RequestError> {
        let loaded = self.inner.reader.session(session).await?;
        loaded.ok_or_else(|| RequestError::not_found("session", session.as_str()))
    }

    async fn row(&self, session: &SessionId) -> Result<SessionRow, RequestError> {
        let id = session.clone();
        let row = self
            .inner
            .reader
            .with(move |journal| journal.session(&id))
            .await;
        let row = row.map_err(RequestError::Store)?;
        row.ok_or_else(|| RequestError::not_found("session", session.as_str()))
    }

    async fn session_of(&self, turn: &TurnId) -> Result<SessionId, RequestError> {
        let id = turn.clone();
        let row = self
            .inner
            .reader
            .with(move |journal| journal.turn(&id))
            .await;
        let row = row.map_err(RequestError::Store)?;
        row.map(|row| row.session)
            .ok_or_else(|| RequestError::not_found("turn", turn.as_str()))
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

fn node_name(data_dir: &Path) -> String {
    let path = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    hash.as_str()[..16].to_owned()
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
