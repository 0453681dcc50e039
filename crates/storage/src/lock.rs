//! One node per data directory. The kernel holds the lock, so it ends with the process, however that
//! ends.

use crate::error::io_error;
use mainstay_sessions::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The right to a data directory, for as long as it lives.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Takes a data directory, which is made where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with the holder's process; [`StoreError`] where it cannot be made.
    pub fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| io_error(&error, dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed)?;
        let path = dir.join("lock");
        let mut options = File::options();
        options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600);
        let mut file = options
            .open(&path)
            .map_err(|error| io_error(&error, &path))?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(io_error(&error.into(), &path));
            }
            let mut text = String::new();
            let _unreadable = file.read_to_string(&mut text);
            return Err(StoreError::Locked {
                path: dir.to_owned(),
                holder: text.trim().parse().ok(),
            });
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        noted.map_err(|error| io_error(&error, &path))?;
        Ok(Self { _file: file })
    }
}
