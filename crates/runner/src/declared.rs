//! What the inputs of a task let its command read: themselves, and what is behind those that are links, as
//! it counts in the task's key.

use crate::files::{Files, Found};
use crate::keys::{Sets, tree_behind};
use mainstay_tasks::{BuildKeyError, Bytes, Ingredients, Input};
use rustix::fs::FileType;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// More links than this the system does not follow either.
const LINKS_MAX: usize = 40;

/// Everything that may be read, by its path from the workspace's root.
pub(crate) fn readable(
    files: &Files,
    sets: &Sets,
    declared: &Ingredients,
) -> Result<BTreeSet<Bytes>, BuildKeyError> {
    let inputs = &declared.inputs;
    let mut readable: BTreeSet<Bytes> = inputs.keys().cloned().collect();
    for (path, input) in inputs {
        let Input::Link { .. } = input else {
            continue;
        };
        let mut behind = way(files, path);
        let end = files.end_of_link(path);
        let end = end.map_err(|errno| BuildKeyError::InputContentReadFailed {
            path: path.clone(),
            source: std::io::Error::from(errno).into(),
        })?;
        let tree = match end {
            Some(end) => tree_behind(files, sets, path, &end)?,
            None => None,
        };
        for Found { path, stat } in tree.into_iter().flat_map(|(_, found)| found) {
            if stat.kind == FileType::Symlink {
                behind.extend(way(files, &path));
            }
            behind.push(path);
        }
        // A link below whose name there are inputs is a folder to the command.
        behind.retain(|path| !sets.outputs.is_match(&path.0) && !is_above(path, &readable));
        readable.extend(behind);
    }
    Ok(readable)
}

fn is_above(path: &Bytes, all: &BTreeSet<Bytes>) -> bool {
    let below = Bytes([path.0.as_slice(), b"/"].concat());
    let mut next = all.range(&below..);
    next.next().is_some_and(|path| path.0.starts_with(&below.0))
}

/// The links that are passed on the way to the end of a link, and that end, where they are in the workspace.
fn way(files: &Files, link: &Bytes) -> Vec<Bytes> {
    let link = files.path().join(OsStr::from_bytes(&link.0));
    let (Some(folder), Some(name)) = (link.parent(), link.file_name()) else {
        return Vec::new();
    };
    // Gone meanwhile: then nothing is behind it.
    let Ok(mut at) = fs::canonicalize(folder) else {
        return Vec::new();
    };
    let mut rest = vec![name.to_owned()];
    let mut passed = Vec::new();
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        // The name of the system's root leads there from anywhere.
        at.push(name);
        if let Ok(target) = fs::read_link(&at) {
            passed.push(at.clone());
            at.pop();
            rest.extend(names(&target).rev());
        }
        if passed.len() > LINKS_MAX {
            break;
        }
    }
    passed.push(at);
    let inner = passed.iter().filter_map(|path| {
        let path = path.strip_prefix(files.path()).ok()?.as_os_str();
        (!path.is_empty()).then(|| Bytes::from(path.as_bytes()))
    });
    inner.collect()
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned())
}
