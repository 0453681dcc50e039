//! What a committed state changes, path by path, against what the folder held.

use super::base::{Base, BaseEntry, join};
use super::error::WorkspaceError;
use super::tree::{EntryKind, State, Tree, read};
use super::view::BlobSource;
use mainstay_contract::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of one path.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) old: Option<BaseEntry>,
    /// [`EntryKind::Gone`] where nothing is left.
    pub(super) new: EntryKind,
}

/// All changes of a state by path, and what they are changes to.
pub(super) fn planned(
    state: &Digest,
    blobs: &dyn BlobSource,
) -> Result<(Base, BTreeMap<String, Planned>), WorkspaceError> {
    let state: State = read(state, blobs)?;
    let base: Base = read(&state.base, blobs)?;
    let mut plan = Plan {
        base: &base,
        blobs,
        changes: BTreeMap::new(),
    };
    plan.folder(&state.root, "", true)?;
    let changes = plan.changes;
    Ok((base, changes))
}

struct Plan<'a> {
    base: &'a Base,
    blobs: &'a dyn BlobSource,
    changes: BTreeMap<String, Planned>,
}

impl Plan<'_> {
    fn folder(
        &mut self,
        tree: &Digest,
        prefix: &str,
        is_merged: bool,
    ) -> Result<(), WorkspaceError> {
        let tree: Tree = read(tree, self.blobs)?;
        for entry in tree.entries {
            let path = join(prefix, &entry.name);
            let old = self.base.entries.get(&path).filter(|_| is_merged).cloned();
            match &entry.kind {
                EntryKind::Folder {
                    tree,
                    mode,
                    is_opaque,
                } => {
                    let was_folder = matches!(old, Some(BaseEntry::Folder { .. }));
                    let is_same = old == Some(BaseEntry::Folder { mode: *mode });
                    let below_is_merged = was_folder && !is_opaque;
                    let below = *tree;
                    if !is_same {
                        self.change(path.clone(), old, entry.kind.clone());
                    }
                    let before: BTreeSet<String> = self.changes.keys().cloned().collect();
                    self.folder(&below, &path, below_is_merged)?;
                    if was_folder && !below_is_merged {
                        self.hide_rest(&path, &before);
                    }
                }
                EntryKind::Gone => {
                    if let Some(old) = old {
                        self.gone(&path, old);
                    }
                }
                _ => {
                    if matches!(old, Some(BaseEntry::Folder { .. })) {
                        self.below_gone(&path);
                    }
                    self.change(path, old, entry.kind);
                }
            }
        }
        Ok(())
    }

    /// An opaque folder took the place of another: what it does not hold is gone, what it does hold
    /// replaces what was there.
    fn hide_rest(&mut self, path: &str, before: &BTreeSet<String>) {
        let base = self.base;
        for (below, old) in base.below(path) {
            match self.changes.get_mut(below) {
                Some(planned) if !before.contains(below) => planned.old = Some(old.clone()),
                _ => self.change(below.clone(), Some(old.clone()), EntryKind::Gone),
            }
        }
    }

    fn gone(&mut self, path: &str, old: BaseEntry) {
        self.below_gone(path);
        self.change(path.to_owned(), Some(old), EntryKind::Gone);
    }

    fn below_gone(&mut self, path: &str) {
        let base = self.base;
        for (below, old) in base.below(path) {
            self.change(below.clone(), Some(old.clone()), EntryKind::Gone);
        }
    }

    fn change(&mut self, path: String, old: Option<BaseEntry>, new: EntryKind) {
        self.changes.insert(path, Planned { old, new });
    }
}
