//! All that can be seen of a folder.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        bytes: Vec<u8>,
        links: u64,
        mtime: Option<(i64, i64)>,
        /// The first name of the same file.
        first: Option<PathBuf>,
    },
    Link(PathBuf),
    Fifo {
        mode: u32,
    },
    Other,
}

/// Panics, naming the first difference, unless two folders look the same. A mounted overlay may give
/// two names of one file different inodes, and keeps all times; a folder that it was brought home to
/// keeps names together, and the times of what was not changed.
pub(super) fn compare(left: &Path, right: &Path, is_mounted: bool) {
    let (one, other) = (snapshot(left, is_mounted), snapshot(right, is_mounted));
    for path in one.keys().chain(other.keys()) {
        let (a, b) = (one.get(path), other.get(path));
        assert!(
            a == b,
            "{path:?} differs: {} has {}, {} has {}",
            left.display(),
            short(a),
            right.display(),
            short(b)
        );
    }
}

fn short(node: Option<&Node>) -> String {
    let mut text = format!("{node:?}");
    text.truncate(text.floor_char_boundary(300));
    text
}

fn snapshot(top: &Path, is_mounted: bool) -> BTreeMap<PathBuf, Node> {
    let mut nodes = BTreeMap::new();
    let mut firsts = HashMap::new();
    let mode = fs::symlink_metadata(top).unwrap().mode() & 0o7777;
    nodes.insert(PathBuf::new(), Node::Folder { mode });
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(top.join(&folder)).unwrap();
        let mut names: Vec<OsString> = listed.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let at = top.join(&path);
            let found = fs::symlink_metadata(&at).unwrap();
            let (kind, mode) = (found.file_type(), found.mode() & 0o7777);
            let node = if kind.is_dir() {
                folders.push(path.clone());
                Node::Folder { mode }
            } else if kind.is_file() {
                let first = firsts.entry((found.dev(), found.ino()));
                Node::File {
                    mode,
                    bytes: fs::read(&at).unwrap(),
                    links: found.nlink(),
                    mtime: is_mounted.then(|| (found.mtime(), found.mtime_nsec())),
                    first: (!is_mounted).then(|| first.or_insert_with(|| path.clone()).clone()),
                }
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(&at).unwrap())
            } else if kind.is_fifo() {
                Node::Fifo { mode }
            } else {
                Node::Other
            };
            nodes.insert(path, node);
        }
    }
    nodes
}
