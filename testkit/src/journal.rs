//! A journal in memory, for tests that need no disk. It forgets everything when it is dropped.

use mainstay_contract::{AgentName, Digest, Seq, SessionId, Timestamp, TurnId};
use mainstay_sessions::{
    BlobContent, BoxFuture, Journal, JournalBatch, Record, SessionRow, StoreError, TurnRow, digest,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The fake of the journal port.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    sessions: BTreeMap<SessionId, HeldSession>,
    blobs: HashMap<Digest, Vec<u8>>,
    /// Counts changes, to tell the order of those in the same millisecond.
    changes: u64,
    /// What every append answers while it is set.
    failure: Option<StoreError>,
}

#[derive(Debug)]
struct HeldSession {
    agent: AgentName,
    created_at: Timestamp,
    changed_at: Timestamp,
    /// The order among sessions that changed in the same millisecond.
    number: u64,
    records: Vec<Record>,
    turns: Vec<TurnRow>,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets every append fail from now on, or work again.
    pub fn fail(&self, failure: Option<StoreError>) {
        self.held().failure = failure;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn io(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io {
        what: format!("{}: {error}", path.display()),
    }
}

impl Held {
    fn append(&mut self, batch: JournalBatch) -> Result<(), StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let mut blobs = Vec::new();
        for blob in batch.blobs {
            let bytes = match blob.content {
                BlobContent::Bytes(bytes) => bytes,
                BlobContent::File(path) => {
                    std::fs::read(&path).map_err(|error| io(&path, &error))?
                }
            };
            if digest(&bytes) != blob.digest {
                let what = format!("blob {} was handed over with other bytes", blob.digest);
                return Err(StoreError::Corrupt { what });
            }
            blobs.push((blob.digest, bytes));
        }
        let held = self.sessions.get(&batch.session);
        let held = held.map_or(0, |session| session.records.len() as u64);
        for (last, record) in (held..).zip(&batch.records) {
            if record.seq.0 != last + 1 {
                let what = format!("record {} of {} after {last}", record.seq.0, batch.session);
                return Err(StoreError::Conflict { what });
            }
        }
        for turn in &batch.turns {
            if self.is_of_another(&turn.turn, &batch.session) {
                let what = format!("turn {} belongs to another session", turn.turn);
                return Err(StoreError::Conflict { what });
            }
        }
        self.blobs.extend(blobs);
        self.write(batch.session, batch.agent, batch.records, batch.turns);
        Ok(())
    }

    fn is_of_another(&self, turn: &TurnId, session: &SessionId) -> bool {
        let mut others = self.sessions.iter().filter(|(id, _)| *id != session);
        others.any(|(_, held)| held.turns.iter().any(|row| row.turn == *turn))
    }

    fn write(
        &mut self,
        id: SessionId,
        agent: AgentName,
        records: Vec<Record>,
        turns: Vec<TurnRow>,
    ) {
        self.changes += 1;
        let at = records.first().map_or(Timestamp(0), |record| record.at);
        let number = self.changes;
        let session = self.sessions.entry(id).or_insert_with(|| HeldSession {
            agent,
            created_at: at,
            changed_at: at,
            number,
            records: Vec::new(),
            turns: Vec::new(),
        });
        if let Some(last) = records.last() {
            session.changed_at = last.at;
        }
        session.records.extend(records);
        for turn in turns {
            match session.turns.iter_mut().find(|row| row.turn == turn.turn) {
                Some(row) => {
                    row.state = turn.state;
                    row.changed_at = turn.changed_at;
                }
                None => session.turns.push(turn),
            }
        }
    }

    /// Removes the blobs that nothing names any more.
    fn sweep(&mut self) {
        let mut named: HashSet<Digest> = HashSet::new();
        let mut todo: Vec<String> = Vec::new();
        for session in self.sessions.values() {
            let records = session.records.iter();
            todo.extend(records.filter_map(|record| serde_json::to_string(record).ok()));
        }
        while let Some(text) = todo.pop() {
            for (digest, bytes) in &self.blobs {
                if !named.contains(digest) && text.contains(&digest.to_string()) {
                    named.insert(*digest);
                    todo.push(String::from_utf8_lossy(bytes).into_owned());
                }
            }
        }
        self.blobs.retain(|digest, _| named.contains(digest));
    }
}

fn row(id: &SessionId, session: &HeldSession) -> SessionRow {
    SessionRow {
        session: id.clone(),
        agent: session.agent.clone(),
        created_at: session.created_at,
        last_seq: Seq(session.records.len() as u64),
        changed_at: session.changed_at,
        turn: session.turns.last().cloned(),
    }
}

impl Journal for MemoryJournal {
    fn append(&self, batch: JournalBatch) -> BoxFuture<'_, Result<(), StoreError>> {
        let done = self.held().append(batch);
        Box::pin(std::future::ready(done))
    }

    fn records(
        &self,
        session: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let held = self.held();
        let records = held.sessions.get(session).map(|held| held.records.iter());
        let records = records.into_iter().flatten();
        let wanted = records.filter(|record| record.seq > after).take(limit);
        Ok(wanted.cloned().collect())
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held().blobs.get(digest).cloned())
    }

    fn blob_to_file(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError> {
        let Some(bytes) = self.blob(digest)? else {
            return Ok(false);
        };
        let file = File::create_new(path);
        let written = file.and_then(|mut file| file.write_all(&bytes));
        written.map(|()| true).map_err(|error| io(path, &error))
    }

    fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let held = self.held();
        let mut all: Vec<_> = held.sessions.iter().collect();
        all.sort_by_key(|(_, session)| std::cmp::Reverse((session.changed_at, session.number)));
        Ok(all.into_iter().map(|(id, held)| row(id, held)).collect())
    }

    fn session(&self, session: &SessionId) -> Result<Option<SessionRow>, StoreError> {
        let held = self.held();
        Ok(held.sessions.get(session).map(|found| row(session, found)))
    }

    fn turn(&self, turn: &TurnId) -> Result<Option<TurnRow>, StoreError> {
        let held = self.held();
        let mut all = held.sessions.values().flat_map(|held| &held.turns);
        Ok(all.find(|row| row.turn == *turn).cloned())
    }

    fn open_turns(&self) -> Result<Vec<TurnRow>, StoreError> {
        let held = self.held();
        let all = held.sessions.values().flat_map(|held| &held.turns);
        let mut open: Vec<TurnRow> = all.filter(|row| !row.state.is_final()).cloned().collect();
        open.sort_by_key(|row| row.accepted_at);
        Ok(open)
    }

    fn remove_session(&self, session: &SessionId) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut held = self.held();
        held.sessions.remove(session);
        held.sweep();
        Box::pin(std::future::ready(Ok(())))
    }
}
