//! Who listens to a session. The journal is the tape; a feed only says that there is more, and carries
//! previews that are not kept.

use crate::journal::Reader;
use futures_util::stream::{self, Stream};
use mainstay_contract::{Event, Seq, SessionId, Timestamp, TurnId};
use mainstay_sessions::{Record, StoreError, event_of};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How far a listener may lag before it reads from the journal again.
const LAG_MAX: usize = 1024;
/// How many records are read at once.
const PAGE: usize = 500;

/// All listeners of a node.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    senders: Mutex<HashMap<SessionId, broadcast::Sender<Arc<Event>>>>,
}

impl Feeds {
    pub(crate) fn listen(&self, session: &SessionId) -> broadcast::Receiver<Arc<Event>> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = senders
            .entry(session.clone())
            .or_insert_with(|| broadcast::channel(LAG_MAX).0);
        sender.subscribe()
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> Event, session: &SessionId) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = senders.get(session) else {
            return;
        };
        if sender.receiver_count() == 0 {
            senders.remove(session);
        } else {
            let _nobody_left = sender.send(Arc::new(event()));
        }
    }

    /// Tells of records that are durable now.
    pub(crate) fn tell_records(&self, session: &SessionId, records: &[Record]) {
        for record in records {
            self.tell(|| event_of(session, record), session);
        }
    }

    /// Tells of something that is not kept.
    pub(crate) fn preview(
        &self,
        session: &SessionId,
        turn: &TurnId,
        at: Timestamp,
        kind: &str,
        data: impl FnOnce() -> serde_json::Value,
    ) {
        let event = || Event {
            session: session.clone(),
            seq: Seq(0),
            at,
            turn: Some(turn.clone()),
            kind: kind.to_owned(),
            data: data(),
        };
        self.tell(event, session);
    }
}

struct Tape {
    reader: Reader,
    session: SessionId,
    cursor: Seq,
    ready: VecDeque<Event>,
    live: broadcast::Receiver<Arc<Event>>,
    is_caught_up: bool,
}

/// The events of a session after a place: first those that are stored, then those that come, without
/// a gap and without a repetition.
pub(crate) fn follow(
    reader: Reader,
    session: SessionId,
    after: Seq,
    live: broadcast::Receiver<Arc<Event>>,
) -> impl Stream<Item = Result<Event, StoreError>> + Send + use<> {
    let tape = Tape {
        reader,
        session,
        cursor: after,
        ready: VecDeque::new(),
        live,
        is_caught_up: false,
    };
    stream::unfold(Some(tape), |tape| async move {
        let mut tape = tape?;
        match tape.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(tape))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Tape {
    async fn next(&mut self) -> Result<Option<Event>, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.cursor = self.cursor.max(event.seq);
                return Ok(Some(event));
            }
            if !self.is_caught_up {
                self.read().await?;
                continue;
            }
            match self.live.recv().await {
                Ok(event) if event.seq == Seq(0) || event.seq == self.cursor.next() => {
                    self.ready.push_back((*event).clone());
                }
                Ok(event) => self.is_caught_up = event.seq <= self.cursor,
                Err(RecvError::Lagged(_)) => self.is_caught_up = false,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        let records = self
            .reader
            .records(&self.session, self.cursor, PAGE)
            .await?;
        self.is_caught_up = records.len() < PAGE;
        self.ready
            .extend(records.iter().map(|record| event_of(&self.session, record)));
        Ok(())
    }
}
