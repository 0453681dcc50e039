//! The folders of a workspace's projects.

use mainstay_manifest::{Finding, Placed, Problem, Project, Spot};
use mainstay_tasks::{Bytes, Pattern, PatternSet};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::files::{Walk, WalkError};

/// A project's folder and what its manifest says.
#[derive(Debug)]
pub(super) struct Folder {
    /// From the workspace's root; empty for the root itself.
    pub(super) path: Bytes,
    /// How findings call its manifest.
    pub(super) file: String,
    /// Its name: the one that it gives itself, or that of its folder.
    pub(super) name: String,
    pub(super) project: Project,
}

impl Folder {
    pub(super) fn new(root: &Path, path: &Bytes, file: String, project: Project) -> Self {
        let own = project.name.as_ref().map(|name| name.value.clone());
        let folder = root.join(std::ffi::OsStr::from_bytes(&path.0));
        let name = own.unwrap_or_else(|| {
            let last = folder.file_name().unwrap_or_default().to_string_lossy();
            name_like(&last)
        });
        Self {
            path: path.clone(),
            file,
            name,
            project,
        }
    }
}

/// A folder's name as a project's: what cannot be part of one becomes `-`.
fn name_like(folder: &str) -> String {
    let keep = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
        _ => '-',
    };
    let name: String = folder.chars().map(keep).take(64).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    match name {
        "" => "workspace".to_owned(),
        _ => name.to_owned(),
    }
}

/// A finding about something in a manifest.
pub(super) fn finding(
    file: &str,
    at: Spot,
    field: &str,
    problem: Problem,
    message: String,
) -> Finding {
    Finding {
        file: file.to_owned(),
        line: at.line,
        column: at.column,
        field: field.to_owned(),
        problem,
        message,
        near: Vec::new(),
        hint: None,
    }
}

/// The folders that `projects` means, each once, with whether it was named without a wildcard. Only the
/// root where nothing is said.
pub(super) fn find(
    root: &Path,
    file: &str,
    projects: &[Placed<String>],
    findings: &mut Vec<Finding>,
) -> Result<Vec<(Bytes, bool)>, (PathBuf, io::Error)> {
    let mut folders = BTreeMap::from([(Bytes::default(), true)]);
    let opened = crate::files::open_root(root).map_err(|errno| (root.to_owned(), errno.into()))?;
    for Placed { at, value } in projects {
        let pattern = match Pattern::parse(&Bytes::default(), value) {
            Ok(pattern) => pattern,
            Err(error) => {
                let expected = "a folder of the workspace".to_owned();
                let problem = Problem::Value { expected };
                findings.push(finding(file, *at, "projects", problem, error.to_string()));
                continue;
            }
        };
        let literal = pattern.literal();
        if let Some(path) = &literal {
            let folder = root.join(std::ffi::OsStr::from_bytes(&path.0));
            if folder.is_dir() {
                folders.insert(path.clone(), true);
            } else {
                let expected = "a folder of the workspace".to_owned();
                let message = format!("there is no folder `{path}`");
                let problem = Problem::Value { expected };
                findings.push(finding(file, *at, "projects", problem, message));
            }
            continue;
        }
        let set = PatternSet::new([pattern]);
        let walked = Walk::new(&set)
            .folders_only()
            .run(std::os::fd::AsFd::as_fd(&opened));
        let found = walked.map_err(|WalkError { path, errno }| {
            let path = root.join(std::ffi::OsStr::from_bytes(&path.0));
            (path, errno.into())
        })?;
        for folder in found {
            let has_manifest = root
                .join(std::ffi::OsStr::from_bytes(&folder.path.0))
                .join(mainstay_manifest::FILE_NAME)
                .exists();
            if has_manifest {
                folders.entry(folder.path).or_insert(false);
            }
        }
    }
    Ok(folders.into_iter().collect())
}
