//! The manifest on disk: read when a turn is accepted, and only where it changed.

use crate::error::RequestError;
use mainstay_manifest::{Manifest, check};
use mainstay_runner::workspace::read_manifest;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A manifest that may be edited while the node runs.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    path: Option<PathBuf>,
    known: Mutex<Option<(Stamp, Arc<Manifest>)>>,
}

type Stamp = (SystemTime, u64);

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
        let stamp = (found.modified().map_err(unreadable)?, found.len());
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, manifest)) = known.as_ref()
            && *at == stamp
            && !is_fresh(stamp.0)
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
