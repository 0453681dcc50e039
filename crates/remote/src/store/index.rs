//! What is kept, how large it is and when it was last used. It knows no files and no clock.

use super::key::Key;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

/// When an entry was last used; the number orders uses within one tick of the clock.
type Use = (SystemTime, u64);

#[derive(Debug)]
struct Entry {
    size: u64,
    used: Use,
    /// The last use that the file's time tells of.
    noted: SystemTime,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: HashMap<Key, Entry>,
    order: BTreeMap<Use, Key>,
    bytes: u64,
    uses: u64,
}

impl Index {
    /// Adds an entry, or replaces it.
    pub(crate) fn insert(&mut self, key: Key, size: u64, now: SystemTime) {
        self.remove(&key);
        self.uses += 1;
        let used = (now, self.uses);
        self.bytes += size;
        self.order.insert(used, key);
        let noted = now;
        self.entries.insert(key, Entry { size, used, noted });
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.size;
        }
    }

    /// Counts a use; answers whether it is due to be noted outside.
    pub(crate) fn touch(&mut self, key: &Key, now: SystemTime, note_every: Duration) -> bool {
        let Some(entry) = self.entries.get_mut(key) else {
            return false;
        };
        self.order.remove(&entry.used);
        self.uses += 1;
        entry.used = (now, self.uses);
        self.order.insert(entry.used, *key);
        let is_due = now
            .duration_since(entry.noted)
            .is_ok_and(|since| since >= note_every);
        if is_due {
            entry.noted = now;
        }
        is_due
    }

    pub(crate) fn size(&self, key: &Key) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.size)
    }

    /// The entry that was not used for longest, and its last use.
    pub(crate) fn oldest(&self) -> Option<(Key, SystemTime)> {
        let ((used, _), key) = self.order.first_key_value()?;
        Some((*key, *used))
    }

    /// How large all entries are together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_sizes_add_up() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let [a, b, c] = [1, 2, 3].map(|byte| Key::Blob([byte; 32]));
        let mut index = Index::default();
        for (key, size) in [(a, 10), (b, 20), (c, 30)] {
            index.insert(key, size, at(1));
        }
        assert_eq!((index.bytes(), index.oldest()), (60, Some((a, at(1)))));
        assert!(!index.touch(&a, at(2), Duration::from_secs(60)));
        assert_eq!(index.oldest(), Some((b, at(1))));
        assert!(index.touch(&b, at(70), Duration::from_secs(60)));
        index.insert(c, 5, at(80));
        assert_eq!((index.bytes(), index.oldest()), (35, Some((a, at(2)))));
        index.remove(&a);
        index.remove(&a);
        assert_eq!((index.bytes(), index.size(&c)), (25, Some(5)));
        assert!(!index.touch(&a, at(90), Duration::ZERO));
    }
}
