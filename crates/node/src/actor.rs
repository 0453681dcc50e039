//! One task per session at work: it owns the machine, writes what the machine decides, performs what
//! the machine asks for, and answers callers once what they asked for is durable. A session with
//! nothing under way has no task.

use crate::batch::batch_of;
use crate::clock::now;
use crate::effects::{self, Performed};
use crate::error::RequestError;
use crate::node::Inner;
use mainstay_contract::{Coded, SessionId, Timestamp, TurnId};
use mainstay_sessions::{
    Blob, Effect, EffectClass, Input, Interruption, RecordKind, Reply, Session, StoreError,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How many commands may wait for one session.
const COMMANDS_MAX: usize = 256;
/// How long to wait before a store that failed is tried again; doubled up to the last.
const STORE_PAUSE: Duration = Duration::from_millis(100);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a tool that must not be repeated may finish when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A command of a caller, with the blobs it names.
pub(crate) struct Command {
    pub(crate) input: Input,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) reply: Answerer,
}

type Answerer = oneshot::Sender<Result<Reply, RequestError>>;

/// The sessions at work.
#[derive(Default)]
pub(crate) struct Actors {
    by_session: Mutex<HashMap<SessionId, mpsc::Sender<Command>>>,
}

impl Actors {
    /// Gives a session a command, waking it first where it sleeps.
    pub(crate) async fn send(
        &self,
        inner: &Arc<Inner>,
        session: &SessionId,
        input: Input,
        blobs: Vec<Blob>,
    ) -> Result<Reply, RequestError> {
        let (reply, answered) = oneshot::channel();
        let mut command = Command {
            input,
            blobs,
            reply,
        };
        loop {
            match self.wake(inner, session).send(command).await {
                Ok(()) => break,
                Err(mpsc::error::SendError(back)) => command = back,
            }
        }
        answered.await.unwrap_or(Err(RequestError::Stopping))
    }

    /// Wakes a session, so that it takes up what a crash interrupted.
    pub(crate) fn wake(&self, inner: &Arc<Inner>, session: &SessionId) -> mpsc::Sender<Command> {
        let mut actors = self.lock();
        if let Some(sender) = actors.get(session).filter(|sender| !sender.is_closed()) {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
        actors.insert(session.clone(), sender.clone());
        let actor = Actor::new(Arc::clone(inner), session.clone(), receiver);
        inner.metrics.sessions_active.inc();
        tokio::spawn(actor.run());
        sender
    }

    pub(crate) fn is_awake(&self, session: &SessionId) -> bool {
        self.lock().contains_key(session)
    }

    /// Forgets a session whose task ends, unless a command came in meanwhile.
    fn release(&self, session: &SessionId, receiver: &mut mpsc::Receiver<Command>) -> bool {
        let mut actors = self.lock();
        if !receiver.is_empty() {
            return false;
        }
        receiver.close();
        actors.remove(session);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, mpsc::Sender<Command>>> {
        self.by_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Actor {
    inner: Arc<Inner>,
    id: SessionId,
    commands: mpsc::Receiver<Command>,
    stopping: watch::Receiver<bool>,
    running: Option<Running>,
    pause: Duration,
}

/// An effect under way.
struct Running {
    turn: TurnId,
    task: JoinHandle<Performed>,
    failed: Effect,
    abort: watch::Sender<bool>,
}

/// Why a stretch of work ended.
enum Ended {
    Idle,
    Stopping,
    /// The store refused; the machine is ahead of the journal and has to be rebuilt.
    Store(StoreError),
}

enum Happened {
    Command(Option<Command>),
    Performed(Input, Vec<Blob>),
    Time,
    Stop,
}

impl Actor {
    fn new(inner: Arc<Inner>, id: SessionId, commands: mpsc::Receiver<Command>) -> Self {
        let stopping = inner.stopping.subscribe();
        Self {
            inner,
            id,
            commands,
            stopping,
            running: None,
            pause: STORE_PAUSE,
        }
    }

    async fn run(mut self) {
        let mut interruption = Interruption::Crash;
        loop {
            let ended = match self.inner.reader.session(&self.id).await {
                Ok(loaded) => {
                    let fresh = || Session::new(self.id.clone());
                    let mut machine = loaded.map_or_else(fresh, |(machine, _)| machine);
                    machine.resume(now(), interruption);
                    self.live(machine).await
                }
                Err(RequestError::Store(error)) => Ended::Store(error),
                Err(error) => {
                    tracing::error!(session = %self.id, %error, "the session cannot be rebuilt");
                    self.refuse_all(&error.to_string()).await;
                    Ended::Idle
                }
            };
            self.stop_effect();
            self.inner.workspaces.close(&self.id).await;
            match ended {
                Ended::Stopping => break,
                Ended::Idle => {
                    if self.inner.actors.release(&self.id, &mut self.commands) {
                        break;
                    }
                }
                Ended::Store(error) => {
                    interruption = Interruption::Store;
                    self.wait_for_the_store(&error).await;
                }
            }
        }
        self.inner.metrics.sessions_active.dec();
    }

    /// Works until nothing is left to do.
    async fn live(&mut self, mut machine: Session) -> Ended {
        let mut blobs = Vec::new();
        let mut answers: Vec<(Answerer, Reply)> = Vec::new();
        loop {
            if let Err(error) = self.write(&mut machine, &mut blobs).await {
                for (answerer, _) in answers.drain(..) {
                    let _gone = answerer.send(Err(RequestError::Commit(error.clone())));
                }
                return Ended::Store(error);
            }
            for (answerer, reply) in answers.drain(..) {
                let _gone = answerer.send(Ok(reply));
            }
            while let Some(effect) = machine.poll_effect() {
                self.start(effect);
            }
            if machine.is_idle() && self.running.is_none() && self.commands.is_empty() {
                return Ended::Idle;
            }
            match self.next(machine.poll_timeout()).await {
                Happened::Command(Some(command)) => match machine.handle(now(), command.input) {
                    Ok(reply) => {
                        blobs.extend(command.blobs);
                        answers.push((command.reply, reply));
                    }
                    Err(rejected) => {
                        let _gone = command.reply.send(Err(rejected.into()));
                    }
                },
                Happened::Performed(input, made) => {
                    blobs.extend(made);
                    if let Err(rejected) = machine.handle(now(), input) {
                        tracing::error!(session = %self.id, %rejected, "an outcome was refused");
                    }
                }
                Happened::Time => machine.handle_timeout(now()),
                Happened::Command(None) | Happened::Stop => return self.stop(machine).await,
            }
        }
    }

    /// Ends in good order: a tool that must not be repeated may finish, all else is given up, and
    /// the tape says that no crash did it.
    async fn stop(&mut self, mut machine: Session) -> Ended {
        let mut blobs = Vec::new();
        if let Some(Running { task, failed, .. }) = &mut self.running
            && is_once(failed)
            && let Ok(Ok((input, made))) = tokio::time::timeout(STOP_PATIENCE, task).await
        {
            self.running = None;
            blobs = made;
            if let Err(rejected) = machine.handle(now(), input) {
                tracing::error!(session = %self.id, %rejected, "an outcome was refused");
            }
        }
        if let Err(rejected) = machine.handle(now(), Input::Suspend) {
            tracing::error!(session = %self.id, %rejected, "the session cannot be suspended");
        }
        if let Err(error) = self.write(&mut machine, &mut blobs).await {
            tracing::warn!(session = %self.id, %error, "the store did not take the stop");
        }
        Ended::Stopping
    }

    async fn next(&mut self, timeout: Option<Timestamp>) -> Happened {
        let timer = async {
            match timeout {
                Some(at) => tokio::time::sleep(at.since(now())).await,
                None => std::future::pending().await,
            }
        };
        let running = &mut self.running;
        let performed = async {
            match running {
                Some(running) => (&mut running.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|is_stopping| *is_stopping) => Happened::Stop,
            performed = performed => {
                let failed = self.running.take().map(|running| running.failed);
                let (input, blobs) = match (performed, failed) {
                    (Ok(performed), _) => performed,
                    (Err(error), Some(effect)) => effects::panicked(&effect, &error),
                    (Err(_), None) => return Happened::Time,
                };
                Happened::Performed(input, blobs)
            }
            command = self.commands.recv() => Happened::Command(command),
            () = timer => Happened::Time,
        }
    }

    /// Makes what was decided durable, then tells of it.
    async fn write(
        &mut self,
        machine: &mut Session,
        blobs: &mut Vec<Blob>,
    ) -> Result<(), StoreError> {
        let blobs = std::mem::take(blobs);
        let Some(outbox) = machine.poll_outbox() else {
            return Ok(());
        };
        let batch = batch_of(machine, outbox, blobs);
        let records = batch.records.clone();
        let started = Instant::now();
        let written = self.inner.journal.append(batch).await;
        self.inner
            .metrics
            .commit_seconds
            .observe(started.elapsed().as_secs_f64());
        written.inspect_err(|_| {
            self.inner.metrics.commit_failures.inc();
        })?;
        if records
            .iter()
            .any(|record| !matches!(record.kind, RecordKind::TurnResumed { .. }))
        {
            self.pause = STORE_PAUSE;
        }
        machine.written(machine.last_seq());
        self.inner.metrics.count(&records);
        self.inner.feeds.tell_records(&self.id, &records);
        Ok(())
    }

    fn start(&mut self, effect: Effect) {
        if let Effect::Abort { turn } = &effect {
            if let Some(running) = self
                .running
                .as_ref()
                .filter(|running| running.turn == *turn)
            {
                running.abort.send_replace(true);
            }
            return;
        }
        let (abort, aborted) = watch::channel(false);
        let inner = Arc::clone(&self.inner);
        let performing = effects::perform(inner, self.id.clone(), effect.clone(), aborted);
        let task = tokio::spawn(performing);
        self.running = Some(Running {
            turn: turn_of(&effect).clone(),
            task,
            failed: effect,
            abort,
        });
    }

    fn stop_effect(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
        }
    }

    /// Tells everybody that the store failed, then waits until it may work again.
    async fn wait_for_the_store(&mut self, error: &StoreError) {
        tracing::error!(session = %self.id, %error, "the store failed; trying again");
        let report = RequestError::Commit(error.clone()).report();
        let turn = self.inner.reader.with({
            let id = self.id.clone();
            move |journal| journal.session(&id)
        });
        if let Ok(Some(row)) = turn.await
            && let Some(turn) = row.turn
        {
            let data = || serde_json::json!({ "error": report });
            self.inner
                .feeds
                .preview(&self.id, &turn.turn, now(), "turn_stalled", data);
        }
        let over = tokio::time::sleep(self.pause);
        self.pause = (self.pause * 2).min(STORE_PAUSE_MAX);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return,
                command = self.commands.recv() => {
                    let Some(command) = command else { return };
                    let _gone = command.reply.send(Err(RequestError::Commit(error.clone())));
                }
            }
        }
    }

    async fn refuse_all(&mut self, why: &str) {
        while !self.commands.is_empty() {
            if let Some(command) = self.commands.recv().await {
                let _gone = command
                    .reply
                    .send(Err(RequestError::Internal(why.to_owned())));
            }
        }
    }
}

fn turn_of(effect: &Effect) -> &TurnId {
    match effect {
        Effect::OpenWorkspace { turn, .. }
        | Effect::CallModel { turn, .. }
        | Effect::RunTool { turn, .. }
        | Effect::ProbeTool { turn, .. }
        | Effect::Abort { turn } => turn,
    }
}

fn is_once(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::RunTool {
            class: EffectClass::Once,
            ..
        }
    )
}
