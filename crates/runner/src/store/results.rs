//! What belongs together under a task's key. The first line of the file names the format and the digest
//! of the rest.
//!
//! What the collection removes leaves a tombstone behind for a while: the ingredients without the result,
//! so that it can still be said what a miss is due to.

use super::{Store, settle};
use crate::disk::temporary;
use mainstay_tasks::{Ingredients, TaskKey, TaskResult};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const FORMAT: &str = "mainstay-result-1";

/// A use is noted once in this time, so that asking the cache usually writes nothing.
const USE_NOTED_EVERY: Duration = Duration::from_secs(3600);

/// What the cache has under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A result.
    Result(Box<TaskResult>),
    /// There was one.
    Evicted(Box<Ingredients>),
}

impl Store {
    pub(super) fn result(&self, key: &TaskKey) -> PathBuf {
        self.place("results", &key.to_string())
    }

    /// What the cache has under a key. A damaged entry is thrown away.
    pub(crate) fn entry(&self, key: &TaskKey) -> io::Result<Option<Entry>> {
        let path = self.result(key);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let entry = parse(&bytes).filter(|entry| entry.ingredients().key() == *key);
        if entry.is_none() {
            tracing::warn!(%key, "a damaged result was thrown away");
            let _gone = fs::remove_file(&path);
        }
        Ok(entry)
    }

    /// The result under a key.
    pub(crate) fn find(&self, key: &TaskKey) -> io::Result<Option<TaskResult>> {
        Ok(match self.entry(key)? {
            Some(Entry::Result(result)) => Some(*result),
            Some(Entry::Evicted(_)) | None => None,
        })
    }

    /// Adds a result, all of whose blobs are there. Call it under [`Store::adding`].
    pub(crate) fn add(&self, key: &TaskKey, result: TaskResult) -> io::Result<()> {
        self.write_entry(&self.result(key), &Entry::Result(Box::new(result)))
    }

    /// Notes that a result was used.
    pub(crate) fn used(&self, key: &TaskKey) {
        let Ok(file) = File::open(self.result(key)) else {
            return;
        };
        let used = file.metadata().and_then(|found| found.modified());
        let is_recent = used.is_ok_and(|at| {
            SystemTime::now().duration_since(at).unwrap_or_default() < USE_NOTED_EVERY
        });
        if !is_recent && let Err(error) = file.set_modified(SystemTime::now()) {
            tracing::debug!(%key, %error, "the use of a result was not noted");
        }
    }

    /// Throws a result away.
    pub(crate) fn remove(&self, key: &TaskKey) {
        let _gone = fs::remove_file(self.result(key));
    }

    pub(super) fn write_entry(&self, path: &Path, entry: &Entry) -> io::Result<()> {
        let json = serde_json::to_vec(entry)?;
        let mut bytes = format!("{FORMAT} {}\n", blake3::hash(&json).to_hex()).into_bytes();
        bytes.extend(json);
        let temporary = temporary(&self.folder.join("tmp"));
        let written = fs::write(&temporary, &bytes).and_then(|()| settle(&temporary, path));
        if written.is_err() {
            let _gone = fs::remove_file(&temporary);
        }
        written
    }
}

impl Entry {
    pub(crate) fn ingredients(&self) -> &Ingredients {
        match self {
            Self::Result(result) => &result.ingredients,
            Self::Evicted(ingredients) => ingredients,
        }
    }
}

pub(super) fn parse(bytes: &[u8]) -> Option<Entry> {
    let line = bytes.iter().position(|&byte| byte == b'\n')?;
    let (first, json) = (&bytes[..line], &bytes[line + 1..]);
    let sum = std::str::from_utf8(first)
        .ok()?
        .strip_prefix(FORMAT)?
        .trim();
    if blake3::hash(json).to_hex().as_str() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}
