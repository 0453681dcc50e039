//! What stands under the patterns of a task's outputs before its command runs: that is not the task's, and
//! what stands there besides afterwards is.

use super::{described, kept, present};
use crate::files::{Files, Found, Stamp};
use crate::keys::Sets;
use crate::restore::remove;
use mainstay_tasks::{Bytes, Change, InputChange, Output, PatternSet};
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

/// What stood there before.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    all: BTreeMap<Bytes, Stamp>,
    /// What the task did not make when it ran before.
    unowned: BTreeSet<Bytes>,
    /// What of that would be an input, were it no output: where nothing was declared, the sources.
    sources: BTreeMap<Bytes, Output>,
}

impl Standing {
    /// Looks. `owns`: whether a path is there because the task made it before.
    pub(crate) fn look(files: &Files, sets: &Sets, owns: impl Fn(&Bytes) -> bool) -> Self {
        let found = present(files, &sets.outputs);
        let found = found.into_iter();
        let all: BTreeMap<Bytes, Stamp> =
            found.map(|found| (found.path, found.stat.stamp)).collect();
        let unowned: BTreeSet<Bytes> = all.keys().filter(|path| !owns(path)).cloned().collect();
        let sources = match sets.is_default && !unowned.is_empty() {
            true => sources(files, sets, &unowned),
            false => BTreeMap::new(),
        };
        Self {
            all,
            unowned,
            sources,
        }
    }

    /// Everything that stood there.
    pub(crate) fn all(&self) -> BTreeSet<Bytes> {
        self.all.keys().cloned().collect()
    }

    /// A file that makes it unclear what the result is: it was there before and the command left it alone, so
    /// that it may belong to it or not; or a try that failed may have changed it.
    pub(crate) fn unclear(&self, found: &[Found], attempts: u32) -> Option<Bytes> {
        let mut files = found
            .iter()
            .filter(|found| found.stat.kind != FileType::Directory);
        let is_unclear = |found: &&Found| {
            let before = self.all.get(&found.path);
            before.is_some_and(|stamp| *stamp == found.stat.stamp || attempts > 1)
        };
        files.find(is_unclear).map(|found| found.path.clone())
    }

    /// Whether what stood at a path was the task's.
    pub(crate) fn owns(&self, path: &Bytes) -> bool {
        self.all.contains_key(path) && !self.unowned.contains(path)
    }

    /// What of these outputs is not the task's to remove.
    pub(crate) fn unowned<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p Bytes>,
    ) -> BTreeSet<Bytes> {
        let paths = paths.into_iter();
        paths
            .filter(|path| self.unowned.contains(*path))
            .cloned()
            .collect()
    }

    /// The sources that the command changed: whoever changes what it reads has no result to be kept.
    pub(crate) fn changed_sources(&self, outputs: &BTreeMap<Bytes, Output>) -> Vec<Change> {
        let changed = self.sources.iter().filter_map(|(path, before)| {
            let change = match outputs.get(path) {
                Some(after) if after == before => return None,
                Some(_) => InputChange::Content,
                None => InputChange::Removed,
            };
            let path = path.clone();
            Some(Change::Input { path, change })
        });
        changed.collect()
    }
}

/// Files that git does not ignore, as they stand.
fn sources(files: &Files, sets: &Sets, unowned: &BTreeSet<Bytes>) -> BTreeMap<Bytes, Output> {
    let walk = files.walk(&sets.outputs).ignoring(&files.here());
    let walk = walk.within(files);
    let mut found = kept(walk.run(files.root().as_fd()).unwrap_or_default());
    found.retain(|Found { path, .. }| unowned.contains(path));
    let mut sources = described(files, &found);
    sources.retain(|_, output| !matches!(output, Output::Folder { .. }));
    sources
}

/// Removes what patterns mean but for what is to stay: what a try left that failed.
pub(crate) fn remove_but(files: &Files, sets: &Sets, staying: &BTreeSet<Bytes>) {
    let found = present(files, &sets.outputs);
    let left = found.iter().filter(|found| !staying.contains(&found.path));
    // What is in a folder goes before it.
    left.rev().for_each(|found| remove(files, found));
}

/// Sets aside what patterns mean but for what is to stay: what a command left that was killed with its run, or
/// what somebody put there since. Says how many files that were.
pub(crate) fn leave_aside(
    files: &Files,
    patterns: &PatternSet,
    staying: &BTreeSet<Bytes>,
) -> usize {
    let found = present(files, patterns);
    let mut count = 0;
    for found in found
        .iter()
        .filter(|found| !staying.contains(&found.path))
        .rev()
    {
        if found.stat.kind == FileType::Directory || files.is_view() {
            remove(files, found);
        } else {
            count += usize::from(files.leave(&found.path).is_ok());
        }
    }
    count
}
