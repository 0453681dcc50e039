//! What runs of one workspace must not do at the same time: write the outputs of one task, or hold one
//! mutex.

use crate::process::Stop;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long to wait before looking again; doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Locks that are held until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<File>);

/// How a lock is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Alone,
    Together,
}

/// Takes locks by name, in their order, which keeps two runs from waiting for each other. Calls `waits`
/// with the name of one that somebody else holds, once. `None` where the run was stopped meanwhile.
pub(super) fn take(
    folder: &Path,
    names: &[(String, Share)],
    stop: &Stop,
    waits: &mut dyn FnMut(&str),
) -> io::Result<Option<Held>> {
    fs::create_dir_all(folder)?;
    let mut sorted: Vec<&(String, Share)> = names.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut held = Held::default();
    for (name, share) in sorted {
        let file = File::create(folder.join(name))?;
        let wanted = match share {
            Share::Alone => FlockOperation::NonBlockingLockExclusive,
            Share::Together => FlockOperation::NonBlockingLockShared,
        };
        let mut pause = PAUSE.0;
        loop {
            match flock(&file, wanted) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if stop.is_asked() {
                return Ok(None);
            }
            if pause == PAUSE.0 {
                waits(name);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
        held.0.push(file);
    }
    Ok(Some(held))
}
