//! Why the store cannot do what it was asked.

use crate::digest::RemoteDigest;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{folder}: another server uses this folder", folder = folder.display())]
    InUse { folder: PathBuf },
    #[error("{path}: no space is left", path = path.display())]
    Full {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}", path = path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("too much is on its way in")]
    Busy,
    #[error("{size} bytes are more than the {max} that one blob may have")]
    TooLarge { size: u64, max: u64 },
    #[error("the bytes are {found} and not {expected}")]
    Mismatch {
        expected: RemoteDigest,
        found: RemoteDigest,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            _ => Self::Io { path, source },
        }
    }
}
