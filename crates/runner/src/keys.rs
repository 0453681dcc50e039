//! The ingredients of a task's key, from the files, the caller's environment and the programs of the host.

use crate::environment::Environment;
use crate::files::{Files, Found, Stamp, Stat, TICK, WalkError};
use crate::workspace::Task;
use mainstay_contract::Digest;
use mainstay_manifest::Program;
use mainstay_tasks::{
    BuildKeyError, Bytes, Command, Ingredients, Input, Pattern, PatternSet, Platform,
};
use rustix::fs::{AtFlags, FileType, readlinkat, statat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the patterns of a task mean, ready for walks.
#[derive(Debug)]
pub(crate) struct Sets {
    pub(crate) inputs: PatternSet,
    /// Inputs that have to be there.
    pub(crate) input_names: Vec<Bytes>,
    /// Whether everything is an input but for what git ignores.
    pub(crate) is_default: bool,
    pub(crate) outputs: PatternSet,
    /// Outputs that have to be there.
    pub(crate) output_names: Vec<Bytes>,
}

impl Sets {
    pub(crate) fn of(task: &Task) -> Self {
        let names = |patterns: &[Pattern]| {
            let included = patterns.iter().filter(|pattern| !pattern.is_exclusion());
            included.filter_map(Pattern::literal).collect()
        };
        let everything = || {
            let all = Pattern::parse(&task.project, "**").into_iter();
            all.collect::<Vec<_>>()
        };
        let declared = task.inputs.clone();
        let mut inputs = PatternSet::new(declared.unwrap_or_else(everything));
        let made = task.outputs.iter().filter(|output| !output.is_exclusion());
        inputs.exclude(made.chain(&task.foreign));
        Self {
            inputs,
            input_names: names(task.inputs.as_deref().unwrap_or_default()),
            is_default: task.inputs.is_none(),
            outputs: PatternSet::new(task.outputs.iter().cloned()),
            output_names: names(&task.outputs),
        }
    }
}

/// What the stamps of all inputs come to: where it is another one later, something was written, whatever the
/// files hold then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamps(u64);

impl Stamps {
    /// In any order.
    fn add(&mut self, stat: &Stat) {
        /// Odd, so that no bit is lost.
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let Stamp {
            inode, modified, ..
        } = stat.stamp;
        // The time of change moves when a link is made, too, so it says nothing of what has several names.
        let changed = if stat.links == 1 {
            stat.stamp.changed
        } else {
            0
        };
        let words = [inode, modified.cast_unsigned(), changed.cast_unsigned()];
        let mixed = words.iter().fold(0, |mixed: u64, word| {
            (mixed.rotate_left(23) ^ word).wrapping_mul(MIX)
        });
        self.0 = self.0.wrapping_add(mixed);
    }
}

/// The inputs that were written after a moment of the clock that stamps files, as far as that can be told
/// from them, or shortly before.
pub(crate) fn written_since(
    files: &Files,
    inputs: &BTreeMap<Bytes, Input>,
    moment: i64,
) -> Vec<Bytes> {
    let is_written = |path: &&Bytes| {
        let flags = [AtFlags::SYMLINK_NOFOLLOW, AtFlags::empty()].into_iter();
        let mut stats =
            flags.filter_map(|flags| statat(files.root(), path.0.as_slice(), flags).ok());
        stats.any(|raw| {
            let stamp = Stat::of(&raw).stamp;
            stamp.modified.max(stamp.changed).saturating_add(TICK) >= moment
        })
    };
    inputs.keys().filter(is_written).cloned().collect()
}

/// The ingredients of a task as things are now.
pub(crate) fn ingredients(
    files: &Files,
    environment: &Environment,
    task: &Task,
    sets: &Sets,
    stamps: &mut Stamps,
) -> Result<Ingredients, BuildKeyError> {
    let variables = environment.declared(task);
    let digest = |value: &[u8]| Digest(*blake3::hash(value).as_bytes());
    let variables = variables
        .iter()
        .map(|(name, value)| (Bytes::from(name), value.as_deref().map(digest)));
    Ok(Ingredients {
        task: task.id.clone(),
        cwd: task.cwd.clone(),
        command: match &task.program {
            Program::Command(arguments) => {
                Command::Arguments(arguments.iter().map(Bytes::from).collect())
            }
            Program::Shell(script) => Command::Shell {
                shell: Bytes::from(crate::environment::SHELL),
                script: Bytes::from(script),
            },
        },
        inputs: inputs(files, sets, stamps)?,
        outputs: task
            .outputs
            .iter()
            .map(|pattern| Bytes::from(pattern.to_string()))
            .collect::<BTreeSet<_>>(),
        environment: variables.collect(),
        tools: tools(files, environment, task)?,
        platform: Platform {
            os: std::env::consts::OS.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
        },
    })
}

fn inputs(
    files: &Files,
    sets: &Sets,
    stamps: &mut Stamps,
) -> Result<BTreeMap<Bytes, Input>, BuildKeyError> {
    let found = walked(files, sets, &sets.inputs)?;
    let mut inputs = BTreeMap::new();
    for Found { path, stat } in found {
        if let Some(input) = input(files, Some(sets), &path, &stat, stamps)? {
            stamps.add(&stat);
            inputs.insert(path, input);
        }
    }
    for name in &sets.input_names {
        if inputs.contains_key(name) {
            continue;
        }
        let missing = || BuildKeyError::InputMissing { path: name.clone() };
        let unreadable = |errno: Errno| BuildKeyError::InputPatternResolutionFailed {
            path: name.clone(),
            source: io::Error::from(errno).into(),
        };
        let stat = files
            .look(&name.0)
            .map_err(unreadable)?
            .ok_or_else(missing)?;
        if stat.kind == FileType::Directory {
            inputs.insert(name.clone(), Input::Folder);
        } else if !matches!(stat.kind, FileType::RegularFile | FileType::Symlink) {
            let path = name.clone();
            return Err(BuildKeyError::InputNotARegularFile { path });
        }
    }
    Ok(inputs)
}

/// What patterns of inputs mean.
fn walked(files: &Files, sets: &Sets, patterns: &PatternSet) -> Result<Vec<Found>, BuildKeyError> {
    let mut walk = files.walk(patterns);
    if files.is_view() {
        walk = walk.within(files);
    }
    if sets.is_default {
        walk = walk.ignoring(&files.here());
    }
    let failed = |WalkError { path, errno }| BuildKeyError::InputPatternResolutionFailed {
        path,
        source: io::Error::from(errno).into(),
    };
    walk.run(files.root().as_fd()).map_err(failed)
}

/// The folder behind a link, and everything in it; nothing where it is not in the workspace, or the link lies
/// in it. Links in there are not followed to folders again.
pub(crate) fn tree_behind(
    files: &Files,
    sets: &Sets,
    link: &Bytes,
    end: &[u8],
) -> Result<Option<(Bytes, Vec<Found>)>, BuildKeyError> {
    let Some(inner) = files.folder_at(end) else {
        return Ok(None);
    };
    let is_around = Path::new(OsStr::from_bytes(&link.0)).starts_with(OsStr::from_bytes(&inner.0));
    if is_around {
        return Ok(None);
    }
    let everything = Pattern::parse(&inner, "**");
    let found = walked(files, sets, &sets.inputs.instead(everything))?;
    Ok(Some((inner, found)))
}

/// What [`tree_behind`] finds, as one digest.
fn behind_link(
    files: &Files,
    sets: &Sets,
    link: &Bytes,
    end: &[u8],
    stamps: &mut Stamps,
) -> Result<Option<Digest>, BuildKeyError> {
    let Some((inner, found)) = tree_behind(files, sets, link, end)? else {
        return Ok(None);
    };
    let mut tree = BTreeMap::new();
    for Found { path, stat } in found {
        if let Some(input) = input(files, None, &path, &stat, stamps)? {
            stamps.add(&stat);
            tree.insert(path, input);
        }
    }
    let below = |path: &'_ Bytes| inner.0.len().min(path.0.len());
    let tree = tree
        .iter()
        .map(|(path, input)| (&path.0[below(path)..], input));
    Ok(Some(Input::digest_of_all(tree)))
}

/// What stands at a path, as part of a key; nothing for folders, pipes, sockets and devices, which are
/// inputs only where they are named. `sets`: where links to folders are followed.
fn input(
    files: &Files,
    sets: Option<&Sets>,
    path: &Bytes,
    stat: &Stat,
    stamps: &mut Stamps,
) -> Result<Option<Input>, BuildKeyError> {
    let unreadable = |errno: Errno| BuildKeyError::InputContentReadFailed {
        path: path.clone(),
        source: io::Error::from(errno).into(),
    };
    Ok(match stat.kind {
        FileType::RegularFile => Some(Input::File {
            digest: files.digest(&path.0, stat).map_err(unreadable)?,
            is_executable: stat.is_executable(),
        }),
        FileType::Symlink => {
            let target = readlinkat(files.root(), path.0.as_slice(), Vec::new());
            let target = Bytes(target.map_err(unreadable)?.into_bytes());
            let end = files.end_of_link(path).map_err(unreadable)?;
            let behind = end.as_ref().and_then(|end| {
                let end = if end.is_empty() { b"." } else { end.as_slice() };
                statat(files.root(), end, AtFlags::empty()).ok()
            });
            let end = end.unwrap_or_default();
            let digest = match behind.map(|raw| Stat::of(&raw)) {
                Some(stat) if stat.kind == FileType::RegularFile => {
                    stamps.add(&stat);
                    Some(files.digest(&end, &stat).map_err(unreadable)?)
                }
                Some(stat) if stat.kind == FileType::Directory => match sets {
                    Some(sets) => behind_link(files, sets, path, &end, stamps)?,
                    None => None,
                },
                _ => None,
            };
            Some(Input::Link { target, digest })
        }
        _ => None,
    })
}

/// The programs that a task declares, by content; none where one is not found.
fn tools(
    files: &Files,
    environment: &Environment,
    task: &Task,
) -> Result<BTreeMap<String, Option<Digest>>, BuildKeyError> {
    let mut tools = BTreeMap::new();
    for name in &task.tools {
        let failed = |errno: Errno| BuildKeyError::ToolReadFailed {
            name: name.clone(),
            source: io::Error::from(errno).into(),
        };
        let digest = match environment.program(task, files, name) {
            None => None,
            Some(path) => {
                let stat = files.look_at(&path).map_err(failed)?;
                let path = files.within(&path).as_os_str().as_encoded_bytes();
                Some(files.digest(path, &stat).map_err(failed)?)
            }
        };
        tools.insert(name.clone(), digest);
    }
    Ok(tools)
}
