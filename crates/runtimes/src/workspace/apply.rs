//! Brings the result home. Every conflict is looked for before the first write; a repetition after a
//! crash finds its own work done and goes on.

use super::base::{self, Base, BaseEntry, file};
use super::change::{Planned, planned};
use super::disk;
use super::error::{At, Conflict, WorkspaceError};
use super::name;
use super::tree::EntryKind;
use super::view::{BlobSource, ViewParams};
use mainstay_contract::Digest;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was brought home.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applied {
    /// The paths that were written or removed, from the workspace's root.
    pub changed: Vec<String>,
}

/// Brings a committed state into a folder.
///
/// # Errors
/// [`WorkspaceError::Conflict`] with every conflict, and then nothing was written.
pub fn apply(
    params: &ViewParams,
    state: Digest,
    to: &Path,
    blobs: &dyn BlobSource,
) -> Result<Applied, WorkspaceError> {
    let (base, plan) = planned(&state, blobs)?;
    let found = fs::metadata(to).map_err(|error| WorkspaceError::folder(to.to_owned(), error))?;
    let home = Home {
        to,
        origin: &params.folder,
        exclude: &params.exclude,
        base: &base,
        plan: &plan,
        blobs,
        owner: (found.uid(), found.gid()),
    };
    let todo = home.todo()?;
    home.write(&todo)?;
    Ok(Applied {
        changed: todo.into_iter().cloned().collect(),
    })
}

struct Home<'a> {
    to: &'a Path,
    origin: &'a Path,
    exclude: &'a [PathBuf],
    base: &'a Base,
    plan: &'a BTreeMap<String, Planned>,
    blobs: &'a dyn BlobSource,
    owner: (u32, u32),
}

impl<'a> Home<'a> {
    /// The paths that are not yet as they should be, once it is sure that none conflicts.
    fn todo(&self) -> Result<Vec<&'a String>, WorkspaceError> {
        let mut conflicts = Vec::new();
        let mut todo = Vec::new();
        for (path, planned) in self.plan {
            if self.is_done(path, planned)? {
                continue;
            }
            todo.push(path);
            if let Some(reason) = self.conflict(path, planned)? {
                conflicts.push(Conflict {
                    path: path.clone(),
                    reason,
                });
            }
        }
        if conflicts.is_empty() {
            Ok(todo)
        } else {
            Err(WorkspaceError::Conflict { conflicts })
        }
    }

    fn is_done(&self, path: &str, planned: &Planned) -> Result<bool, WorkspaceError> {
        let at = file(self.to, path);
        match &planned.new {
            EntryKind::HardLink { to } => {
                let (Ok(one), Ok(other)) = (
                    fs::symlink_metadata(&at),
                    fs::symlink_metadata(file(self.to, to)),
                ) else {
                    return Ok(false);
                };
                let is_target_done = match self.plan.get(to) {
                    Some(target) => disk::is_as(&file(self.to, to), &target.new)?,
                    None => true,
                };
                Ok(is_target_done && one.ino() == other.ino() && one.dev() == other.dev())
            }
            new => disk::is_as(&at, new),
        }
    }

    /// How the folder differs from what the view began with, at one path.
    fn conflict(&self, path: &str, planned: &Planned) -> Result<Option<String>, WorkspaceError> {
        let at = file(self.to, path);
        let found = match fs::symlink_metadata(&at) {
            Err(error) if disk::is_absent(&error) => None,
            found => Some(found.at(&at)?),
        };
        let reason = match (&planned.old, found) {
            (None, None) => None,
            (None, Some(_)) => Some("it was added in the folder too"),
            (Some(_), None) => match planned.new {
                EntryKind::Gone => None,
                _ => Some("it was removed in the folder"),
            },
            (Some(old), Some(found)) => self.differs(path, old, &at, &found)?,
        };
        if reason.is_some() {
            return Ok(reason.map(str::to_owned));
        }
        let is_removed = matches!(planned.old, Some(BaseEntry::Folder { .. }))
            && !matches!(planned.new, EntryKind::Folder { .. });
        if is_removed {
            self.newcomer(path, &at)
        } else {
            Ok(None)
        }
    }

    fn differs(
        &self,
        path: &str,
        old: &BaseEntry,
        at: &Path,
        found: &fs::Metadata,
    ) -> Result<Option<&'static str>, WorkspaceError> {
        let now = base::entry(at, found)?;
        Ok(match (old, &now) {
            (BaseEntry::Folder { .. }, Some(BaseEntry::Folder { .. })) => None,
            (old, Some(now)) if old == now => None,
            (BaseEntry::File { mode, .. }, Some(BaseEntry::File { mode: now, .. })) => {
                if self.is_as_origin(path, old, at)? {
                    (mode != now).then_some("its permissions changed in the folder")
                } else {
                    Some("it was changed in the folder")
                }
            }
            (_, Some(_) | None) => Some("something else stands there in the folder"),
        })
    }

    /// Whether another folder holds the same content as the folder of the view, which is unchanged.
    fn is_as_origin(&self, path: &str, old: &BaseEntry, at: &Path) -> Result<bool, WorkspaceError> {
        let origin = file(self.origin, path);
        if self.to == self.origin {
            return Ok(false);
        }
        let Ok(found) = fs::symlink_metadata(&origin) else {
            return Ok(false);
        };
        if base::entry(&origin, &found)?.as_ref() != Some(old) {
            return Ok(false);
        }
        Ok(disk::hash(&origin)? == disk::hash(at)?)
    }

    /// Something in a folder that goes away, which was not there when the view was made.
    fn newcomer(&self, path: &str, at: &Path) -> Result<Option<String>, WorkspaceError> {
        if !at.is_dir() {
            return Ok(None);
        }
        for file in disk::names(at)? {
            let below = base::join(path, &name::encode(&file));
            let is_known = self.base.entries.contains_key(&below);
            if !is_known && !self.exclude.contains(&at.join(&file)) {
                return Ok(Some(format!("{below} was added in the folder")));
            }
        }
        Ok(None)
    }

    fn write(&self, todo: &[&String]) -> Result<(), WorkspaceError> {
        let mut all: Vec<(&String, &Planned)> = Vec::new();
        for path in todo {
            all.extend(self.plan.get_key_value(*path));
        }
        // What changes its kind goes first, deepest first, so that its place is free.
        for (path, planned) in all.iter().rev() {
            let is_replaced = planned.old.is_some() && planned.new != EntryKind::Gone;
            if is_replaced && !is_same_kind(planned) {
                self.remove_below_and(path)?;
            }
        }
        for (path, planned) in &all {
            self.put(path, planned)?;
        }
        for (path, planned) in &all {
            if let EntryKind::HardLink { to } = &planned.new {
                let (at, to) = (file(self.to, path), file(self.to, to));
                disk::remove(&at)?;
                fs::hard_link(&to, &at).at(&at)?;
            }
        }
        for (path, planned) in all.iter().rev() {
            let at = file(self.to, path);
            match &planned.new {
                EntryKind::Gone => remove_one(&at)?,
                EntryKind::Folder { mode, .. } => disk::set_mode(&at, *mode)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn remove_below_and(&self, path: &str) -> Result<(), WorkspaceError> {
        let below: Vec<&String> = self.base.below(path).map(|(below, _)| below).collect();
        for below in below.into_iter().rev() {
            remove_one(&file(self.to, below))?;
        }
        remove_one(&file(self.to, path))
    }

    fn put(&self, path: &str, planned: &Planned) -> Result<(), WorkspaceError> {
        let at = file(self.to, path);
        match &planned.new {
            EntryKind::Folder { .. } => {
                if !at.is_dir() {
                    fs::create_dir(&at).at(&at)?;
                    disk::give_to(&at, self.owner)?;
                }
                disk::set_mode(&at, 0o700)
            }
            EntryKind::File {
                digest,
                mode,
                mtime_ns,
                ..
            } => {
                let temporary = beside(&at, path);
                disk::remove(&temporary)?;
                if !self.blobs.blob_to_file(digest, &temporary)? {
                    return Err(WorkspaceError::Missing { digest: *digest });
                }
                disk::give_to(&temporary, self.owner)?;
                disk::set_mode(&temporary, *mode)?;
                disk::set_mtime(&temporary, *mtime_ns)?;
                disk::open(&temporary)?.sync_all().at(&temporary)?;
                fs::rename(&temporary, &at).at(&at)?;
                sync_folder(&at)
            }
            EntryKind::Link { target } => {
                let temporary = beside(&at, path);
                disk::remove(&temporary)?;
                std::os::unix::fs::symlink(name::decode(target), &temporary).at(&temporary)?;
                disk::give_to(&temporary, self.owner)?;
                fs::rename(&temporary, &at).at(&at)
            }
            EntryKind::Fifo { mode } => {
                disk::remove(&at)?;
                disk::make_fifo(&at, *mode)
            }
            EntryKind::HardLink { .. } | EntryKind::Gone => Ok(()),
        }
    }
}

fn is_same_kind(planned: &Planned) -> bool {
    matches!(
        (&planned.old, &planned.new),
        (Some(BaseEntry::Folder { .. }), EntryKind::Folder { .. })
            | (
                Some(BaseEntry::File { .. } | BaseEntry::Link { .. } | BaseEntry::Fifo { .. }),
                EntryKind::File { .. }
                    | EntryKind::Link { .. }
                    | EntryKind::HardLink { .. }
                    | EntryKind::Fifo { .. }
            )
    )
}

/// Removes one file or an empty folder; nothing there is fine.
fn remove_one(path: &Path) -> Result<(), WorkspaceError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if disk::is_absent(&error) => return Ok(()),
        found => found.at(path)?,
    };
    if found.is_dir() {
        fs::remove_dir(path).at(path)
    } else {
        fs::remove_file(path).at(path)
    }
}

/// A temporary name in the same folder, the same for every attempt.
fn beside(at: &Path, path: &str) -> PathBuf {
    let hash = blake3::hash(path.as_bytes()).to_hex();
    at.with_file_name(format!(".mainstay-{}", &hash.as_str()[..16]))
}

fn sync_folder(at: &Path) -> Result<(), WorkspaceError> {
    match at.parent() {
        Some(folder) => File::open(folder)
            .and_then(|folder| folder.sync_all())
            .at(folder),
        None => Ok(()),
    }
}
