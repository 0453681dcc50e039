//! What can be seen of sessions, without changing anything.

use super::Node;
use crate::error::RequestError;
use crate::export::{self, ReplayReport};
use crate::feed;
use futures_util::Stream;
use mainstay_contract::{Digest, Event, Message, Seq, SessionId, TurnId};
use mainstay_sessions::{Record, Session, SessionRow, SessionView, StoreError, TurnRow, TurnView};

impl Node {
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

    pub(super) async fn load(
        &self,
        session: &SessionId,
    ) -> Result<(Session, Vec<Record>), RequestError> {
        let loaded = self.inner.reader.session(session).await?;
        loaded.ok_or_else(|| RequestError::not_found("session", session.as_str()))
    }

    pub(super) async fn row(&self, session: &SessionId) -> Result<SessionRow, RequestError> {
        let id = session.clone();
        let row = self.inner.reader.with(move |journal| journal.session(&id));
        let row = row.await.map_err(RequestError::Store)?;
        row.ok_or_else(|| RequestError::not_found("session", session.as_str()))
    }

    pub(super) async fn turn_row(&self, turn: &TurnId) -> Result<Option<TurnRow>, RequestError> {
        let id = turn.clone();
        let row = self.inner.reader.with(move |journal| journal.turn(&id));
        row.await.map_err(RequestError::Store)
    }

    pub(super) async fn session_of(&self, turn: &TurnId) -> Result<SessionId, RequestError> {
        let row = self.turn_row(turn).await?;
        row.map(|row| row.session)
            .ok_or_else(|| RequestError::not_found("turn", turn.as_str()))
    }
}
