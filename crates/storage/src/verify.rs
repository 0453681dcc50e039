//! Looks at everything that is stored, for `doctor`.

use crate::blobs::BlobFolder;
use crate::error::sqlite;
use crate::sql;
use mainstay_contract::Digest;
use mainstay_sessions::{Record, RecordKind, Resolution, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
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
    /// A blob that a record names is missing or damaged.
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
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DataStats {
    /// The database and its log, in bytes.
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
    database: &Path,
) -> Result<VerifyReport, StoreError> {
    let failed = |error: rusqlite::Error| sqlite(&error, database);
    let mut report = VerifyReport::default();
    let mut check = connection.prepare("PRAGMA quick_check").map_err(failed)?;
    let lines = check
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(failed)?;
    for line in lines {
        let what = line.map_err(failed)?;
        if what != "ok" {
            report.findings.push(Finding::Database { what });
        }
    }
    let named = records(connection, &mut report).map_err(failed)?;
    for digest in named {
        report.blobs += 1;
        let why = match blobs.get(connection, &digest, database) {
            Ok(Some(_)) => continue,
            Ok(None) => "it is missing".to_owned(),
            Err(error) => error.to_string(),
        };
        report.findings.push(Finding::Blob { digest, why });
    }
    Ok(report)
}

/// Reads every record; the blobs they name.
fn records(
    connection: &Connection,
    report: &mut VerifyReport,
) -> rusqlite::Result<HashSet<Digest>> {
    let mut named = HashSet::new();
    let mut all = connection.prepare(sql::ALL_RECORDS)?;
    let mut rows = all.query([])?;
    let mut before: Option<(String, i64)> = None;
    while let Some(row) = rows.next()? {
        let (session, seq, payload): (String, i64, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        report.records += 1;
        let expected = match &before {
            Some((last, seq)) if *last == session => seq + 1,
            _ => 1,
        };
        if seq != expected {
            report.findings.push(Finding::Gap {
                session: session.clone(),
                seq: expected,
            });
        }
        match serde_json::from_str::<Record>(&payload) {
            Ok(record) => named.extend(blobs_of(&record.kind)),
            Err(error) => report.findings.push(Finding::Record {
                session: session.clone(),
                seq,
                why: error.to_string(),
            }),
        }
        before = Some((session, seq));
    }
    Ok(named)
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

pub(crate) fn stats(connection: &Connection, database: &Path) -> Result<DataStats, StoreError> {
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
        bytes: size(database) + size(Path::new(&log)),
        sessions: count("sessions")?,
        records: count("records")?,
        blobs: count("blobs")?,
    })
}
