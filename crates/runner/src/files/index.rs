//! The digests of files that did not change since they were read.
//!
//! A record holds for a file as long as its [`Stamp`] does. One that was changed in the very moment it was
//! read could have changed again without a trace, so it is not believed (the rule that git calls racily
//! clean). On disk the index is one array, sorted by inode and read as a whole; a damaged one is as good
//! as none.

use super::stat::{Stamp, Stat};
use mainstay_contract::Digest;
use rustix::fs::fstat;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

const MAGIC: &[u8; 16] = b"mainstay-index-1";
const RECORD: usize = 80;
const DIGEST: usize = 32;

/// Clock ticks last up to 10 ms (`CONFIG_HZ=100`), and timestamps come from them.
pub(crate) const TICK: i64 = 20_000_000;

/// How many days a record is kept without being used.
const DAYS_MAX: u32 = 30;

/// The index of one workspace.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    stored: Vec<u8>,
    today: u32,
    learned: Mutex<HashMap<(u64, u64), (Stamp, Digest)>>,
    has_learned: AtomicBool,
    /// A file system that tells two changes apart, however close they are.
    fine: OnceLock<Option<u64>>,
}

impl Index {
    /// Reads the index, or begins an empty one.
    pub(crate) fn open(path: PathBuf) -> Self {
        let stored = std::fs::read(&path)
            .ok()
            .and_then(valid)
            .unwrap_or_default();
        Self {
            path,
            stored,
            today: u32::try_from(now() / 86_400_000_000_000).unwrap_or(0),
            learned: Mutex::new(HashMap::new()),
            has_learned: AtomicBool::new(false),
            fine: OnceLock::new(),
        }
    }

    /// The digest of a file that looks like this.
    pub(crate) fn find(&self, stamp: &Stamp) -> Option<Digest> {
        if self.has_learned.load(Ordering::Acquire)
            && let Some((known, digest)) = self.learned().get(&(stamp.inode, stamp.device))
        {
            return (known == stamp).then_some(*digest);
        }
        let at = self.position(stamp)?;
        let record = self.record(at)?;
        (decode(record).0 == *stamp).then(|| decode(record).1)
    }

    /// Remembers what was read from a file that looked like this before and after, from `began` on.
    pub(crate) fn learn(&self, stamp: Stamp, digest: Digest, began: i64) {
        let is_clean = stamp.changed.max(stamp.modified).saturating_add(TICK) < began;
        let is_fine = || {
            let fine = self
                .fine
                .get_or_init(|| tells_changes_apart(&self.path).unwrap_or(None));
            *fine == Some(stamp.device)
        };
        if is_clean || is_fine() {
            let place = (stamp.inode, stamp.device);
            self.learned().insert(place, (stamp, digest));
            self.has_learned.store(true, Ordering::Release);
        }
    }

    /// Writes what was learned.
    pub(crate) fn save(&self) -> io::Result<()> {
        let learned = self.learned();
        if learned.is_empty() {
            return Ok(());
        }
        let mut records: Vec<(Stamp, Digest, u32)> = learned
            .values()
            .map(|(stamp, digest)| (*stamp, *digest, self.today))
            .collect();
        for at in 0..self.stored.len() / RECORD {
            let Some(record) = self.record(at) else {
                continue;
            };
            let (stamp, digest, day) = decode(record);
            let is_old = day.saturating_add(DAYS_MAX) < self.today;
            if !is_old && !learned.contains_key(&(stamp.inode, stamp.device)) {
                records.push((stamp, digest, day));
            }
        }
        records.sort_unstable_by_key(|(stamp, ..)| *stamp);
        let mut bytes = Vec::with_capacity(records.len() * RECORD + MAGIC.len() + DIGEST);
        for (stamp, digest, day) in &records {
            encode(stamp, digest, *day, &mut bytes);
        }
        let sum = *blake3::hash(&bytes).as_bytes();
        bytes.extend(sum);
        bytes.extend(MAGIC);
        crate::disk::replace(&self.path, &bytes)
    }

    fn learned(&self) -> MutexGuard<'_, HashMap<(u64, u64), (Stamp, Digest)>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, at: usize) -> Option<&[u8; RECORD]> {
        self.stored.get(at * RECORD..)?.first_chunk()
    }

    fn position(&self, stamp: &Stamp) -> Option<usize> {
        let wanted = (stamp.inode, stamp.device);
        let (mut low, mut high) = (0, self.stored.len() / RECORD);
        while low < high {
            let middle = low.midpoint(high);
            let record = self.record(middle)?;
            match (number(record, 0), number(record, 8)).cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

/// The device of a file system that gives a file another time with every change after somebody looked
/// (multigrain timestamps, Linux 6.13), seen on a file of our own beside `path`.
fn tells_changes_apart(path: &Path) -> io::Result<Option<u64>> {
    const TRIES: usize = 8;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let path = crate::disk::temporary(folder);
    let mut file = File::create_new(&path)?;
    std::fs::remove_file(&path)?;
    let mut before = None;
    for _ in 0..TRIES {
        file.write_all(b"x")?;
        let found = Stat::of(&fstat(&file)?).stamp;
        let now = Some((found.modified, found.changed));
        if now == before {
            return Ok(None);
        }
        before = now;
    }
    Ok(Some(Stat::of(&fstat(&file)?).stamp.device))
}

/// Now, by the clock that stamps files; in nanoseconds.
pub(crate) fn now() -> i64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    now.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec)
}

fn valid(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let length = bytes.len().checked_sub(MAGIC.len() + DIGEST)?;
    let (records, end) = bytes.split_at(length);
    let (sum, magic) = end.split_at(DIGEST);
    let is_whole =
        length % RECORD == 0 && magic == MAGIC && blake3::hash(records).as_bytes() == sum;
    if !is_whole {
        return None;
    }
    bytes.truncate(length);
    Some(bytes)
}

fn encode(stamp: &Stamp, digest: &Digest, day: u32, to: &mut Vec<u8>) {
    for number in [stamp.inode, stamp.device, stamp.bytes] {
        to.extend(number.to_le_bytes());
    }
    for number in [stamp.modified, stamp.changed] {
        to.extend(number.to_le_bytes());
    }
    to.extend(digest.0);
    to.extend(u64::from(day).to_le_bytes());
}

fn number(record: &[u8; RECORD], at: usize) -> u64 {
    let bytes = record[at..].first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(bytes)
}

fn decode(record: &[u8; RECORD]) -> (Stamp, Digest, u32) {
    let number = |at: usize| number(record, at);
    let signed = |at| number(at).cast_signed();
    let stamp = Stamp {
        inode: number(0),
        device: number(8),
        bytes: number(16),
        modified: signed(24),
        changed: signed(32),
    };
    let digest = record[40..].first_chunk().copied().unwrap_or_default();
    (
        stamp,
        Digest(digest),
        u32::try_from(number(72)).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(inode: u64) -> Stamp {
        Stamp {
            inode,
            device: 1,
            bytes: 3,
            modified: 5,
            changed: 7,
        }
    }

    #[test]
    fn what_was_learned_is_known_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let index = Index::open(path.clone());
        for inode in [9, 2, 5] {
            index.learn(stamp(inode), Digest([inode as u8; 32]), now());
        }
        index.save().unwrap();
        let index = Index::open(path.clone());
        for inode in [2, 5, 9] {
            assert_eq!(index.find(&stamp(inode)), Some(Digest([inode as u8; 32])));
        }
        assert_eq!(index.find(&stamp(4)), None);
        let touched = Stamp {
            changed: 8,
            ..stamp(5)
        };
        assert_eq!(index.find(&touched), None);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            Index::open(path).find(&stamp(5)),
            None,
            "a damaged index is none"
        );
    }

    #[test]
    fn a_file_changed_while_it_was_read_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path().join("index"));
        let fresh = Stamp {
            changed: now(),
            ..stamp(1)
        };
        index.fine.set(None).unwrap();
        index.learn(fresh, Digest([1; 32]), now());
        assert_eq!(index.find(&fresh), None);
    }
}
