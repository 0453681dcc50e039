//! The ingredients of a task's key, from the files, the caller's environment and the programs of the host.

use crate::environment::Environment;
use crate::files::{Files, Found, Stat, WalkError};
use crate::workspace::Task;
use mainstay_contract::Digest;
use mainstay_manifest::Program;
use mainstay_tasks::{
    BuildKeyError, Bytes, Command, Ingredients, Input, Pattern, PatternSet, Platform,
};
use rustix::fs::{AtFlags, FileType, readlinkat, statat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What the patterns of a task mean, ready for walks.
#[derive(Debug)]
pub(crate) struct Sets {
    pub(crate) inputs: PatternSet,
    /// Inputs that have to be there.
    pub(crate) input_names: Vec<Bytes>,
    /// Whether what git ignores is no input.
    is_default: bool,
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

/// The ingredients of a task as things are now.
pub(crate) fn ingredients(
    files: &Files,
    environment: &Environment,
    task: &Task,
    sets: &Sets,
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
        inputs: inputs(files, sets)?,
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

fn inputs(files: &Files, sets: &Sets) -> Result<BTreeMap<Bytes, Input>, BuildKeyError> {
    let mut walk = files.walk(&sets.inputs);
    if sets.is_default {
        walk = walk.ignoring(files.path());
    }
    let found = walk.run(files.root());
    let found =
        found.map_err(
            |WalkError { path, errno }| BuildKeyError::InputPatternResolutionFailed {
                path,
                source: io::Error::from(errno).into(),
            },
        )?;
    let mut inputs = BTreeMap::new();
    for Found { path, stat } in found {
        if let Some(input) = input(files, &path, &stat)? {
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

/// What stands at a path, as part of a key; nothing for folders, pipes, sockets and devices, which are
/// inputs only where they are named.
fn input(files: &Files, path: &Bytes, stat: &Stat) -> Result<Option<Input>, BuildKeyError> {
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
            let behind = statat(files.root(), path.0.as_slice(), AtFlags::empty());
            let behind = behind.ok().map(|raw| Stat::of(&raw));
            let digest = match behind.filter(|stat| stat.kind == FileType::RegularFile) {
                Some(stat) => Some(files.digest(&path.0, &stat).map_err(unreadable)?),
                None => None,
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
        let digest = match environment.program(task, files.path(), name) {
            None => None,
            Some(path) => {
                let path = path.as_os_str().as_encoded_bytes();
                let raw = statat(files.root(), path, AtFlags::empty()).map_err(failed)?;
                Some(files.digest(path, &Stat::of(&raw)).map_err(failed)?)
            }
        };
        tools.insert(name.clone(), digest);
    }
    Ok(tools)
}
