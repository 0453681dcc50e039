//! The fallback where the host has no overlay: a full copy of the folder. What changed is found by
//! comparing the copy with what it was when it was made, and stored in the same form. As in an overlay,
//! what the agent did not touch is, after a restore, as the folder has it by then.

use super::base::{self, Base, BaseEntry, join};
use super::disk::{self, Kind};
use super::error::{At, WorkspaceError};
use super::name;
use super::scan::{Scan, Stamp};
use super::tree::{Entry, EntryKind, Tree};
use mainstay_contract::Digest;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Times of files are at most this coarse.
const SETTLED: Duration = Duration::from_millis(20);

/// How each file of the copy looked when it was made.
pub(super) type Untouched = HashMap<String, Stamp>;

/// Copies what `base` lists from a folder, exactly.
pub(super) fn copy(base: &Base, from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    let mut inodes: HashMap<u64, PathBuf> = HashMap::new();
    for (path, entry) in &base.entries {
        let (source, target) = (base::file(from, path), base::file(to, path));
        let found = fs::symlink_metadata(&source).at(&source)?;
        match entry {
            BaseEntry::Folder { .. } => fs::create_dir(&target).at(&target)?,
            BaseEntry::Link { target: to } => {
                std::os::unix::fs::symlink(name::decode(to), &target).at(&target)?;
            }
            BaseEntry::Fifo { mode } => disk::make_fifo(&target, *mode)?,
            // Means nothing without its process.
            BaseEntry::Special { device: 0 } => continue,
            BaseEntry::Special { .. } => {
                return Err(WorkspaceError::Unsupported {
                    path: source,
                    what: "a device",
                });
            }
            BaseEntry::File { mode, mtime_ns, .. } => {
                if let Some(first) = inodes.get(&found.ino()).filter(|_| found.nlink() > 1) {
                    fs::hard_link(first, &target).at(&target)?;
                    continue;
                }
                copy_content(&source, &target)?;
                disk::set_mode(&target, *mode)?;
                disk::set_mtime(&target, *mtime_ns)?;
                inodes.insert(found.ino(), target.clone());
            }
        }
        disk::give_to(&target, (found.uid(), found.gid()))?;
    }
    for (path, entry) in base.entries.iter().rev() {
        if let BaseEntry::Folder { mode } = entry {
            disk::set_mode(&base::file(to, path), *mode)?;
        }
    }
    Ok(())
}

/// Shares the content where the file system can, copies it otherwise.
fn copy_content(source: &Path, target: &Path) -> Result<(), WorkspaceError> {
    let mut from = disk::open(source)?;
    let mut to = File::create(target).at(target)?;
    if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
        io::copy(&mut from, &mut to).at(target)?;
    }
    Ok(())
}

/// Notes how the files of a fresh copy look, once a later write cannot look the same.
pub(super) fn untouched(base: &Base, copy: &Path) -> Result<Untouched, WorkspaceError> {
    std::thread::sleep(SETTLED);
    let mut stamps = Untouched::new();
    for (path, entry) in &base.entries {
        if matches!(entry, BaseEntry::File { .. }) {
            let file = base::file(copy, path);
            stamps.insert(
                path.clone(),
                Stamp::of(&fs::symlink_metadata(&file).at(&file)?),
            );
        }
    }
    Ok(stamps)
}

/// What a copy is compared with.
pub(super) struct Compared<'a> {
    pub(super) base: &'a Base,
    pub(super) untouched: &'a Untouched,
    pub(super) exclude: &'a HashSet<String>,
}

/// Reads what changed in a copy.
pub(super) fn scan(
    scan: &mut Scan<'_>,
    with: &Compared<'_>,
    folder: &Path,
) -> Result<Digest, WorkspaceError> {
    let tree = with.changed(scan, folder, "")?;
    scan.store(&tree)
}

impl Compared<'_> {
    fn changed(
        &self,
        scan: &mut Scan<'_>,
        folder: &Path,
        prefix: &str,
    ) -> Result<Tree, WorkspaceError> {
        let mut tree = Tree::default();
        let mut there = BTreeSet::new();
        for file in disk::names(folder)? {
            let path = scan.path(folder, &file)?;
            let name = name::encode(&file);
            let from_root = join(prefix, &name);
            if self.exclude.contains(&from_root) {
                continue;
            }
            there.insert(name.clone());
            let found = fs::symlink_metadata(&path).at(&path)?;
            let kind = match disk::kind(&found) {
                Kind::Folder => self.folder(scan, &path, &from_root, &found)?,
                _ if self.is_untouched(&path, &from_root, &found)? => None,
                kind => Some(scan.leaf(&path, &found, kind, &from_root)?),
            };
            if let Some(kind) = kind {
                tree.entries.push(scan.entry(name, kind, &found));
            }
        }
        for name in self.base.children(prefix) {
            let is_socket = matches!(
                self.base.entries.get(&join(prefix, &name)),
                Some(BaseEntry::Special { .. })
            );
            if !is_socket && !there.contains(&name) {
                tree.entries.push(Entry {
                    name,
                    kind: EntryKind::Gone,
                    owner: None,
                });
            }
        }
        tree.entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tree)
    }

    fn folder(
        &self,
        scan: &mut Scan<'_>,
        path: &Path,
        from_root: &str,
        found: &Metadata,
    ) -> Result<Option<EntryKind>, WorkspaceError> {
        let before = self.base.entries.get(from_root);
        let is_new = !matches!(before, Some(BaseEntry::Folder { .. }));
        let below = scan.in_folder(path, found, |scan| self.changed(scan, path, from_root))?;
        let mode = disk::mode(found);
        if before == Some(&BaseEntry::Folder { mode }) && below.entries.is_empty() {
            return Ok(None);
        }
        Ok(Some(EntryKind::Folder {
            tree: scan.store(&below)?,
            mode,
            is_opaque: is_new,
        }))
    }

    fn is_untouched(
        &self,
        path: &Path,
        from_root: &str,
        found: &Metadata,
    ) -> Result<bool, WorkspaceError> {
        Ok(match self.base.entries.get(from_root) {
            Some(BaseEntry::File { mode, .. }) => {
                self.untouched.get(from_root) == Some(&Stamp::of(found))
                    && *mode == disk::mode(found)
            }
            Some(before) => base::entry(path, found)?.as_ref() == Some(before),
            None => false,
        })
    }
}
