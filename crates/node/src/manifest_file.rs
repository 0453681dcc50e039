//! The manifest on disk: read when a turn is accepted, and only where it changed.

use crate::error::RequestError;
use mainstay_manifest::{Manifest, check};
use mainstay_runner::workspace::read_manifest;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A manifest that may be edited while the node runs.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    path: Option<PathBuf>,
    known: Mutex<Option<(Stamp, Arc<Manifest>)>>,
}

/// What tells one content from another without reading it, wherever links lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    /// When its name, content or attributes changed; unlike `modified`, nobody can set it.
    changed: (i64, i64),
    length: u64,
    file: (u64, u64),
}

impl Stamp {
    fn of(found: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: found.modified()?,
            changed: (found.ctime(), found.ctime_nsec()),
            length: found.len(),
            file: (found.dev(), found.ino()),
        })
    }
}

impl ManifestFile {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            known: Mutex::new(None),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The manifest as it is now, and the folder that its paths are relative to.
    pub(crate) fn read(&self) -> Result<(Arc<Manifest>, &Path), RequestError> {
        let path = self.path.as_deref().ok_or(RequestError::NoManifest)?;
        let unreadable = |error| RequestError::ManifestUnreadable {
            path: path.to_owned(),
            error,
        };
        let found = std::fs::metadata(path).map_err(unreadable)?;
        let stamp = Stamp::of(&found).map_err(unreadable)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, manifest)) = known.as_ref()
            && *at == stamp
            && !is_fresh(stamp.modified)
        {
            return Ok((Arc::clone(manifest), folder));
        }
        let bytes = read_manifest(path).map_err(unreadable)?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        let manifest = Arc::new(check(&name.to_string_lossy(), &bytes).into_result()?);
        *known = Some((stamp, Arc::clone(&manifest)));
        Ok((manifest, folder))
    }
}

/// Whether a file changed so lately that a second change could leave the same time stamp.
fn is_fresh(changed: SystemTime) -> bool {
    changed.elapsed().is_ok_and(|age| age.as_millis() < 50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::time::Duration;

    #[test]
    fn a_file_that_takes_the_place_of_one_of_the_same_size_and_time_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let write = |name: &str, model: &str| {
            let models = format!("{model}: {{provider: script, file: s}}");
            fs::write(at(name), format!("version: 1\nmodels:\n  {models}\n")).unwrap();
            let file = File::options().append(true).open(at(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        };
        let path = at("mainstay.yaml");
        let manifest = ManifestFile::new(Some(path.clone()));
        let has = |model: &str| manifest.read().unwrap().0.models.contains_key(model);
        write("a", "a");
        fs::rename(at("a"), &path).unwrap();
        assert!(has("a"));
        write("b", "b");
        fs::rename(at("b"), &path).unwrap();
        assert!(has("b"));
        for model in ["c", "d"] {
            write(model, model);
            std::os::unix::fs::symlink(model, at("link")).unwrap();
            fs::rename(at("link"), &path).unwrap();
            assert!(has(model));
        }
    }
}
