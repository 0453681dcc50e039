//! The fallback where the host has no overlay: a full copy of the folder. What changed is found by
//! comparing the copy with what it was when it was made, and stored in the same form.

use super::base::{self, Base, BaseEntry, join};
use super::disk;
use super::error::{At, WorkspaceError};
use super::name;
use super::scan::{Scan, Stamp};
use super::tree::{Entry, EntryKind, Tree};
use mainstay_contract::Digest;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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

/// Notes how the files of a fresh copy look.
pub(super) fn untouched(base: &Base, copy: &Path) -> Result<Untouched, WorkspaceError> {
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

/// Reads what changed in a copy.
pub(super) fn scan(
    scan: &mut Scan<'_>,
    base: &Base,
    untouched: &Untouched,
    folder: &Path,
    prefix: &str,
) -> Result<Digest, WorkspaceError> {
    let tree = changed(scan, base, untouched, folder, prefix)?;
    scan.store(&tree)
}

fn changed(
    scan: &mut Scan<'_>,
    base: &Base,
    untouched: &Untouched,
    folder: &Path,
    prefix: &str,
) -> Result<Tree, WorkspaceError> {
    let mut tree = Tree::default();
    let mut there = BTreeSet::new();
    for file in disk::names(folder)? {
        let path = folder.join(&file);
        let found = fs::symlink_metadata(&path).at(&path)?;
        let Some(kind) = disk::kept_kind(&path, &found)? else {
            continue;
        };
        let name = name::encode(&file);
        let from_root = join(prefix, &name);
        there.insert(name.clone());
        let before = base.entries.get(&from_root);
        if kind == disk::Kind::Folder {
            let is_new = !matches!(before, Some(BaseEntry::Folder { .. }));
            let below = changed(scan, base, untouched, &path, &from_root)?;
            let mode = disk::mode(&found);
            let is_same = before == Some(&BaseEntry::Folder { mode });
            if is_new || !is_same || !below.entries.is_empty() {
                let tree_digest = scan.store(&below)?;
                let kind = EntryKind::Folder {
                    tree: tree_digest,
                    mode,
                    is_opaque: is_new,
                };
                tree.entries.push(scan.entry(name, kind, &found));
            }
            continue;
        }
        let is_untouched = match before {
            Some(BaseEntry::File { mode, .. }) => {
                untouched.get(&from_root) == Some(&Stamp::of(&found)) && *mode == disk::mode(&found)
            }
            Some(before) => base::entry(&path, &found)?.as_ref() == Some(before),
            None => false,
        };
        if !is_untouched {
            let kind = scan.leaf(&path, &found, kind, &from_root)?;
            tree.entries.push(scan.entry(name, kind, &found));
        }
    }
    for name in children(base, prefix) {
        if !there.contains(&name) {
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

fn children(base: &Base, prefix: &str) -> Vec<String> {
    let strip = |path: &String| {
        let rest = match prefix {
            "" => Some(path.as_str()),
            prefix => path
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        rest.filter(|rest| !rest.contains('/')).map(str::to_owned)
    };
    if prefix.is_empty() {
        base.entries.keys().filter_map(strip).collect()
    } else {
        base.below(prefix)
            .filter_map(|(path, _)| strip(path))
            .collect()
    }
}
