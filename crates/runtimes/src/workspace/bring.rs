//! Writes what was found to be free of conflicts: each path at once, by a temporary name and a rename.

use super::base::{BaseEntry, file};
use super::change::Planned;
use super::disk;
use super::error::{At, WorkspaceError};
use super::name;
use super::source::BlobSource;
use super::tree::EntryKind;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub(super) struct Bring<'a> {
    to: &'a Path,
    blobs: &'a dyn BlobSource,
    owner: (u32, u32),
    /// Folders to be made durable.
    touched: BTreeSet<PathBuf>,
    opened: Opened,
}

/// Folders whose owner had locked himself out, opened for as long as this lives. Root needs none.
#[derive(Default)]
pub(super) struct Opened {
    modes: BTreeMap<PathBuf, u32>,
    known: BTreeSet<PathBuf>,
}

impl Opened {
    /// Opens the folders on the way to a path.
    pub(super) fn open_above(&mut self, to: &Path, path: &str) -> Result<(), WorkspaceError> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let at = file(to, path);
        let above: Vec<&Path> = at.ancestors().skip(1).collect();
        for folder in above.into_iter().rev() {
            if !folder.starts_with(to) || !self.known.insert(folder.to_owned()) {
                continue;
            }
            let found = match fs::symlink_metadata(folder) {
                Err(error) if disk::is_absent(&error) => return Ok(()),
                found => found.at(folder)?,
            };
            let mode = disk::mode(&found);
            if found.is_dir() && mode & 0o700 != 0o700 {
                disk::set_mode(folder, mode | 0o700)?;
                self.modes.insert(folder.to_owned(), mode);
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), WorkspaceError> {
        while let Some((folder, mode)) = self.modes.pop_last() {
            if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
                disk::set_mode(&folder, mode)?;
            }
        }
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "permissions were not put back");
        }
    }
}

impl<'a> Bring<'a> {
    pub(super) fn new(
        to: &'a Path,
        blobs: &'a dyn BlobSource,
        owner: (u32, u32),
        opened: Opened,
    ) -> Self {
        Self {
            to,
            blobs,
            owner,
            touched: BTreeSet::new(),
            opened,
        }
    }

    /// Writes `todo`, a part of the plan: first what is there afterwards, then what is gone, and the
    /// permissions of folders at the end, deepest first.
    pub(super) fn all(
        &mut self,
        todo: &[(&String, &Planned)],
        plan: &BTreeMap<String, Planned>,
    ) -> Result<(), WorkspaceError> {
        for (path, planned) in todo {
            self.put(path, planned)?;
        }
        for (path, planned) in todo {
            if let EntryKind::HardLink { to } = &planned.new {
                let at = file(self.to, path);
                let temporary = self.temporary(&at, path)?;
                let to = file(self.to, to);
                fs::hard_link(&to, &temporary).at(&at)?;
                install(&temporary, &at)?;
            }
        }
        for (path, planned) in todo.iter().rev() {
            if planned.new == EntryKind::Gone {
                self.remove(path)?;
            }
        }
        self.clear_displaced(plan)?;
        for folder in &self.touched {
            match File::open(folder) {
                // Removed by now, or closed to us: what was written in it is durable by its own sync.
                Err(_) => {}
                Ok(folder_file) => folder_file.sync_all().at(folder)?,
            }
        }
        self.opened.close()?;
        for (path, planned) in todo.iter().rev() {
            if let EntryKind::Folder { mode, .. } = &planned.new {
                disk::set_mode(&file(self.to, path), *mode)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, planned: &Planned) -> Result<(), WorkspaceError> {
        let at = file(self.to, path);
        let owner = planned.owner.unwrap_or(self.owner);
        match &planned.new {
            EntryKind::Folder { .. } => {
                if !fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir()) {
                    let temporary = self.temporary(&at, path)?;
                    fs::create_dir(&temporary).at(&temporary)?;
                    disk::give_to(&temporary, owner)?;
                    install(&temporary, &at)?;
                }
                // Written into even where its own mode forbids that; the mode is set at the end.
                return disk::set_mode(&at, 0o700);
            }
            EntryKind::File {
                digest,
                mode,
                mtime_ns,
                ..
            } => {
                let temporary = self.temporary(&at, path)?;
                if !self.blobs.blob_to_file(digest, &temporary)? {
                    return Err(WorkspaceError::Missing { digest: *digest });
                }
                disk::give_to(&temporary, owner)?;
                disk::set_mode(&temporary, *mode)?;
                disk::set_mtime(&temporary, *mtime_ns)?;
                disk::open(&temporary)?.sync_all().at(&temporary)?;
                install(&temporary, &at)?;
            }
            EntryKind::Link { target } => {
                let temporary = self.temporary(&at, path)?;
                std::os::unix::fs::symlink(name::decode(target), &temporary).at(&temporary)?;
                disk::give_to(&temporary, owner)?;
                install(&temporary, &at)?;
            }
            EntryKind::Fifo { mode } => {
                let temporary = self.temporary(&at, path)?;
                disk::make_fifo(&temporary, *mode)?;
                disk::give_to(&temporary, owner)?;
                install(&temporary, &at)?;
            }
            EntryKind::HardLink { .. } | EntryKind::Gone => {}
        }
        Ok(())
    }

    /// Removes one file or an empty folder; nothing there is fine.
    fn remove(&mut self, path: &str) -> Result<(), WorkspaceError> {
        let at = file(self.to, path);
        let found = match fs::symlink_metadata(&at) {
            Err(error) if disk::is_absent(&error) => return Ok(()),
            found => found.at(&at)?,
        };
        self.touch_folder_of(&at);
        if found.is_dir() {
            fs::remove_dir(&at).at(&at)
        } else {
            fs::remove_file(&at).at(&at)
        }
    }

    /// A temporary name in the same folder, the same for every attempt; nothing stands there.
    fn temporary(&mut self, at: &Path, path: &str) -> Result<PathBuf, WorkspaceError> {
        self.touch_folder_of(at);
        let temporary = beside(at, path);
        disk::remove(&temporary)?;
        Ok(temporary)
    }

    fn touch_folder_of(&mut self, at: &Path) {
        if let Some(folder) = at.parent() {
            self.touched.insert(folder.to_owned());
        }
    }

    /// Removes what a crash left of things that were replaced by another kind.
    fn clear_displaced(&self, plan: &BTreeMap<String, Planned>) -> Result<(), WorkspaceError> {
        for (path, planned) in plan {
            let was_folder = matches!(planned.old, Some(BaseEntry::Folder { .. }));
            let is_folder = matches!(planned.new, EntryKind::Folder { .. });
            let is_replaced = planned.old.is_some() && planned.new != EntryKind::Gone;
            if is_replaced && was_folder != is_folder {
                disk::remove(&beside(&file(self.to, path), path))?;
            }
        }
        Ok(())
    }
}

fn beside(at: &Path, path: &str) -> PathBuf {
    let hash = blake3::hash(path.as_bytes()).to_hex();
    at.with_file_name(format!(".mainstay-{}", &hash.as_str()[..16]))
}

/// Puts something in its place, whatever stands there now: a rename, or an exchange where a folder
/// takes the place of something else or the other way round.
fn install(temporary: &Path, at: &Path) -> Result<(), WorkspaceError> {
    let new = fs::symlink_metadata(temporary).at(temporary)?;
    let is_other_kind =
        fs::symlink_metadata(at).is_ok_and(|standing| standing.is_dir() != new.is_dir());
    if !is_other_kind {
        fs::rename(temporary, at).at(at)?;
        // Two names of one file: the rename did nothing.
        return disk::remove(temporary);
    }
    match renameat_with(CWD, temporary, CWD, at, RenameFlags::EXCHANGE) {
        Ok(()) => disk::remove(temporary),
        // Not every file system can; between these two steps nothing stands there.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            let displaced = temporary.with_extension("displaced");
            disk::remove(&displaced)?;
            fs::rename(at, &displaced).at(at)?;
            fs::rename(temporary, at).at(at)?;
            disk::remove(&displaced)
        }
        Err(error) => Err(io::Error::from(error)).at(at),
    }
}
