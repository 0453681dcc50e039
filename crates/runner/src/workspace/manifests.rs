//! Whether the manifests of a workspace are the ones that were loaded, without reading them.

use super::project;
use crate::files::{Stamp, Stat};
use mainstay_manifest::{BYTES_MAX, FILE_NAME, Placed, check};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The manifests of a workspace at some moment, sound or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    /// The workspace's own.
    path: PathBuf,
    own: Option<Stamp>,
    /// Where it says that projects are.
    projects: Vec<Placed<String>>,
    others: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Manifests {
    /// Looks, before the workspace of a manifest is loaded.
    #[must_use]
    pub fn look(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            own: stamp(path),
            projects: projects(path),
            others: BTreeMap::new(),
        }
        .with_others()
    }

    /// Looks again.
    #[must_use]
    pub fn again(&self) -> Self {
        match stamp(&self.path) == self.own {
            true => self.clone().with_others(),
            false => Self::look(&self.path),
        }
    }

    /// The folders that they are in, and those in which others may appear.
    pub(crate) fn folders(&self) -> HashSet<PathBuf> {
        let root = self.path.parent().unwrap_or(Path::new("/"));
        let paths = self.others.keys().chain([&self.path]);
        let folders = paths.flat_map(|path| path.ancestors().skip(1).take(2));
        folders
            .filter(|folder| folder.starts_with(root))
            .map(Path::to_owned)
            .collect()
    }

    fn with_others(mut self) -> Self {
        let root = self.path.parent().unwrap_or(Path::new("/"));
        // What is wrong with them is told when they are loaded.
        let found = project::find(root, FILE_NAME, &self.projects, &mut Vec::new());
        let folders = found.unwrap_or_default().into_iter();
        let manifests = folders.map(|(path, _)| {
            let manifest = root.join(OsStr::from_bytes(&path.0)).join(FILE_NAME);
            let stamp = stamp(&manifest);
            (manifest, stamp)
        });
        self.others = manifests.collect();
        self
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = rustix::fs::stat(path).ok()?;
    Some(Stat::of(&found).stamp)
}

fn projects(path: &Path) -> Vec<Placed<String>> {
    let read = std::fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let whole = read
        .ok()
        .and_then(|bytes| check(FILE_NAME, &bytes).manifest);
    whole.map(|whole| whole.projects).unwrap_or_default()
}
