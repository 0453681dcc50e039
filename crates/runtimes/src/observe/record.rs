//! All that was asked for, path by path, within bounds.

use super::intent::Kinds;
use super::report::{Access, Observed, SpawnError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most paths that a report holds.
const PATHS_MAX: usize = 200_000;

/// A report in the making.
#[derive(Debug, Default)]
pub(super) struct Record {
    accesses: BTreeMap<PathBuf, Access>,
    outside: BTreeSet<PathBuf>,
    hidden: BTreeSet<PathBuf>,
    undeclared_writes: BTreeSet<PathBuf>,
    unseen: u64,
    truncated: bool,
}

impl Record {
    /// Notes what is asked of a path below the root.
    pub(super) fn access(&mut self, path: &Path, kinds: Kinds, existed: bool) {
        if let Some(access) = self.accesses.get_mut(path) {
            return kinds.add_to(access);
        }
        if self.is_full() {
            return;
        }
        let mut access = Access {
            path: path.to_owned(),
            read: false,
            written: false,
            executed: false,
            looked_for: false,
            listed: false,
            existed,
        };
        kinds.add_to(&mut access);
        self.accesses.insert(path.to_owned(), access);
    }

    /// Notes that a path outside of the root is used.
    pub(super) fn outside(&mut self, path: &Path) {
        if !self.outside.contains(path) && !self.is_full() {
            self.outside.insert(path.to_owned());
        }
    }

    /// Notes that what is at one of the accesses' paths is not seen.
    pub(super) fn hidden(&mut self, path: PathBuf) {
        if self.accesses.contains_key(&path) {
            self.hidden.insert(path);
        }
    }

    /// Notes that one of the accesses is a write that was not declared.
    pub(super) fn undeclared_write(&mut self, path: PathBuf) {
        if self.accesses.contains_key(&path) {
            self.undeclared_writes.insert(path);
        }
    }

    /// Notes a call whose path is not known.
    pub(super) fn unseen(&mut self) {
        self.unseen += 1;
    }

    fn is_full(&mut self) -> bool {
        let is_full = self.accesses.len() + self.outside.len() >= PATHS_MAX;
        self.truncated |= is_full;
        is_full
    }

    /// The report.
    pub(super) fn conclude(self, spawn_error: Option<SpawnError>) -> Observed {
        let list = |paths: BTreeSet<PathBuf>| paths.into_iter().collect();
        Observed {
            spawn_error,
            accesses: self.accesses.into_values().collect(),
            outside: list(self.outside),
            hidden: list(self.hidden),
            undeclared_writes: list(self.undeclared_writes),
            unseen: self.unseen,
            truncated: self.truncated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_bounded_and_says_so() {
        let mut record = Record::default();
        for number in 0..=PATHS_MAX {
            record.access(Path::new(&format!("/{number}")), Kinds::READ, true);
            record.access(Path::new("/0"), Kinds::READ, false);
        }
        let observed = record.conclude(None);
        assert!(observed.truncated);
        assert_eq!(observed.accesses.len(), PATHS_MAX);
        assert!(observed.accesses[0].existed);
    }
}
