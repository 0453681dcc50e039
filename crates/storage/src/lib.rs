//! The journal on SQLite, and its blobs beside it.
//!
//! One thread writes: it takes what is waiting, makes it one transaction with `synchronous=FULL`, and
//! answers everybody at once. Readers have connections of their own. Large blobs are files that are
//! durable before the transaction that names them.

mod apply;
mod blobs;
mod connection;
mod error;
mod journal;
mod lock;
mod migrations;
mod names;
mod prepare;
mod read;
mod sql;
mod sweep;
mod verify;
mod writer;

pub use journal::{OpenParams, SqliteJournal};
pub use lock::DataDirLock;
pub use verify::{DataStats, Finding, VerifyReport};
