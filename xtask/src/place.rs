//! Where the workspace lies, and the files in it. Works without git, in a plain copy of the folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &["target", ".git", ".mainstay", "node_modules"];

/// Why a chore did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The chore ran and found something; it has said what.
    Found(String),
    /// A file or program that the chore needs could not be used.
    Io(String, io::Error),
    /// The arguments make no sense.
    Usage(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Found(what) | Self::Usage(what) => f.write_str(what),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

/// A finding's place and what to do about it.
pub(crate) type Findings = Vec<String>;

/// The root of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
}

impl Place {
    /// The workspace that cargo runs this program for, or else the one it was built from.
    pub(crate) fn here() -> Self {
        let built_from = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let crate_dir =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_from, PathBuf::from);
        Self::at(crate_dir.parent().unwrap_or(&crate_dir))
    }

    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The text of a file below the root; bytes that are not UTF-8 are replaced.
    pub(crate) fn read(&self, path: &str) -> Result<String, Failure> {
        let bytes = fs::read(self.join(path)).map_err(|e| Failure::Io(path.to_owned(), e))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All files below a folder with one of these extensions, sorted, relative to the root.
    pub(crate) fn files(&self, below: &str, extensions: &[&str]) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        self.collect(&self.join(below), extensions, &mut found)?;
        found.sort();
        Ok(found)
    }

    fn collect(&self, dir: &Path, wanted: &[&str], found: &mut Vec<String>) -> Result<(), Failure> {
        let failed = |error| Failure::Io(dir.display().to_string(), error);
        if !dir.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() && !FOREIGN.contains(&name.as_str()) {
                self.collect(&path, wanted, found)?;
            } else if kind.is_file()
                && path
                    .extension()
                    .is_some_and(|e| wanted.iter().any(|w| e.eq_ignore_ascii_case(w)))
            {
                let relative = path.strip_prefix(&self.root).unwrap_or(&path);
                found.push(relative.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }

    /// The folders of the workspace's crates, relative to the root.
    pub(crate) fn crates(&self) -> Result<Vec<String>, Failure> {
        let manifests = self.files("", &["toml"])?;
        let dir = |path: &String| path.strip_suffix("/Cargo.toml").map(ToOwned::to_owned);
        Ok(manifests.iter().filter_map(dir).collect())
    }
}

/// Prints findings; fails where there are any.
pub(crate) fn conclude(chore: &str, findings: &Findings) -> Result<(), Failure> {
    for finding in findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err(Failure::Found(format!("{chore}: one finding, see above"))),
        count => Err(Failure::Found(format!(
            "{chore}: {count} findings, see above"
        ))),
    }
}
