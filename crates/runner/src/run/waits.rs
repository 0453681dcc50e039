//! Runs within tasks that wait for the lock of a workspace. They leave a note, so that those are found that wait
//! for each other: where a task of one workspace runs one of another, and the other way around.

use super::lock::Holder;
use crate::process::Process;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A run that waits.
#[derive(Debug, Serialize, Deserialize)]
struct Wait {
    process: Process,
    /// The marker of the task whose command started it.
    outer: String,
    /// The file of the lock.
    lock: Vec<u8>,
}

/// The note that a run waits; while it lives.
#[derive(Debug)]
pub(super) struct WaitNote(PathBuf);

impl WaitNote {
    pub(super) fn leave(folder: &Path, outer: &OsStr, lock: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        crate::disk::sweep(folder)?;
        let wait = Wait {
            process: Process::this(),
            outer: outer.to_string_lossy().into_owned(),
            lock: lock.as_os_str().as_bytes().to_vec(),
        };
        let path = crate::disk::temporary(folder);
        fs::write(&path, postcard::to_stdvec(&wait).map_err(io::Error::other)?)?;
        Ok(Self(path))
    }
}

impl Drop for WaitNote {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// Whether a run cannot go on before one does that `is_above` the caller.
pub(super) fn is_stuck(
    folder: &Path,
    holder: &Holder,
    is_above: impl Fn(&Holder) -> bool,
) -> io::Result<bool> {
    let mut waits = Vec::new();
    for entry in fs::read_dir(folder)? {
        // Who is gone meanwhile, or not done writing, is not waiting.
        let bytes = fs::read(entry?.path()).unwrap_or_default();
        waits.extend(postcard::from_bytes::<Wait>(&bytes).ok());
    }
    waits.retain(|wait| wait.process.lives());
    let mut blocked = vec![holder.commands()];
    while let Some(prefix) = blocked.pop() {
        for wait in waits.extract_if(.., |wait| wait.outer.starts_with(&prefix)) {
            let lock = File::open(OsStr::from_bytes(&wait.lock));
            let Some(next) = lock.ok().and_then(|mut lock| Holder::read(&mut lock)) else {
                continue;
            };
            if is_above(&next) {
                return Ok(true);
            }
            blocked.push(next.commands());
        }
    }
    Ok(false)
}
