//! What a committed state changes, path by path, against what the folder held.

use super::base::{Base, BaseEntry, join};
use super::error::WorkspaceError;
use super::source::BlobSource;
use super::tree::{EntryKind, State, Tree, read};
use mainstay_contract::Digest;
use std::collections::{BTreeMap, HashSet};

/// What becomes of one path.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) old: Option<BaseEntry>,
    /// [`EntryKind::Gone`] where nothing is left.
    pub(super) new: EntryKind,
    /// Whose it is, where it is not the folder's owner's.
    pub(super) owner: Option<(u32, u32)>,
}

/// All changes of a state by path, and what they are changes to. The workspace's own folder has the
/// empty path.
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
    let (old_mode, mode) = state.root_modes;
    if old_mode != mode {
        let new = EntryKind::Folder {
            tree: state.root,
            mode,
            is_opaque: false,
        };
        let old = Some(BaseEntry::Folder { mode: old_mode });
        plan.change(String::new(), old, new, None);
    }
    plan.folder(&state.root, "", true, false)?;
    let changes = plan.changes;
    Ok((base, changes))
}

struct Plan<'a> {
    base: &'a Base,
    blobs: &'a dyn BlobSource,
    changes: BTreeMap<String, Planned>,
}

impl Plan<'_> {
    /// One folder of the tree. `was_there`: the base has a folder at this path. `hides`: what the base
    /// has below it is gone unless the tree names it.
    fn folder(
        &mut self,
        tree: &Digest,
        prefix: &str,
        was_there: bool,
        hides: bool,
    ) -> Result<(), WorkspaceError> {
        let tree: Tree = read(tree, self.blobs)?;
        if was_there && hides {
            let named: HashSet<&str> = tree.entries.iter().map(|e| e.name.as_str()).collect();
            for name in self.base.children(prefix) {
                if !named.contains(name.as_str()) {
                    self.gone(&join(prefix, &name));
                }
            }
        }
        for entry in tree.entries {
            let path = join(prefix, &entry.name);
            let old = self.base.entries.get(&path).filter(|_| was_there).cloned();
            let was_folder = matches!(old, Some(BaseEntry::Folder { .. }));
            match entry.kind {
                EntryKind::Folder {
                    tree,
                    mode,
                    is_opaque,
                } => {
                    if old != Some(BaseEntry::Folder { mode }) {
                        self.change(path.clone(), old, entry.kind, entry.owner);
                    }
                    self.folder(&tree, &path, was_folder, hides || is_opaque)?;
                }
                EntryKind::Gone if old.is_some() => self.gone(&path),
                EntryKind::Gone => {}
                new => {
                    if was_folder {
                        self.below_gone(&path);
                    }
                    self.change(path, old, new, entry.owner);
                }
            }
        }
        Ok(())
    }

    fn gone(&mut self, path: &str) {
        self.below_gone(path);
        let old = self.base.entries.get(path).cloned();
        self.change(path.to_owned(), old, EntryKind::Gone, None);
    }

    fn below_gone(&mut self, path: &str) {
        let base = self.base;
        for (below, old) in base.below(path) {
            self.change(below.clone(), Some(old.clone()), EntryKind::Gone, None);
        }
    }

    fn change(
        &mut self,
        path: String,
        old: Option<BaseEntry>,
        new: EntryKind,
        owner: Option<(u32, u32)>,
    ) {
        self.changes.insert(path, Planned { old, new, owner });
    }
}
