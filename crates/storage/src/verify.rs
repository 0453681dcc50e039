//! Looks at everything that is stored, for `doctor`: as it is at one moment, while others write.

use crate::blobs::BlobFolder;
use crate::error::sqlite;
use crate::sql;
use crate::sweep::all_blobs;
use mainstay_contract::{Digest, SessionId};
use mainstay_sessions::{Record, RecordKind, Resolution, Session, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::io::sink;
use std::path::Path;

/// One kind of damage, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// SQLite's own check says so.
    Database {
        /// What it says.
        what: String,
    },
    /// A record cannot be read.
    Record {
        /// Its session.
        session: String,
        /// Its place.
        seq: i64,
        /// Why.
        why: String,
    },
    /// A place on the tape is missing.
    Gap {
        /// The session.
        session: String,
        /// The place that is missing.
        seq: i64,
    },
    /// The records of a session cannot have followed each other.
    Diverged {
        /// The session.
        session: String,
        /// Where and why.
        why: String,
    },
    /// The row of a session or turn does not say what the records say.
    Row {
        /// The session.
        session: String,
        /// The turn; `None` for the session's own row.
        turn: Option<String>,
        /// What the row says.
        row: String,
        /// What the records say.
        records: String,
    },
    /// A blob that a record names is missing, or a stored one is damaged.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { what } => write!(f, "the database: {what}"),
            Self::Record { session, seq, why } => write!(f, "record {seq} of {session}: {why}"),
            Self::Gap { session, seq } => write!(f, "record {seq} of {session} is missing"),
            Self::Diverged { session, why } => write!(f, "session {session}: {why}"),
            Self::Row {
                session,
                turn,
                row,
                records,
            } => {
                let turn = turn.as_deref().unwrap_or("itself");
                write!(
                    f,
                    "session {session}: its row of {turn} says {row}, the records say {records}"
                )
            }
            Self::Blob { digest, why } => write!(f, "blob {digest}: {why}"),
        }
    }
}

/// What was looked at, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// How many records were read.
    pub records: u64,
    /// How many blobs were read.
    pub blobs: u64,
    /// What is damaged.
    pub findings: Vec<Finding>,
    /// Files of blobs that never got a row: harmless, left by a crash, removed with the next session
    /// that is removed.
    pub leftovers: Vec<Digest>,
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DataStats {
    /// The database, its log and the files of large blobs, in bytes.
    pub bytes: u64,
    /// Sessions.
    pub sessions: u64,
    /// Records.
    pub records: u64,
    /// Blobs.
    pub blobs: u64,
}

pub(crate) fn verify(
    connection: &Connection,
    blobs: &BlobFolder,
    files: &[Digest],
    database: &Path,
) -> Result<VerifyReport, StoreError> {
    let failed = |error: rusqlite::Error| sqlite(&error, database);
    let mut check = Check {
        connection,
        blobs,
        database,
        named: BTreeSet::new(),
        report: VerifyReport::default(),
    };
    check.pages().map_err(failed)?;
    for (row, session, last) in check.sessions().map_err(failed)? {
        check.session(row, &session, last).map_err(failed)?;
    }
    let stored = all_blobs(connection).map_err(failed)?;
    check.stored(&stored);
    let leftovers = files.iter().filter(|file| !stored.contains(file));
    check.report.leftovers = leftovers.copied().collect();
    Ok(check.report)
}

struct Check<'a> {
    connection: &'a Connection,
    blobs: &'a BlobFolder,
    database: &'a Path,
    named: BTreeSet<Digest>,
    report: VerifyReport,
}

impl Check<'_> {
    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    fn pages(&mut self) -> rusqlite::Result<()> {
        let mut check = self.connection.prepare("PRAGMA integrity_check")?;
        let lines = check.query_map([], |row| row.get::<_, String>(0))?;
        for line in lines {
            let what = line?;
            if what != "ok" {
                self.find(Finding::Database { what });
            }
        }
        let mut strays = self.connection.prepare(sql::STRAY_RECORDS)?;
        let strays = strays.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for stray in strays {
            let (session, count): (i64, i64) = stray?;
            let what = format!("{count} records belong to session {session}, which has no row");
            self.find(Finding::Database { what });
        }
        Ok(())
    }

    fn sessions(&self) -> rusqlite::Result<Vec<(i64, String, i64)>> {
        let mut all = self.connection.prepare_cached(sql::ALL_SESSIONS)?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }

    /// Reads the records of a session, replays them, and compares the rows with the outcome.
    fn session(&mut self, row: i64, session: &str, last_of_row: i64) -> rusqlite::Result<()> {
        let mut replayed = SessionId::new(session).ok().map(Session::new);
        let mut last = 0;
        let mut select = self.connection.prepare_cached(sql::SESSION_RECORDS)?;
        let mut rows = select.query([row])?;
        while let Some(found) = rows.next()? {
            let (seq, payload): (i64, String) = (found.get(0)?, found.get(1)?);
            self.report.records += 1;
            let session = session.to_owned();
            if seq != last + 1 {
                let seq = last + 1;
                let session = session.clone();
                self.find(Finding::Gap { session, seq });
                replayed = None;
            }
            last = seq;
            let record = match serde_json::from_str::<Record>(&payload) {
                Ok(record) => record,
                Err(error) => {
                    let why = error.to_string();
                    self.find(Finding::Record { session, seq, why });
                    replayed = None;
                    continue;
                }
            };
            self.named.extend(blobs_of(&record.kind));
            if let Some(machine) = &mut replayed
                && let Err(error) = machine.replay(&record, &|digest| self.config(digest))
            {
                let why = error.to_string();
                self.find(Finding::Diverged { session, why });
                replayed = None;
            }
        }
        if last != last_of_row {
            self.find(Finding::Row {
                session: session.to_owned(),
                turn: None,
                row: format!("{last_of_row} records"),
                records: last.to_string(),
            });
        }
        match replayed {
            Some(replayed) => self.turns(row, session, &replayed),
            None => Ok(()),
        }
    }

    fn turns(&mut self, row: i64, session: &str, replayed: &Session) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare_cached(sql::SESSION_TURNS)?;
        let rows = select.query_map([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut rows: BTreeMap<String, String> = rows.collect::<Result<_, _>>()?;
        for turn in replayed.view().turns {
            let state = crate::sql::state_text(turn.state);
            let row = rows.remove(turn.turn.as_str());
            let row = row.unwrap_or_else(|| "nothing".to_owned());
            if row != state {
                self.find(Finding::Row {
                    session: session.to_owned(),
                    turn: Some(turn.turn.to_string()),
                    row,
                    records: state.to_owned(),
                });
            }
        }
        for (turn, row) in rows {
            self.find(Finding::Row {
                session: session.to_owned(),
                turn: Some(turn),
                row,
                records: "nothing".to_owned(),
            });
        }
        Ok(())
    }

    fn config(&self, digest: &Digest) -> Option<mainstay_sessions::TurnConfig> {
        let bytes = self.blobs.get(self.connection, digest, self.database);
        serde_json::from_slice(&bytes.ok()??).ok()
    }

    /// Reads every stored blob, and looks for the ones that records name.
    fn stored(&mut self, stored: &HashSet<Digest>) {
        for digest in self.named.iter().filter(|digest| !stored.contains(digest)) {
            let why = "a record names it and it is missing".to_owned();
            let digest = *digest;
            self.report.findings.push(Finding::Blob { digest, why });
        }
        for digest in stored {
            self.report.blobs += 1;
            let read = self
                .blobs
                .read(self.connection, digest, self.database, &mut sink());
            if let Err(error) = read {
                let (digest, why) = (*digest, error.to_string());
                self.find(Finding::Blob { digest, why });
            }
        }
    }
}

fn blobs_of(kind: &RecordKind) -> Vec<Digest> {
    match kind {
        RecordKind::TurnAccepted { config, input, .. } => vec![*config, *input],
        RecordKind::InputSteered { input, .. } => vec![*input],
        RecordKind::WorkspaceOpened { state, .. } => vec![*state],
        RecordKind::ModelAnswered { message, .. } | RecordKind::TurnCompleted { message, .. } => {
            vec![*message]
        }
        RecordKind::ToolCompleted {
            result, workspace, ..
        } => [*result].into_iter().chain(*workspace).collect(),
        RecordKind::ToolResolved {
            resolution: Resolution::Result(digest) | Resolution::Fail(digest),
            ..
        } => vec![*digest],
        _ => Vec::new(),
    }
}

pub(crate) fn stats(
    connection: &Connection,
    files: u64,
    database: &Path,
) -> Result<DataStats, StoreError> {
    let count = |table: &str| -> Result<u64, StoreError> {
        let text = format!("SELECT count(*) FROM {table}");
        let count: i64 = connection
            .query_row(&text, [], |row| row.get(0))
            .map_err(|error| sqlite(&error, database))?;
        Ok(u64::try_from(count).unwrap_or_default())
    };
    let log = format!("{}-wal", database.display());
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    Ok(DataStats {
        bytes: size(database) + size(Path::new(&log)) + files,
        sessions: count("sessions")?,
        records: count("records")?,
        blobs: count("blobs")?,
    })
}
