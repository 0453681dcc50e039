//! Brings the result home. Every conflict is looked for before the first write; a repetition after a
//! crash finds its own work done and goes on.

use super::base::{self, Base, BaseEntry, file};
use super::bring::{Bring, Opened};
use super::change::{Planned, planned};
use super::disk;
use super::error::{At, Conflict, WorkspaceError};
use super::name;
use super::source::BlobSource;
use super::tree::EntryKind;
use super::view::ViewParams;
use mainstay_contract::Digest;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was brought home.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applied {
    /// The paths that were written or removed, from the workspace's root.
    pub changed: Vec<String>,
}

/// Brings a committed state into a folder: the view's own, or another with the same content.
///
/// Files that differ by their times only are left alone. New files belong to the folder's owner.
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
    let unusable = |error| WorkspaceError::folder(to.to_owned(), error);
    let to = fs::canonicalize(to).map_err(unusable)?;
    let found = fs::metadata(&to).map_err(unusable)?;
    let mut home = Home {
        to: &to,
        origin: &params.folder,
        exclude: &params.exclude,
        base: &base,
        plan: &plan,
        ways: HashMap::new(),
        opened: Opened::default(),
    };
    let todo = home.todo()?;
    let owner = (found.uid(), found.gid());
    Bring::new(&to, blobs, owner, home.opened).all(&todo, &plan)?;
    Ok(Applied {
        changed: todo.into_iter().map(|(path, _)| path.clone()).collect(),
    })
}

struct Home<'a> {
    to: &'a Path,
    origin: &'a Path,
    exclude: &'a [PathBuf],
    base: &'a Base,
    plan: &'a BTreeMap<String, Planned>,
    /// Why nothing can be written into a folder, by its path.
    ways: HashMap<String, Option<String>>,
    opened: Opened,
}

impl<'a> Home<'a> {
    /// What is not yet as it should be, once it is sure that nothing conflicts.
    fn todo(&mut self) -> Result<Vec<(&'a String, &'a Planned)>, WorkspaceError> {
        let mut conflicts = Vec::new();
        let mut todo = Vec::new();
        for (path, planned) in self.plan {
            self.opened.open_above(self.to, path)?;
            if self.is_done(path, planned)? {
                continue;
            }
            todo.push((path, planned));
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
    fn conflict(
        &mut self,
        path: &str,
        planned: &Planned,
    ) -> Result<Option<String>, WorkspaceError> {
        if let Some((folder, _)) = path.rsplit_once('/')
            && let Some(reason) = self.way(folder)?
        {
            return Ok(Some(reason));
        }
        let at = file(self.to, path);
        let found = present(&at)?;
        let stays_folder = matches!(planned.new, EntryKind::Folder { .. });
        let reason = match (&planned.old, found) {
            (None, None) => None,
            // Two folders are merged, or a crash came before the permissions were set; what is in them
            // is looked at by itself.
            (_, Some(found)) if stays_folder && found.is_dir() => None,
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
        let was_folder = matches!(planned.old, Some(BaseEntry::Folder { .. }));
        if was_folder && !stays_folder {
            self.newcomer(path, &at)
        } else {
            Ok(None)
        }
    }

    /// Why nothing can be written into a folder.
    fn way(&mut self, folder: &str) -> Result<Option<String>, WorkspaceError> {
        if let Some(known) = self.ways.get(folder) {
            return Ok(known.clone());
        }
        let is_made = self.plan.get(folder).is_some_and(|planned| {
            matches!(planned.new, EntryKind::Folder { .. })
                && !matches!(planned.old, Some(BaseEntry::Folder { .. }))
        });
        let above = match folder.rsplit_once('/') {
            Some((above, _)) => self.way(above)?,
            None => None,
        };
        let why = match present(&file(self.to, folder))? {
            _ if above.is_some() => above,
            Some(found) if found.is_dir() => None,
            // A conflict of its own, where it is one.
            _ if is_made => None,
            Some(_) => Some(format!("{folder} is no folder any more")),
            None => Some(format!("{folder} was removed in the folder")),
        };
        self.ways.insert(folder.to_owned(), why.clone());
        Ok(why)
    }

    fn differs(
        &self,
        path: &str,
        old: &BaseEntry,
        at: &Path,
        found: &Metadata,
    ) -> Result<Option<&'static str>, WorkspaceError> {
        let now = base::entry(at, found)?;
        let is_home = self.to == self.origin;
        Ok(match (old, &now) {
            (BaseEntry::Folder { .. }, Some(BaseEntry::Folder { .. })) => None,
            (BaseEntry::File { mode, .. }, Some(BaseEntry::File { mode: here, .. }))
                if !is_home =>
            {
                if self.is_as_origin(path, old, at)? {
                    (mode != here).then_some("its permissions are others there")
                } else {
                    Some("it is not as the view began with")
                }
            }
            (old, Some(now)) if old == now => None,
            (
                BaseEntry::File {
                    size,
                    mtime_ns,
                    mode,
                    ..
                },
                Some(BaseEntry::File {
                    size: size_now,
                    mtime_ns: mtime_now,
                    mode: mode_now,
                    ..
                }),
            ) => Some(if (size, mtime_ns) != (size_now, mtime_now) {
                "it was changed in the folder"
            } else if mode != mode_now {
                "its permissions changed in the folder"
            } else {
                "it was touched in the folder"
            }),
            (_, Some(_) | None) => Some("something else stands there in the folder"),
        })
    }

    /// Whether another folder holds the same content as the folder of the view, which is unchanged.
    fn is_as_origin(&self, path: &str, old: &BaseEntry, at: &Path) -> Result<bool, WorkspaceError> {
        let origin = file(self.origin, path);
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
        if !present(at)?.is_some_and(|found| found.is_dir()) {
            return Ok(None);
        }
        for file in disk::names(at)? {
            let below = base::join(path, &name::encode(&file));
            if self.exclude.contains(&at.join(&file)) {
                return Ok(Some(format!("{below} is no part of the workspace")));
            }
            if !self.base.entries.contains_key(&below) {
                return Ok(Some(format!("{below} was added in the folder")));
            }
        }
        Ok(None)
    }
}

fn present(at: &Path) -> Result<Option<Metadata>, WorkspaceError> {
    match fs::symlink_metadata(at) {
        Err(error) if disk::is_absent(&error) => Ok(None),
        found => found.at(at).map(Some),
    }
}
