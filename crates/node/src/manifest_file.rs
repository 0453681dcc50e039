//! The manifest on disk: read when a turn is accepted, and only where it changed.

use crate::error::RequestError;
use mainstay_manifest::{BYTES_MAX, Checked, Manifest, check};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Checks a manifest file.
///
/// # Errors
/// What the system said where it cannot be read.
pub fn check_manifest(path: &Path) -> io::Result<Checked<Manifest>> {
    let mut bytes = Vec::new();
    // One byte more than is accepted, so that a huge file is refused without being read.
    File::open(path)?
        .take(BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    Ok(check(&name, &bytes))
}

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
        let manifest = check_manifest(path).map_err(unreadable)?.into_result()?;
        let manifest = Arc::new(manifest);
        *known = Some((stamp, Arc::clone(&manifest)));
        Ok((manifest, folder))
    }
}

/// Whether a file changed so lately that a second change could leave the same time stamp.
fn is_fresh(changed: SystemTime) -> bool {
    changed.elapsed().is_ok_and(|age| age.as_millis() < 50)
}
