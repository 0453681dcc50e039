//! What the folder held when the view was made: enough to tell later what changed there.

use super::disk::{self, Kind};
use super::error::{At, WorkspaceError};
use super::name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
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
    File { size: u64, mode: u32, mtime_ns: i64 },
    Link { target: String },
    Folder { mode: u32 },
    Fifo { mode: u32 },
}

impl Base {
    /// Reads a folder; `exclude` is left out.
    pub(super) fn of(folder: &Path, exclude: &[PathBuf]) -> Result<Self, WorkspaceError> {
        let mut base = Self::default();
        base.add(folder, "", exclude)?;
        Ok(base)
    }

    fn add(
        &mut self,
        folder: &Path,
        prefix: &str,
        exclude: &[PathBuf],
    ) -> Result<(), WorkspaceError> {
        for file in disk::names(folder)? {
            let path = folder.join(&file);
            if exclude.contains(&path) {
                continue;
            }
            let found = fs::symlink_metadata(&path).at(&path)?;
            let from_root = join(prefix, &name::encode(&file));
            let Some(entry) = entry(&path, &found)? else {
                continue;
            };
            let is_folder = matches!(entry, BaseEntry::Folder { .. });
            self.entries.insert(from_root.clone(), entry);
            if is_folder {
                self.add(&path, &from_root, exclude)?;
            }
        }
        Ok(())
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

/// What stands at a path now; `None` for what is not kept.
pub(super) fn entry(
    path: &Path,
    found: &fs::Metadata,
) -> Result<Option<BaseEntry>, WorkspaceError> {
    let mode = disk::mode(found);
    Ok(match disk::kept_kind(path, found)? {
        Some(Kind::Folder) => Some(BaseEntry::Folder { mode }),
        Some(Kind::File) => Some(BaseEntry::File {
            size: found.len(),
            mode,
            mtime_ns: disk::mtime_ns(found),
        }),
        Some(Kind::Link) => {
            let target = fs::read_link(path).at(path)?;
            Some(BaseEntry::Link {
                target: name::encode(target.as_os_str()),
            })
        }
        Some(Kind::Fifo) => Some(BaseEntry::Fifo { mode }),
        Some(Kind::Whiteout) | None => None,
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
