//! What a command made: looked up by its patterns, judged, and put into the cache.

mod standing;

pub(crate) use standing::{Standing, leave_aside, remove_but};

use crate::files::{Files, Found, Stat, WalkError, now};
use crate::keys::Sets;
use crate::store::{Parcel, Store};
use crate::threads;
use mainstay_tasks::{Bytes, Content, Output, PathReason, PatternSet, RunTaskError, StoreError};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// The longest path that a system call takes, without the zero at its end.
const PATH_MAX: usize = 4095;

/// More files than this are stored by several threads.
const FEW: usize = 32;

/// What a command left under the patterns of its task.
pub(crate) struct Made {
    /// What can be kept, in order.
    pub(crate) found: Vec<Found>,
    /// Pipes, sockets and devices.
    pub(crate) passed_over: Vec<Bytes>,
}

/// Everything that the patterns mean now. Pipes, sockets and devices are no outputs; where one was declared
/// by its name, that is an error.
pub(crate) fn resolve(files: &Files, sets: &Sets) -> Result<Made, RunTaskError> {
    for name in &sets.output_names {
        declared(files, name)?;
    }
    let walked = files
        .walk(&sets.outputs)
        .within(files)
        .run(files.root().as_fd());
    let failed = |WalkError { path, errno }| match errno {
        Errno::XDEV => {
            let reason = PathReason::Outside;
            RunTaskError::MaterialisedOutputPathInvalid { path, reason }
        }
        errno => unlisted(path, errno),
    };
    let (found, others) = walked.map_err(failed)?.into_iter().partition(can_be_kept);
    let found = sorted(found);
    let passed_over = sorted(others).into_iter().map(|found| found.path).collect();
    let mut parents = BTreeSet::new();
    for Found { path, .. } in &found {
        let reason = match path {
            path if path.0.len() > PATH_MAX => Some(PathReason::TooLong),
            path if is_reserved(path) => Some(PathReason::Reserved),
            path => outside(files, path, &mut parents)?.then_some(PathReason::Outside),
        };
        if let Some(reason) = reason {
            let path = path.clone();
            return Err(RunTaskError::MaterialisedOutputPathInvalid { path, reason });
        }
    }
    Ok(Made { found, passed_over })
}

/// What can be found of outputs, whether all that was declared is there or not.
pub(crate) fn present(files: &Files, patterns: &PatternSet) -> Vec<Found> {
    let walked = files.walk(patterns).within(files).run(files.root().as_fd());
    let mut found = kept(walked.unwrap_or_default());
    found.retain(|found| !is_reserved(&found.path));
    found
}

/// What can be an output, in order.
fn kept(mut found: Vec<Found>) -> Vec<Found> {
    found.retain(can_be_kept);
    sorted(found)
}

fn can_be_kept(found: &Found) -> bool {
    use FileType::{Directory, RegularFile, Symlink};
    matches!(found.stat.kind, RegularFile | Directory | Symlink)
}

fn sorted(mut found: Vec<Found>) -> Vec<Found> {
    found.retain(|found| !found.path.0.is_empty());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn unlisted(root: Bytes, errno: Errno) -> RunTaskError {
    let cause = io::Error::from(errno).into();
    RunTaskError::OutputPatternResolutionFailed { root, cause }
}

/// Judges an output that was declared by its name.
fn declared(files: &Files, name: &Bytes) -> Result<(), RunTaskError> {
    let missing = || RunTaskError::OutputDeclaredButNotProduced { path: name.clone() };
    let failed = |errno| unlisted(name.clone(), errno);
    let stat = files.look(&name.0).map_err(failed)?.ok_or_else(missing)?;
    let kind = match stat.kind {
        FileType::Symlink => match statat(files.root(), name.0.as_slice(), AtFlags::empty()) {
            Ok(raw) => Stat::of(&raw).kind,
            Err(Errno::NOENT) => return Err(missing()),
            Err(errno) => return Err(failed(errno)),
        },
        kind => kind,
    };
    match kind {
        FileType::RegularFile | FileType::Directory => Ok(()),
        _ => Err(RunTaskError::OutputNotARegularFile { path: name.clone() }),
    }
}

fn is_reserved(path: &Bytes) -> bool {
    let mut names = path.0.split(|&byte| byte == b'/');
    names.any(|name| name == b".git" || name == b".mainstay")
}

/// Whether the folder of a path lies behind a link that leaves the workspace.
fn outside(
    files: &Files,
    path: &Bytes,
    seen: &mut BTreeSet<Vec<u8>>,
) -> Result<bool, RunTaskError> {
    let Some(end) = path.0.iter().rposition(|&byte| byte == b'/') else {
        return Ok(false);
    };
    let parent = &path.0[..end];
    if seen.contains(parent) {
        return Ok(false);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat2(
        files.root(),
        parent,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH,
    );
    match opened {
        Ok(_) => {
            seen.insert(parent.to_vec());
            Ok(false)
        }
        Err(Errno::XDEV) => Ok(true),
        Err(errno) => Err(unlisted(Bytes(parent.to_vec()), errno)),
    }
}

/// Puts outputs into the cache, small ones into the parcel. Call it under [`Store::adding`].
pub(crate) fn keep(
    files: &Files,
    store: &Store,
    parcel: &Parcel,
    found: &[Found],
) -> Result<BTreeMap<Bytes, Output>, RunTaskError> {
    let one = |found: &Found| Ok((found.path.clone(), keep_one(files, store, parcel, found)?));
    threads::each(found, FEW, one).into_iter().collect()
}

fn keep_one(
    files: &Files,
    store: &Store,
    parcel: &Parcel,
    Found { path, stat }: &Found,
) -> Result<Output, RunTaskError> {
    let unread = |error: io::Error| RunTaskError::StoreFailed {
        cause: StoreError::Output {
            path: path.clone(),
            source: error.into(),
        },
    };
    match stat.kind {
        FileType::Symlink => {
            let target = readlinkat(files.root(), path.0.as_slice(), Vec::new());
            let target = target.map_err(|errno| unread(errno.into()))?;
            let target = Bytes(target.into_bytes());
            return Ok(Output::Link { target });
        }
        FileType::Directory => return Ok(Output::Folder { mode: stat.mode }),
        _ => {}
    }
    let modeless = |error: io::Error| RunTaskError::OutputModeReadFailed {
        path: path.clone(),
        cause: error.into(),
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let began = now();
    let opened = openat(files.root(), path.0.as_slice(), flags, Mode::empty());
    let mut file = File::from(opened.map_err(|errno| modeless(errno.into()))?);
    let opened = rustix::fs::fstat(&file).map_err(|errno| modeless(errno.into()))?;
    let mode = Stat::of(&opened).mode;
    let kept = store.put_file(&mut file, stat.is_sparse(), parcel);
    let content = kept.map_err(|error| RunTaskError::StoreFailed {
        cause: StoreError::Cache {
            source: error.into(),
        },
    })?;
    if let Ok(raw) = rustix::fs::fstat(&file)
        && Stat::of(&raw).stamp == stat.stamp
    {
        files.learn(stat.stamp, content.digest, began);
    }
    Ok(Output::File { content, mode })
}

/// Outputs as they stand, hashed and not kept: what has to go before the task runs again.
pub(crate) fn described(files: &Files, found: &[Found]) -> BTreeMap<Bytes, Output> {
    let describe = |Found { path, stat }: &Found| {
        let output = match stat.kind {
            FileType::Symlink => {
                let target = readlinkat(files.root(), path.0.as_slice(), Vec::new()).ok()?;
                let target = Bytes(target.into_bytes());
                Output::Link { target }
            }
            FileType::Directory => Output::Folder { mode: stat.mode },
            _ => {
                let digest = files.digest(&path.0, stat).ok()?;
                let bytes = stat.stamp.bytes;
                let content = Content { digest, bytes };
                let mode = stat.mode;
                Output::File { content, mode }
            }
        };
        Some((path.clone(), output))
    };
    found.iter().filter_map(describe).collect()
}
