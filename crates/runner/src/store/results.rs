//! What belongs together under a task's key, in one file: a line that names the format, the digest of the
//! rest and how long the description is; the description; then the small contents, one after the other.
//!
//! What the collection removes leaves a tombstone behind for a while: the ingredients without the result,
//! so that it can still be said what a miss is due to.

use super::contents::{Contents, Small};
use super::{Store, settle};
use crate::disk::temporary;
use mainstay_tasks::{Content, Ingredients, TaskKey, TaskResult};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const FORMAT: &str = "mainstay-result-1";

/// A use is noted once in this time, so that asking the cache usually writes nothing.
const USE_NOTED_EVERY: Duration = Duration::from_secs(3600);

/// What the cache has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A result, and its small contents.
    Result(Box<TaskResult>, Small),
    /// There was one.
    Evicted(Box<Ingredients>),
}

/// A result and where its bytes are.
#[derive(Debug, Clone)]
pub(crate) struct Kept<'s> {
    pub(crate) result: TaskResult,
    pub(crate) contents: Contents<'s>,
}

/// An entry as the file describes it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Description<R, I> {
    Result { result: R, small: Vec<Content> },
    Evicted(I),
}

impl Store {
    pub(super) fn result(&self, key: &TaskKey) -> PathBuf {
        self.place("results", &key.to_string())
    }

    /// What the cache has under a key. A damaged entry is thrown away, and an error of the kind
    /// [`io::ErrorKind::InvalidData`].
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
            let _gone = fs::remove_file(&path);
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(entry)
    }

    /// The result under a key.
    pub(crate) fn find(&self, key: &TaskKey) -> io::Result<Option<Kept<'_>>> {
        Ok(match self.entry(key)? {
            Some(Entry::Result(result, small)) => Some(Kept {
                result: *result,
                contents: Contents::new(self, small),
            }),
            Some(Entry::Evicted(_)) | None => None,
        })
    }

    /// Adds a result, all of whose blobs are there. Call it under [`Store::adding`].
    pub(crate) fn add(&self, key: &TaskKey, result: &TaskResult, small: &Small) -> io::Result<()> {
        let listed = small.iter().map(|(digest, bytes)| Content {
            digest: *digest,
            bytes: bytes.len() as u64,
        });
        let small_list = listed.collect();
        let description = Description::<_, &Ingredients>::Result {
            result,
            small: small_list,
        };
        self.write_entry(&self.result(key), &description, small)
    }

    /// Puts a tombstone in the place of a result.
    pub(super) fn bury(&self, path: &Path, ingredients: &Ingredients) -> io::Result<()> {
        let description = Description::<&TaskResult, _>::Evicted(ingredients);
        self.write_entry(path, &description, &Small::new())
    }

    /// The file of a result.
    pub(crate) fn result_file(&self, key: &TaskKey) -> io::Result<Vec<u8>> {
        fs::read(self.result(key))
    }

    /// Notes that a result was used.
    pub(crate) fn used(&self, key: &TaskKey) {
        let path = self.result(key);
        let used = fs::metadata(&path).and_then(|found| found.modified());
        let is_recent = used.is_ok_and(|at| {
            SystemTime::now().duration_since(at).unwrap_or_default() < USE_NOTED_EVERY
        });
        if is_recent {
            return;
        }
        let noted = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = noted {
            tracing::debug!(%key, %error, "the use of a result was not noted");
        }
    }

    /// Whether it is time again to note which results a workspace uses.
    pub(crate) fn is_use_to_be_noted(&self, root: &Path) -> bool {
        let stamp = self.of_workspace(root).join("used");
        let noted = fs::metadata(&stamp).and_then(|found| found.modified());
        let is_recent = noted.is_ok_and(|at| {
            SystemTime::now().duration_since(at).unwrap_or_default() < USE_NOTED_EVERY
        });
        !is_recent && fs::write(stamp, b"").is_ok()
    }

    /// Throws a result away.
    pub(crate) fn remove(&self, key: &TaskKey) {
        let _gone = fs::remove_file(self.result(key));
    }

    fn write_entry(&self, path: &Path, entry: &impl Serialize, small: &Small) -> io::Result<()> {
        let mut body = serde_json::to_vec(entry)?;
        let length = body.len();
        small.values().for_each(|bytes| body.extend(bytes));
        let sum = blake3::hash(&body).to_hex();
        let mut bytes = format!("{FORMAT} {sum} {length}\n").into_bytes();
        bytes.extend(body);
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
            Self::Result(result, _) => &result.ingredients,
            Self::Evicted(ingredients) => ingredients,
        }
    }
}

/// Reads the file of an entry; nothing where it is none, or not whole.
pub(crate) fn parse(bytes: &[u8]) -> Option<Entry> {
    let line = bytes.iter().position(|&byte| byte == b'\n')?;
    let (first, body) = (&bytes[..line], &bytes[line + 1..]);
    let mut words = std::str::from_utf8(first).ok()?.split(' ');
    let (format, sum, length) = (words.next()?, words.next()?, words.next()?);
    if format != FORMAT || blake3::hash(body).to_hex().as_str() != sum {
        return None;
    }
    let (json, mut rest) = body.split_at_checked(length.parse().ok()?)?;
    let described: Description<TaskResult, Ingredients> = serde_json::from_slice(json).ok()?;
    Some(match described {
        Description::Evicted(ingredients) => Entry::Evicted(Box::new(ingredients)),
        Description::Result { result, small } => {
            let mut contents = Small::new();
            for Content { digest, bytes } in small {
                let (own, after) = rest.split_at_checked(usize::try_from(bytes).ok()?)?;
                contents.insert(digest, own.to_vec());
                rest = after;
            }
            Entry::Result(Box::new(result), contents)
        }
    })
}
