//! The private view of one session.

use super::base::{self, Base, Unreadable};
use super::build::{Builder, Form};
use super::copy::{self, Compared, Untouched};
use super::disk;
use super::error::{At, WorkspaceError};
use super::name;
use super::scan::{Index, Scan};
use super::source::BlobSource;
use super::tree::{State, read};
use crate::sandbox::WorkspaceMount;
use mainstay_contract::Digest;
use mainstay_sessions::{Blob, WorkspaceMode};
use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a view is made of.
#[derive(Debug, Clone)]
pub struct ViewParams {
    /// The folder, canonical.
    pub folder: PathBuf,
    /// The view's own private directory, outside the folder.
    pub root: PathBuf,
    /// What below the folder is no part of the workspace.
    pub exclude: Vec<PathBuf>,
    /// How it is kept private.
    pub mode: WorkspaceMode,
}

/// A committed state, and the blobs of it that are new.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The digest of the whole state.
    pub state: Digest,
    /// What has to be stored for it. Files that are named must not change until then.
    pub blobs: Vec<Blob>,
}

/// An open view. While no tool runs it can be committed or rolled back.
#[derive(Debug)]
pub struct View {
    params: ViewParams,
    owner: (u32, u32),
    base: Digest,
    /// What a copy is compared with; an overlay needs none of it.
    copied: Option<(Base, Untouched)>,
    /// What is no part of the workspace, by its path from the root.
    exclude: HashSet<String>,
    index: Index,
    state: Digest,
    root_tree: Digest,
    /// The permissions of the root: when the view was made, and at the last commit.
    root_modes: (u32, u32),
    /// Whether the private directory holds a committed state and what came after it.
    is_whole: bool,
    /// Blobs of the last commit, which may not have been stored.
    handed_out: Vec<Digest>,
}

impl View {
    /// Makes a fresh view of the folder as it is, with its first commit.
    ///
    /// # Errors
    /// [`WorkspaceError`]; what was made so far is removed by the next attempt.
    pub fn create(params: ViewParams) -> Result<(Self, Commit), WorkspaceError> {
        let owner = prepare(&params)?;
        let base = Base::of(&params.folder, &params.exclude, unreadable(params.mode))?;
        let copied = make_private(&params, owner, Some(&base))?;
        let root_mode = root_mode(&params)?;
        let root_modes = (root_mode, root_mode);
        let mut index = Index::default();
        let mut scan = Scan::new(&mut index, owner, staging(&params));
        let base = scan.store(&base)?;
        let root_tree = scan.store(&super::tree::Tree::default())?;
        let state = scan.store(&State {
            base,
            mode: params.mode,
            root_modes,
            root: root_tree,
        })?;
        let blobs = scan.finish();
        let handed_out = blobs.iter().map(|blob| blob.digest).collect();
        let view = Self {
            exclude: excluded(&params),
            params,
            owner,
            base,
            copied,
            index,
            state,
            root_tree,
            root_modes,
            is_whole: true,
            handed_out,
        };
        Ok((view, Commit { state, blobs }))
    }

    /// Opens a view at exactly a committed state. What the state does not name is as the folder has
    /// it now.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn restore(
        params: ViewParams,
        at: Digest,
        blobs: &dyn BlobSource,
    ) -> Result<Self, WorkspaceError> {
        let owner = prepare(&params)?;
        let stored: State = read(&at, blobs)?;
        let copied = make_private(&params, owner, None)?;
        let mut index = Index::default();
        index.note_stored([at, stored.base]);
        let mut view = Self {
            owner,
            base: stored.base,
            copied,
            exclude: excluded(&params),
            index,
            state: at,
            root_tree: stored.root,
            root_modes: stored.root_modes,
            is_whole: false,
            handed_out: Vec::new(),
            params,
        };
        view.build(blobs)?;
        Ok(view)
    }

    /// How the view gets into a sandbox.
    #[must_use]
    pub fn mount(&self) -> WorkspaceMount {
        let at = self.params.folder.clone();
        match self.params.mode {
            WorkspaceMode::Overlay => WorkspaceMount::Overlay {
                lower: at.clone(),
                upper: upper(&self.params),
                work: self.params.root.join("work"),
                at,
            },
            WorkspaceMode::Copy => WorkspaceMount::Bind {
                source: upper(&self.params),
                at,
            },
        }
    }

    /// Commits what changed since the last commit; `None` where nothing did.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn commit(&mut self) -> Result<Option<Commit>, WorkspaceError> {
        if !self.is_whole {
            let root = self.params.root.clone();
            return Err(WorkspaceError::Incomplete { root });
        }
        self.handed_out.clear();
        disk::remove(&staging(&self.params))?;
        let root_modes = (self.root_modes.0, root_mode(&self.params)?);
        let upper = upper(&self.params);
        let found = fs::symlink_metadata(&upper).at(&upper)?;
        let mut scan = Scan::new(&mut self.index, self.owner, staging(&self.params));
        let root = scan.in_folder(&upper, &found, |scan| match &self.copied {
            None => scan.overlay(&upper, "", &self.exclude),
            Some((base, untouched)) => {
                let with = Compared {
                    base,
                    untouched,
                    exclude: &self.exclude,
                };
                copy::scan(scan, &with, &upper)
            }
        })?;
        if root == self.root_tree && root_modes == self.root_modes {
            scan.finish();
            return Ok(None);
        }
        let state = scan.store(&State {
            base: self.base,
            mode: self.params.mode,
            root_modes,
            root,
        })?;
        let blobs = scan.finish();
        self.handed_out = blobs.iter().map(|blob| blob.digest).collect();
        self.state = state;
        self.root_tree = root;
        self.root_modes = root_modes;
        Ok(Some(Commit { state, blobs }))
    }

    /// Throws away what changed since the last commit, which must be stored by now. Where this fails,
    /// nothing can be committed until it succeeds, or the view is restored.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn rollback(&mut self, blobs: &dyn BlobSource) -> Result<(), WorkspaceError> {
        self.index
            .forget_stored(&std::mem::take(&mut self.handed_out));
        self.index.clear_files();
        self.is_whole = false;
        disk::remove(&self.params.root)?;
        self.copied = make_private(&self.params, self.owner, None)?;
        self.build(blobs)
    }

    /// The last committed state.
    #[must_use]
    pub fn state(&self) -> Digest {
        self.state
    }

    /// Removes the view's private directory. The folder is untouched.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn remove(&mut self) -> Result<(), WorkspaceError> {
        disk::remove(&self.params.root)
    }

    fn build(&mut self, blobs: &dyn BlobSource) -> Result<(), WorkspaceError> {
        let form = match self.params.mode {
            WorkspaceMode::Overlay => Form::Overlay,
            WorkspaceMode::Copy => Form::Plain,
        };
        let root = upper(&self.params);
        let builder = Builder {
            root: &root,
            blobs,
            owner: self.owner,
            form,
        };
        // Written into even where its own mode forbids that.
        disk::set_mode(&root, 0o700)?;
        let digests = builder.build(&self.root_tree)?;
        let (made, last) = self.root_modes;
        let folder = &self.params.folder;
        let now = disk::mode(&fs::metadata(folder).at(folder)?);
        disk::set_mode(&root, if made == last { now } else { last })?;
        self.index.note_stored(digests);
        self.is_whole = true;
        Ok(())
    }
}

fn upper(params: &ViewParams) -> PathBuf {
    params.root.join("upper")
}

/// Makes sure that the folder is there and the private directory is new; the folder's owner.
fn prepare(params: &ViewParams) -> Result<(u32, u32), WorkspaceError> {
    let folder = |error| WorkspaceError::folder(params.folder.clone(), error);
    let found = fs::metadata(&params.folder).map_err(folder)?;
    fs::read_dir(&params.folder).map_err(folder)?;
    if params.root.starts_with(&params.folder) || params.folder.starts_with(&params.root) {
        let (root, folder) = (params.root.clone(), params.folder.clone());
        return Err(WorkspaceError::Overlapping { root, folder });
    }
    disk::remove(&params.root)?;
    Ok((found.uid(), found.gid()))
}

/// Where files wait for the store that it could not open in their place.
fn staging(params: &ViewParams) -> PathBuf {
    params.root.join("staging")
}

fn root_mode(params: &ViewParams) -> Result<u32, WorkspaceError> {
    let upper = upper(params);
    Ok(disk::mode(&fs::symlink_metadata(&upper).at(&upper)?))
}

fn excluded(params: &ViewParams) -> HashSet<String> {
    let from_root = |path: &PathBuf| {
        let below = path.strip_prefix(&params.folder).ok()?;
        let join = |prefix: String, part| base::join(&prefix, &name::encode(part));
        Some(below.iter().fold(String::new(), join))
    };
    params.exclude.iter().filter_map(from_root).collect()
}

fn unreadable(mode: WorkspaceMode) -> Unreadable {
    match mode {
        WorkspaceMode::Overlay => Unreadable::PassedOver,
        WorkspaceMode::Copy => Unreadable::Refused,
    }
}

/// Makes the private directory: empty for an overlay, a copy of the folder otherwise. `base` is what
/// the folder holds, where that is known already.
fn make_private(
    params: &ViewParams,
    owner: (u32, u32),
    base: Option<&Base>,
) -> Result<Option<(Base, Untouched)>, WorkspaceError> {
    let root = &params.root;
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(root)
        .at(root)?;
    let upper = upper(params);
    fs::create_dir(&upper).at(&upper)?;
    let copied = match params.mode {
        WorkspaceMode::Overlay => {
            let work = root.join("work");
            fs::create_dir(&work).at(&work)?;
            disk::give_to(&work, owner)?;
            None
        }
        WorkspaceMode::Copy => {
            let base = match base {
                Some(base) => base.clone(),
                None => Base::of(&params.folder, &params.exclude, Unreadable::Refused)?,
            };
            copy::copy(&base, &params.folder, &upper)?;
            let untouched = copy::untouched(&base, &upper)?;
            Some((base, untouched))
        }
    };
    disk::give_to(&upper, owner)?;
    let found = fs::metadata(&params.folder).at(&params.folder)?;
    disk::set_mode(&upper, disk::mode(&found))?;
    Ok(copied)
}

/// Sets aside what an earlier node of the same data directory left of its views, and says where it is
/// now, to be removed with [`remove_abandoned`] when there is time. Only for the owner of the directory.
#[must_use]
pub fn set_abandoned_aside(data_dir: &Path, cache_dir: &Path) -> Vec<PathBuf> {
    let name = place_name(data_dir);
    let mut aside = Vec::new();
    for place in [cache_dir.to_owned(), shared_place()] {
        let views = place.join("views");
        let abandoned = views.join(format!("{name}.abandoned-{}", std::process::id()));
        let _nothing_there = fs::rename(views.join(&name), &abandoned);
        let Ok(entries) = fs::read_dir(&views) else {
            continue;
        };
        let prefix = format!("{name}.abandoned-");
        let is_ours = |path: &PathBuf| {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().starts_with(&prefix));
            name.unwrap_or(false)
        };
        aside.extend(entries.flatten().map(|entry| entry.path()).filter(is_ours));
    }
    aside
}

/// Removes what [`set_abandoned_aside`] found.
///
/// # Errors
/// [`WorkspaceError`] for the first that cannot be removed.
pub fn remove_abandoned(aside: &[PathBuf]) -> Result<(), WorkspaceError> {
    aside.iter().try_for_each(|path| disk::remove(path))
}

fn place_name(data_dir: &Path) -> String {
    let data_dir = fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let hash = blake3::hash(data_dir.as_os_str().as_encoded_bytes()).to_hex();
    hash.as_str()[..16].to_owned()
}

/// Where views are when the cache lies in the workspace.
fn shared_place() -> PathBuf {
    PathBuf::from(format!(
        "/var/tmp/mainstay-{}",
        rustix::process::geteuid().as_raw()
    ))
}

/// A private place for views, outside the folder: below the cache, or in `/var/tmp` where the cache
/// itself lies in the folder.
///
/// # Errors
/// [`WorkspaceError`] where no such place can be made, or it belongs to somebody else.
pub fn views_root(
    data_dir: &Path,
    folder: &Path,
    cache_dir: &Path,
) -> Result<PathBuf, WorkspaceError> {
    let user = rustix::process::geteuid().as_raw();
    let shared = shared_place();
    let is_inside = cache_dir.starts_with(folder)
        || fs::canonicalize(cache_dir).is_ok_and(|cache| cache.starts_with(folder));
    let place = if is_inside {
        shared
    } else {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(cache_dir);
        made.at(cache_dir)?;
        fs::canonicalize(cache_dir).at(cache_dir)?
    };
    let all = place.join("views");
    let views = all.join(place_name(data_dir));
    // One after the other: what somebody else put there is not gone through.
    for path in [&place, &all, &views] {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).at(path);
            }
            _ => {}
        }
        let found = fs::symlink_metadata(path).at(path)?;
        if !found.is_dir() || found.uid() != user {
            return Err(WorkspaceError::ForeignOwner { path: path.clone() });
        }
    }
    fs::canonicalize(&views).at(&views)
}
