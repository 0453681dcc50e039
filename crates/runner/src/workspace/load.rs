//! From the manifests of a workspace to its tasks, or to everything that is wrong with them.

use super::memory::Memory;
use super::project::{self, Folder};
use super::{Workspace, resolve};
use mainstay_manifest::{
    BYTES_MAX, Checked, FILE_NAME, Finding, InvalidManifest, Manifest, Project,
};
use mainstay_tasks::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::threads;

/// More manifests than this are read by several threads.
const FEW: usize = 1;

/// Why a workspace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A manifest or folder cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is wrong with the manifests.
    #[error(transparent)]
    Invalid(InvalidManifest),
}

/// Loads the workspace of a manifest. `store`: where to remember what its manifests said.
///
/// # Errors
/// [`LoadError`], with every finding of every manifest at once.
pub fn load(manifest: &Path, store: &Store) -> Result<Workspace, LoadError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Unreadable { path, source }
    };
    let folder = manifest.parent().unwrap_or(Path::new("/"));
    let root = folder.canonicalize().map_err(unreadable(folder))?;
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    let bytes = read_manifest(manifest).map_err(unreadable(manifest))?;
    let memory = Memory::open(store.of_workspace(&root).join("manifests"));
    let Checked {
        manifest: whole,
        mut findings,
    } = memory.manifest(&name, &bytes);
    let Some(whole) = whole else {
        return Err(LoadError::Invalid(InvalidManifest { findings }));
    };
    let found = project::find(&root, &name, &whole.projects, &mut findings);
    let folders = match found {
        Ok(folders) => folders,
        Err((path, source)) => return Err(LoadError::Unreadable { path, source }),
    };
    let folders = read_projects(&root, &name, &whole, &memory, folders, &mut findings)?;
    memory.save();
    if !findings.is_empty() {
        return Err(LoadError::Invalid(InvalidManifest { findings }));
    }
    resolve::workspace(root, folders, whole)
        .map_err(|findings| LoadError::Invalid(InvalidManifest { findings }))
}

/// Reads the manifests of projects, several at once.
fn read_projects(
    root: &Path,
    name: &str,
    whole: &Manifest,
    memory: &Memory,
    folders: Vec<(Bytes, bool)>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Folder>, LoadError> {
    let read = threads::each(&folders, FEW, |(path, _)| {
        read_project(root, name, whole, memory, path)
    });
    let mut projects = Vec::new();
    for checked in read {
        let (folder, mut found) = checked?;
        findings.append(&mut found);
        projects.extend(folder);
    }
    Ok(projects)
}

fn read_project(
    root: &Path,
    name: &str,
    whole: &Manifest,
    memory: &Memory,
    path: &Bytes,
) -> Result<(Option<Folder>, Vec<Finding>), LoadError> {
    if path.0.is_empty() {
        let project = whole.project.clone();
        return Ok((
            Some(Folder::new(root, path, name.to_owned(), project)),
            Vec::new(),
        ));
    }
    let folder = root.join(std::ffi::OsStr::from_bytes(&path.0));
    let file = folder.join(FILE_NAME);
    let shown = format!("{path}/{FILE_NAME}");
    let bytes = match read_manifest(&file) {
        Ok(bytes) => bytes,
        // A project may have no manifest: then it has no task.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((
                Some(Folder::new(root, path, shown, Project::default())),
                Vec::new(),
            ));
        }
        Err(source) => return Err(LoadError::Unreadable { path: file, source }),
    };
    let Checked { manifest, findings } = memory.project(&shown, &bytes);
    let folder = manifest.map(|project| Folder::new(root, path, shown, project));
    Ok((folder, findings))
}

/// Reads a manifest, one byte more than is accepted at most: a huge one is refused unread.
///
/// # Errors
/// What the system says. Anything but a file is refused unopened: a pipe would be waited for.
pub fn read_manifest(path: &Path) -> io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_file() {
        let what = match kind {
            kind if kind.is_dir() => "a folder",
            kind if kind.is_fifo() => "a pipe",
            kind if kind.is_socket() => "a socket",
            _ => "a device",
        };
        return Err(io::Error::other(format!("it is {what}, and no file")));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
