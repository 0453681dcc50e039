//! Keeping the cache within its budget: what was not used for longest goes first.
//!
//! Safe beside runs that add: the lock is taken alone for a moment at the start, so that everything added
//! before is seen whole; whatever is added or used later is younger than that moment and is passed over,
//! which is looked at again, under the lock, before anything is removed.

use super::Store;
use super::results::{Entry, parse};
use crate::files::now;
use mainstay_contract::Digest;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much is removed under the lock before others get their turn.
const BATCH: usize = 256;

const NANOS: i64 = 1_000_000_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most bytes.
    pub bytes: u64,
    /// How long after the last use.
    pub age: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: 10 << 30,
            age: Duration::from_secs(30 * 86_400),
        }
    }
}

/// What was removed, and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Results removed.
    pub results: u64,
    /// Blobs removed.
    pub blobs: u64,
    /// Bytes of removed blobs.
    pub bytes: u64,
    /// Bytes of blobs that are left.
    pub bytes_left: u64,
}

/// What the cache holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Results.
    pub results: u64,
    /// Results that were removed, of which only the ingredients are left.
    pub evicted: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

struct Listed {
    path: PathBuf,
    used: i64,
    entry: Entry,
}

impl Store {
    /// Removes what is too old or too much.
    ///
    /// # Errors
    /// What the system says where the cache cannot be listed or locked.
    pub fn collect(&self, budget: Budget) -> io::Result<Collected> {
        let began = self.alone(|| Ok(now()))?;
        let mut listed = self.listed()?;
        listed.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let age = i64::try_from(budget.age.as_nanos()).unwrap_or(i64::MAX);
        let (mut kept, mut evicted, mut expired) = (HashSet::new(), Vec::new(), Vec::new());
        let mut bytes: u64 = 0;
        for Listed { path, used, entry } in listed {
            let is_old = used.saturating_add(age) < began;
            let Entry::Result(result, small) = entry else {
                if is_old {
                    expired.push(path);
                }
                continue;
            };
            let contents = result.contents().copied();
            let blobs: Vec<_> = contents
                .filter(|c| !small.contains_key(&c.digest))
                .collect();
            let new = blobs
                .iter()
                .filter(|content| !kept.contains(&content.digest));
            let own: usize = small.values().map(Vec::len).sum();
            let more = new.map(|content| content.bytes).sum::<u64>() + own as u64;
            if is_old || bytes.saturating_add(more) > budget.bytes {
                evicted.push((path, result.ingredients));
                continue;
            }
            bytes += more;
            kept.extend(blobs.iter().map(|content| content.digest));
        }
        let mut collected = Collected::default();
        for batch in evicted.chunks(BATCH) {
            self.alone(|| {
                let is_unused =
                    |path: &Path| fs::metadata(path).is_ok_and(|found| modified(&found) < began);
                for (path, ingredients) in batch.iter().filter(|(path, _)| is_unused(path)) {
                    self.bury(path, ingredients)?;
                    collected.results += 1;
                }
                Ok(())
            })?;
        }
        expired.iter().for_each(|path| drop(fs::remove_file(path)));
        self.sweep(&kept, began, &mut collected)?;
        // The lock that was taken before made sure that the folder is there.
        crate::disk::sweep(&self.folder.join("tmp"))?;
        Ok(collected)
    }

    /// Removes what is too old or too much, where nobody did for some hours.
    pub fn collect_now_and_then(&self, budget: Budget) {
        const PAUSE: Duration = Duration::from_secs(6 * 3600);
        let stamp = self.folder.join("collected");
        let last = fs::metadata(&stamp).and_then(|found| found.modified());
        if last.is_ok_and(|at| at.elapsed().unwrap_or_default() < PAUSE) {
            return;
        }
        let is_new = fs::metadata(&stamp).is_err();
        let marked = fs::write(&stamp, b"");
        // Nothing can be old in a cache that has just begun.
        if marked.is_ok()
            && !is_new
            && let Err(error) = self.collect(budget)
        {
            tracing::warn!(%error, "the cache was not kept within its budget");
        }
    }

    /// Counts what there is.
    ///
    /// # Errors
    /// What the system says where the cache cannot be listed.
    pub fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for Listed { path, entry, .. } in self.listed()? {
            match entry {
                Entry::Result(..) => usage.results += 1,
                Entry::Evicted(_) => usage.evicted += 1,
            }
            usage.bytes += fs::metadata(path).map_or(0, |found| found.len());
        }
        for (_, found) in self.files("blobs")? {
            usage.blobs += 1;
            usage.bytes += found.len();
        }
        Ok(usage)
    }

    /// Removes everything.
    ///
    /// # Errors
    /// What the system says.
    pub fn purge(&self) -> io::Result<()> {
        self.alone(|| {
            ["results", "blobs", "tmp"].iter().try_for_each(|name| {
                match fs::remove_dir_all(self.folder.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                }
            })
        })
    }

    fn sweep(
        &self,
        kept: &HashSet<Digest>,
        began: i64,
        collected: &mut Collected,
    ) -> io::Result<()> {
        let mut loose = Vec::new();
        for (path, found) in self.files("blobs")? {
            match digest_of(&path) {
                Some(digest) if kept.contains(&digest) => collected.bytes_left += found.len(),
                _ => loose.push((path, found.len())),
            }
        }
        for batch in loose.chunks(BATCH) {
            self.alone(|| {
                for (path, bytes) in batch {
                    if is_unused(path, began) && fs::remove_file(path).is_ok() {
                        collected.blobs += 1;
                        collected.bytes += bytes;
                    } else {
                        collected.bytes_left += bytes;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn alone<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // A descriptor of its own: a lock belongs to the open file, not to the process.
        let lock = self.lock()?;
        flock(&lock, FlockOperation::LockExclusive)?;
        work()
    }

    fn listed(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for (path, found) in self.files("results")? {
            let Ok(bytes) = fs::read(&path) else { continue };
            match parse(&bytes) {
                Some(entry) => listed.push(Listed {
                    used: modified(&found),
                    path,
                    entry,
                }),
                None => drop(fs::remove_file(&path)),
            }
        }
        Ok(listed)
    }

    fn files(&self, kind: &str) -> io::Result<Vec<(PathBuf, Metadata)>> {
        let mut files = Vec::new();
        let shards = match fs::read_dir(self.folder.join(kind)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            shards => shards?,
        };
        for shard in shards {
            let shard = shard?.path();
            if !shard.is_dir() {
                continue;
            }
            for file in fs::read_dir(shard)? {
                let path = file?.path();
                if let Ok(found) = fs::metadata(&path) {
                    files.push((path, found));
                }
            }
        }
        Ok(files)
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    let shard = path.parent()?.file_name()?.to_str()?;
    format!("{shard}{}", path.file_name()?.to_str()?)
        .parse()
        .ok()
}

fn accessed(found: &Metadata) -> i64 {
    found
        .atime()
        .saturating_mul(NANOS)
        .saturating_add(found.atime_nsec())
}

/// When a result was used last; only a blob's time of access is its own.
fn modified(found: &Metadata) -> i64 {
    found
        .mtime()
        .saturating_mul(NANOS)
        .saturating_add(found.mtime_nsec())
}

/// Whether a blob was neither made nor used since.
fn is_unused(path: &Path, since: i64) -> bool {
    fs::metadata(path).is_ok_and(|found| accessed(&found) < since)
}
