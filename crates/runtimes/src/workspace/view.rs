//! The private view of one session.

use super::base::Base;
use super::build::{Builder, Form};
use super::copy::{self, Untouched};
use super::disk;
use super::error::{At, WorkspaceError};
use super::scan::{Index, Scan};
use super::tree::{State, read};
use crate::sandbox::WorkspaceMount;
use mainstay_contract::Digest;
use mainstay_sessions::{Blob, StoreError, WorkspaceMode};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where stored blobs come from.
pub trait BlobSource {
    /// A blob's bytes; `None` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError`].
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a blob into a new file; `false` where it is not stored.
    ///
    /// # Errors
    /// [`StoreError`], also for the file.
    fn blob_to_file(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError>;
}

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
    index: Index,
    state: Digest,
    root_tree: Digest,
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
        let base = Base::of(&params.folder, &params.exclude)?;
        let copied = make_private(&params, owner, &base)?;
        let mut index = Index::default();
        let mut scan = Scan::new(&mut index, owner);
        let base = scan.store(&base)?;
        let root_tree = scan.store(&super::tree::Tree::default())?;
        let state = scan.store(&State {
            base,
            mode: params.mode,
            root: root_tree,
        })?;
        let blobs = scan.finish();
        let handed_out = blobs.iter().map(|blob| blob.digest).collect();
        let view = Self {
            params,
            owner,
            base,
            copied,
            index,
            state,
            root_tree,
            handed_out,
        };
        Ok((view, Commit { state, blobs }))
    }

    /// Opens a view at exactly a committed state.
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
        let copied = match params.mode {
            WorkspaceMode::Overlay => make_private(&params, owner, &Base::default())?,
            WorkspaceMode::Copy => make_private(&params, owner, &read(&stored.base, blobs)?)?,
        };
        let mut index = Index::default();
        for digest in [at, stored.base, stored.root] {
            index.note_stored(digest);
        }
        let view = Self {
            owner,
            base: stored.base,
            copied,
            index,
            state: at,
            root_tree: stored.root,
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
        self.handed_out.clear();
        let upper = upper(&self.params);
        let mut scan = Scan::new(&mut self.index, self.owner);
        let root = match &self.copied {
            None => scan.overlay(&upper, "")?,
            Some((base, untouched)) => copy::scan(&mut scan, base, untouched, &upper, "")?,
        };
        if root == self.root_tree {
            scan.finish();
            return Ok(None);
        }
        let state = scan.store(&State {
            base: self.base,
            mode: self.params.mode,
            root,
        })?;
        let blobs = scan.finish();
        self.handed_out = blobs.iter().map(|blob| blob.digest).collect();
        self.state = state;
        self.root_tree = root;
        Ok(Some(Commit { state, blobs }))
    }

    /// Throws away what changed since the last commit, which must be stored by now.
    ///
    /// # Errors
    /// [`WorkspaceError`].
    pub fn rollback(&mut self, blobs: &dyn BlobSource) -> Result<(), WorkspaceError> {
        self.index
            .forget_stored(&std::mem::take(&mut self.handed_out));
        self.index.clear_files();
        let base = match &self.copied {
            Some((base, _)) => base.clone(),
            None => Base::default(),
        };
        clear(&self.params)?;
        self.copied = make_private(&self.params, self.owner, &base)?;
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

    fn build(&self, blobs: &dyn BlobSource) -> Result<(), WorkspaceError> {
        let form = match self.params.mode {
            WorkspaceMode::Overlay => Form::Overlay,
            WorkspaceMode::Copy => Form::Plain,
        };
        let root = upper(&self.params);
        Builder {
            root: &root,
            blobs,
            owner: self.owner,
            form,
        }
        .build(&self.root_tree)
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
    if params.root.starts_with(&params.folder) {
        let (root, folder) = (params.root.clone(), params.folder.clone());
        return Err(WorkspaceError::Overlapping { root, folder });
    }
    clear(params)?;
    Ok((found.uid(), found.gid()))
}

fn clear(params: &ViewParams) -> Result<(), WorkspaceError> {
    disk::remove(&params.root)
}

/// Makes the private directory: empty for an overlay, a copy of the folder otherwise.
fn make_private(
    params: &ViewParams,
    owner: (u32, u32),
    base: &Base,
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
            copy::copy(base, &params.folder, &upper)?;
            Some((base.clone(), copy::untouched(base, &upper)?))
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
    let place = if cache_dir.starts_with(folder) {
        shared
    } else {
        cache_dir.to_owned()
    };
    let views = place.join("views").join(place_name(data_dir));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&views)
        .at(&views)?;
    for path in [&place, &views] {
        let found = fs::symlink_metadata(path).at(path)?;
        if !found.is_dir() || found.uid() != user {
            return Err(WorkspaceError::ForeignOwner { path: path.clone() });
        }
    }
    fs::canonicalize(&views).at(&views)
}
