//! What the folder held when the view was made: enough to tell later what changed there.

use super::disk::{self, Kind};
use super::error::{At, WorkspaceError};
use super::name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Every path of a folder, from its root, and what stood there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Base {
    pub(super) entries: BTreeMap<String, BaseEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum BaseEntry {
    File {
        size: u64,
        mode: u32,
        mtime_ns: i64,
        /// Nobody can put this one back, so it tells of a change that kept size and time.
        ctime_ns: i64,
    },
    Link {
        target: String,
    },
    Folder {
        mode: u32,
    },
    Fifo {
        mode: u32,
    },
    /// A socket or device: seen through an overlay, and it can be deleted, but not changed.
    Special {
        device: u64,
    },
}

/// What is done with a folder that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is known, but nothing below it: an overlay cannot read it either.
    PassedOver,
    /// It cannot be copied.
    Refused,
}

impl Base {
    /// Reads a folder; `exclude` is left out. It may change meanwhile: what vanishes is not there.
    pub(super) fn of(
        folder: &Path,
        exclude: &[PathBuf],
        unreadable: Unreadable,
    ) -> Result<Self, WorkspaceError> {
        let mut base = Self::default();
        base.add(folder, "", exclude, unreadable)?;
        Ok(base)
    }

    fn add(
        &mut self,
        folder: &Path,
        prefix: &str,
        exclude: &[PathBuf],
        unreadable: Unreadable,
    ) -> Result<(), WorkspaceError> {
        let listed = match fs::read_dir(folder) {
            Err(error) if disk::is_absent(&error) && !prefix.is_empty() => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && unreadable == Unreadable::PassedOver
                    && !prefix.is_empty() =>
            {
                tracing::debug!(folder = %folder.display(), "cannot be read, and is passed over");
                return Ok(());
            }
            listed => listed.at(folder)?,
        };
        for listed in listed {
            let file = listed.at(folder)?.file_name();
            let path = folder.join(&file);
            if exclude.contains(&path) {
                continue;
            }
            let found = match fs::symlink_metadata(&path) {
                Err(error) if disk::is_absent(&error) => continue,
                found => found.at(&path)?,
            };
            let from_root = join(prefix, &name::encode(&file));
            let entry = match entry(&path, &found) {
                Err(WorkspaceError::File { error, .. }) if disk::is_absent(&error) => continue,
                entry => entry?,
            };
            let Some(entry) = entry else {
                continue;
            };
            let is_folder = matches!(entry, BaseEntry::Folder { .. });
            self.entries.insert(from_root.clone(), entry);
            if is_folder {
                self.add(&path, &from_root, exclude, unreadable)?;
            }
        }
        Ok(())
    }

    /// The names directly in a folder.
    pub(super) fn children(&self, folder: &str) -> Vec<String> {
        let strip = |path: &String| {
            let rest = match folder {
                "" => Some(path.as_str()),
                folder => path
                    .strip_prefix(folder)
                    .and_then(|rest| rest.strip_prefix('/')),
            };
            rest.filter(|rest| !rest.contains('/')).map(str::to_owned)
        };
        if folder.is_empty() {
            return self.entries.keys().filter_map(strip).collect();
        }
        self.below(folder)
            .filter_map(|(path, _)| strip(path))
            .collect()
    }

    /// Everything below a path, deepest last.
    pub(super) fn below<'a>(
        &'a self,
        path: &str,
    ) -> impl Iterator<Item = (&'a String, &'a BaseEntry)> + use<'a> {
        let (first, end) = (format!("{path}/"), format!("{path}0"));
        self.entries.range(first..end)
    }
}

/// What stands at a path now; `None` for what an overlay takes for nothing.
pub(super) fn entry(
    path: &Path,
    found: &fs::Metadata,
) -> Result<Option<BaseEntry>, WorkspaceError> {
    let mode = disk::mode(found);
    Ok(match disk::kind(found) {
        Kind::Folder => Some(BaseEntry::Folder { mode }),
        Kind::File => Some(BaseEntry::File {
            size: found.len(),
            mode,
            mtime_ns: disk::mtime_ns(found),
            ctime_ns: disk::ctime_ns(found),
        }),
        Kind::Link => {
            let target = fs::read_link(path).at(path)?;
            Some(BaseEntry::Link {
                target: name::encode(target.as_os_str()),
            })
        }
        Kind::Fifo => Some(BaseEntry::Fifo { mode }),
        Kind::Socket | Kind::Device => Some(BaseEntry::Special {
            device: found.rdev(),
        }),
        Kind::Whiteout => None,
    })
}

/// A name below a path from the root, which itself is empty.
pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    }
}

/// The file of a path from the root.
pub(super) fn file(root: &Path, path: &str) -> PathBuf {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(name::decode)
        .fold(root.to_owned(), |mut file, part| {
            file.push(part);
            file
        })
}
