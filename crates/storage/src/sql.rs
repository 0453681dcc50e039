//! Every statement, in one place.

use mainstay_sessions::TurnState;

/// `mnst`: tells our databases from everybody else's.
pub(crate) const APPLICATION_ID: i32 = 0x6d6e_7374;

/// How every connection is set up. A commit is durable when it returns.
pub(crate) const PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA busy_timeout = 5000;
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = 2000;
    PRAGMA journal_size_limit = 16777216;
";

/// Version 1.
pub(crate) const SCHEMA_1: &str = "
    CREATE TABLE sessions (
        rowid INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        agent TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        last_seq INTEGER NOT NULL
    );
    CREATE TABLE turns (
        rowid INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        session INTEGER NOT NULL,
        agent TEXT NOT NULL,
        state TEXT NOT NULL,
        accepted_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    );
    CREATE INDEX turns_by_session ON turns (session);
    CREATE INDEX turns_open ON turns (state)
        WHERE state NOT IN ('completed', 'failed', 'cancelled', 'steered');
    CREATE TABLE records (
        session INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (session, seq)
    ) WITHOUT ROWID;
    CREATE TABLE blobs (
        digest BLOB PRIMARY KEY,
        codec INTEGER NOT NULL,
        bytes BLOB
    ) WITHOUT ROWID;
";

pub(crate) const FIND_SESSION: &str = "SELECT rowid, last_seq FROM sessions WHERE id = ?1";
pub(crate) const INSERT_SESSION: &str = "
    INSERT INTO sessions (id, agent, created_at, changed_at, last_seq) VALUES (?1, ?2, ?3, ?3, 0)";
pub(crate) const UPDATE_SESSION: &str =
    "UPDATE sessions SET changed_at = ?2, last_seq = ?3 WHERE rowid = ?1";
pub(crate) const INSERT_RECORD: &str =
    "INSERT INTO records (session, seq, payload) VALUES (?1, ?2, ?3)";
pub(crate) const FIND_TURN_SESSION: &str = "SELECT session FROM turns WHERE id = ?1";
pub(crate) const UPSERT_TURN: &str = "
    INSERT INTO turns (id, session, agent, state, accepted_at, changed_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at";
pub(crate) const HAS_BLOB: &str = "SELECT 1 FROM blobs WHERE digest = ?1";
pub(crate) const INSERT_BLOB: &str =
    "INSERT OR IGNORE INTO blobs (digest, codec, bytes) VALUES (?1, ?2, ?3)";
pub(crate) const GET_BLOB: &str = "SELECT codec, bytes FROM blobs WHERE digest = ?1";
pub(crate) const DELETE_BLOB: &str = "DELETE FROM blobs WHERE digest = ?1";
pub(crate) const ALL_BLOBS: &str = "SELECT digest FROM blobs";
pub(crate) const ALL_PAYLOADS: &str = "SELECT payload FROM records";
pub(crate) const ALL_SESSIONS: &str = "SELECT rowid, id, last_seq FROM sessions ORDER BY rowid";
pub(crate) const SESSION_RECORDS: &str =
    "SELECT seq, payload FROM records WHERE session = ?1 ORDER BY seq";
pub(crate) const SESSION_TURNS: &str = "SELECT id, state FROM turns WHERE session = ?1";
pub(crate) const STRAY_RECORDS: &str = "
    SELECT session, count(*) FROM records
    WHERE session NOT IN (SELECT rowid FROM sessions) GROUP BY session";
pub(crate) const RECORDS_AFTER: &str = "
    SELECT payload FROM records JOIN sessions ON sessions.rowid = records.session
    WHERE sessions.id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
pub(crate) const SESSIONS: &str = "
    SELECT s.id, s.agent, s.created_at, s.last_seq, s.changed_at,
           t.id, t.agent, t.state, t.accepted_at, t.changed_at
    FROM sessions s LEFT JOIN turns t
        ON t.rowid = (SELECT max(rowid) FROM turns WHERE session = s.rowid)";
pub(crate) const TURNS: &str = "
    SELECT t.id, s.id, t.agent, t.state, t.accepted_at, t.changed_at
    FROM turns t JOIN sessions s ON s.rowid = t.session";
pub(crate) const OPEN_TURNS: &str = "
    WHERE t.state NOT IN ('completed', 'failed', 'cancelled', 'steered') ORDER BY t.accepted_at";
pub(crate) const REMOVE_SESSION: [&str; 3] = [
    "DELETE FROM records WHERE session = ?1",
    "DELETE FROM turns WHERE session = ?1",
    "DELETE FROM sessions WHERE rowid = ?1",
];

/// A turn's state as the statements above name it.
pub(crate) const fn state_text(state: TurnState) -> &'static str {
    match state {
        TurnState::Accepted => "accepted",
        TurnState::Running => "running",
        TurnState::InDoubt => "in_doubt",
        TurnState::Quarantined => "quarantined",
        TurnState::Completed => "completed",
        TurnState::Failed => "failed",
        TurnState::Cancelled => "cancelled",
        TurnState::Steered => "steered",
    }
}
