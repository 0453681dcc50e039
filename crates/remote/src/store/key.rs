//! What a file is, from its place, and the place from what it is.

use super::StoreError;
use super::index::Index;
use crate::digest::{RemoteDigest, hex, unhex};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const ACTIONS: &str = "actions";
const ARTIFACTS: &str = "artifacts";
const BLOBS: &str = "cas";

/// An entry of the store. The order is that of eviction among entries that were used together: records
/// go before the blobs that they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The result of an action, in an instance.
    Action {
        instance: [u8; 32],
        action: [u8; 32],
    },
    /// An artifact, of a team.
    Artifact { team: [u8; 32], name: [u8; 32] },
    /// A blob, for all.
    Blob([u8; 32]),
}

impl Key {
    pub(crate) fn action(instance: &str, action: &RemoteDigest) -> Self {
        Self::Action {
            instance: hash(instance),
            action: action.hash,
        }
    }

    pub(crate) fn artifact(team: &str, name: &str) -> Self {
        Self::Artifact {
            team: hash(team),
            name: hash(name),
        }
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let (kind, scope, name) = match self {
            Self::Action { instance, action } => (ACTIONS, hex(instance), action),
            Self::Artifact { team, name } => (ARTIFACTS, hex(team), name),
            Self::Blob(hash) => (BLOBS, hex(&hash[..1]), hash),
        };
        folder.join(kind).join(scope).join(hex(name))
    }

    fn parse(kind: &str, scope: &str, name: &str) -> Option<Self> {
        let name = unhex(name)?;
        match kind {
            ACTIONS => Some(Self::Action {
                instance: unhex(scope)?,
                action: name,
            }),
            ARTIFACTS => Some(Self::Artifact {
                team: unhex(scope)?,
                name,
            }),
            _ => (scope == hex(&name[..1])).then_some(Self::Blob(name)),
        }
    }
}

fn hash(name: &str) -> [u8; 32] {
    RemoteDigest::of(name.as_bytes()).hash
}

/// Reads what a folder holds. Files that are not the store's are left alone.
pub(super) fn scan(folder: &Path) -> Result<Index, StoreError> {
    let mut found = Vec::new();
    for kind in [ACTIONS, ARTIFACTS, BLOBS] {
        for scope in children(&folder.join(kind))? {
            if !scope.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for file in children(&scope.path())? {
                let (scope, name) = (scope.file_name(), file.file_name());
                let key = scope.to_str().zip(name.to_str());
                let key = key.and_then(|(scope, name)| Key::parse(kind, scope, name));
                let metadata = file.metadata().ok().filter(fs::Metadata::is_file);
                if let Some((key, metadata)) = key.zip(metadata) {
                    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((used, key, metadata.len()));
                }
            }
        }
    }
    found.sort_unstable();
    let mut index = Index::default();
    for (used, key, size) in found {
        index.insert(key, size, used);
    }
    Ok(index)
}

fn children(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| StoreError::io(folder, error))?,
    };
    let entries = entries.collect::<io::Result<_>>();
    entries.map_err(|error| StoreError::io(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_tells_what_is_there() {
        let blob = RemoteDigest::of(b"x");
        for key in [
            Key::action("../..", &blob),
            Key::artifact("team/../x", "0123"),
            Key::Blob(blob.hash),
        ] {
            let path = key.path(Path::new(""));
            let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
            let [kind, scope, name] = parts[..] else {
                panic!("{path:?}");
            };
            assert_eq!(Key::parse(kind, scope, name), Some(key));
            assert_eq!(Key::parse(kind, "..", name), None);
        }
    }
}
