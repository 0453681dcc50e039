//! Reads the journal where blocking is allowed, and rebuilds sessions from it.

use crate::error::RequestError;
use mainstay_contract::{Digest, Message, Seq, SessionId};
use mainstay_sessions::{
    Divergence, FirstDivergence, Journal, Record, Session, StoreError, TurnConfig,
};
use std::collections::HashMap;
use std::sync::Arc;

/// How many records are read at once.
const PAGE: usize = 2000;

/// A handle for reading. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    journal: Arc<dyn Journal>,
}

impl Reader {
    pub(crate) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal }
    }

    /// Reads on a thread that may block.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Journal) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let journal = Arc::clone(&self.journal);
        match tokio::task::spawn_blocking(move || read(&*journal)).await {
            Ok(read) => read,
            Err(error) => Err(StoreError::Io {
                what: format!("a reader ended early: {error}"),
            }),
        }
    }

    pub(crate) async fn records(
        &self,
        session: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let session = session.clone();
        self.with(move |journal| journal.records(&session, after, limit))
            .await
    }

    /// A stored message.
    pub(crate) async fn message(&self, digest: Digest) -> Result<Option<Message>, StoreError> {
        self.with(move |journal| message(journal, &digest)).await
    }

    /// Stored messages, all of which must be there.
    pub(crate) async fn messages(&self, digests: Vec<Digest>) -> Result<Vec<Message>, StoreError> {
        self.with(move |journal| {
            let missing = |digest: &Digest| StoreError::Corrupt {
                what: format!("the message {digest} is missing"),
            };
            let read = |digest: &Digest| message(journal, digest)?.ok_or_else(|| missing(digest));
            digests.iter().map(read).collect()
        })
        .await
    }

    /// The configuration of a turn.
    pub(crate) async fn config(&self, digest: Digest) -> Result<TurnConfig, StoreError> {
        self.with(move |journal| config(journal, &digest)).await
    }

    /// A session rebuilt from its journal, with its records; `None` where there is none.
    pub(crate) async fn session(
        &self,
        id: &SessionId,
    ) -> Result<Option<(Session, Vec<Record>)>, RequestError> {
        let id = id.clone();
        let loaded = self.with(move |journal| Ok(load(journal, &id))).await;
        loaded.map_err(RequestError::Store)?
    }
}

fn message(journal: &dyn Journal, digest: &Digest) -> Result<Option<Message>, StoreError> {
    let Some(bytes) = journal.blob(digest)? else {
        return Ok(None);
    };
    let unreadable = |error| StoreError::Corrupt {
        what: format!("message {digest}: {error}"),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
}

fn config(journal: &dyn Journal, digest: &Digest) -> Result<TurnConfig, StoreError> {
    let corrupt = |why: &dyn std::fmt::Display| StoreError::Corrupt {
        what: format!("configuration {digest}: {why}"),
    };
    let bytes = journal.blob(digest)?.ok_or_else(|| corrupt(&"missing"))?;
    serde_json::from_slice(&bytes).map_err(|error| corrupt(&error))
}

fn load(
    journal: &dyn Journal,
    id: &SessionId,
) -> Result<Option<(Session, Vec<Record>)>, RequestError> {
    let mut session = Session::new(id.clone());
    let mut all: Vec<Record> = Vec::new();
    let mut configs: HashMap<Digest, TurnConfig> = HashMap::new();
    loop {
        let after = session.last_seq();
        let page = journal
            .records(id, after, PAGE)
            .map_err(RequestError::Store)?;
        let is_last = page.len() < PAGE;
        for record in page {
            if let mainstay_sessions::RecordKind::TurnAccepted { config: digest, .. } = &record.kind
                && !configs.contains_key(digest)
            {
                let found = config(journal, digest).map_err(RequestError::Store)?;
                configs.insert(*digest, found);
            }
            let replayed = session.replay(&record, &|digest| configs.get(digest).cloned());
            replayed.map_err(broken)?;
            all.push(record);
        }
        if is_last {
            return Ok((!all.is_empty()).then_some((session, all)));
        }
    }
}

fn broken(error: Divergence) -> RequestError {
    RequestError::Diverged(FirstDivergence::Journal(error))
}
