//! Writes a stored tree back to disk: as an overlay's folder of changes, or over a copy of the folder.

use super::base::{file, join};
use super::disk;
use super::error::{At, WorkspaceError};
use super::name;
use super::source::BlobSource;
use super::tree::{Entry, EntryKind, Tree, read};
use mainstay_contract::Digest;
use std::fs;
use std::path::{Path, PathBuf};

/// How a tree is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// With whiteouts and opaque marks.
    Overlay,
    /// What is gone is removed.
    Plain,
}

pub(super) struct Builder<'a> {
    pub(super) root: &'a Path,
    pub(super) blobs: &'a dyn BlobSource,
    pub(super) owner: (u32, u32),
    pub(super) form: Form,
}

/// What can only be done, or is only known, when everything else stands.
#[derive(Default)]
struct Built {
    links: Vec<(String, String)>,
    modes: Vec<(PathBuf, u32)>,
    digests: Vec<Digest>,
}

impl Builder<'_> {
    /// Writes a tree into the root, which is there. Answers with every blob that it is made of.
    pub(super) fn build(&self, tree: &Digest) -> Result<Vec<Digest>, WorkspaceError> {
        let mut built = Built::default();
        self.folder(tree, "", &mut built)?;
        for (path, to) in &built.links {
            let (path, to) = (file(self.root, path), file(self.root, to));
            self.clear(&path)?;
            fs::hard_link(&to, &path).at(&path)?;
        }
        // Deepest first: a folder may lock its owner out.
        for (path, mode) in built.modes.iter().rev() {
            disk::set_mode(path, *mode)?;
        }
        Ok(built.digests)
    }

    fn folder(
        &self,
        digest: &Digest,
        prefix: &str,
        built: &mut Built,
    ) -> Result<(), WorkspaceError> {
        let tree: Tree = read(digest, self.blobs)?;
        built.digests.push(*digest);
        for entry in &tree.entries {
            let path = join(prefix, &entry.name);
            self.entry(entry, &path, built)?;
        }
        Ok(())
    }

    fn entry(&self, entry: &Entry, path: &str, built: &mut Built) -> Result<(), WorkspaceError> {
        let at = file(self.root, path);
        let owner = entry.owner.unwrap_or(self.owner);
        match &entry.kind {
            EntryKind::Gone => {
                self.clear(&at)?;
                if self.form == Form::Overlay {
                    disk::make_whiteout(&at)?;
                }
                return Ok(());
            }
            EntryKind::HardLink { to } => {
                built.links.push((path.to_owned(), to.clone()));
                return Ok(());
            }
            EntryKind::Folder {
                tree,
                mode,
                is_opaque,
            } => {
                self.make_folder(&at, *is_opaque)?;
                built.modes.push((at.clone(), *mode));
                self.folder(tree, path, built)?;
            }
            EntryKind::File {
                digest,
                mode,
                mtime_ns,
                ..
            } => {
                self.clear(&at)?;
                if !self.blobs.blob_to_file(digest, &at)? {
                    return Err(WorkspaceError::Missing { digest: *digest });
                }
                built.digests.push(*digest);
                disk::give_to(&at, owner)?;
                disk::set_mode(&at, *mode)?;
                return disk::set_mtime(&at, *mtime_ns);
            }
            EntryKind::Link { target } => {
                self.clear(&at)?;
                std::os::unix::fs::symlink(name::decode(target), &at).at(&at)?;
            }
            EntryKind::Fifo { mode } => {
                self.clear(&at)?;
                disk::make_fifo(&at, *mode)?;
            }
        }
        disk::give_to(&at, owner)
    }

    fn make_folder(&self, at: &Path, is_opaque: bool) -> Result<(), WorkspaceError> {
        let is_folder = fs::symlink_metadata(at).is_ok_and(|found| found.is_dir());
        if !is_folder || (is_opaque && self.form == Form::Plain) {
            self.clear(at)?;
            fs::create_dir(at).at(at)?;
        }
        if is_opaque && self.form == Form::Overlay {
            disk::make_opaque(at)?;
        }
        // Written into even where its own mode forbids that; the mode is set when it is full.
        disk::set_mode(at, 0o700)
    }

    fn clear(&self, path: &Path) -> Result<(), WorkspaceError> {
        match self.form {
            Form::Overlay => Ok(()),
            Form::Plain => disk::remove(path),
        }
    }
}
