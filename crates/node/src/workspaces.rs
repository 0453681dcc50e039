//! The private views of the sessions at work. A view is open while its session has a task; what it
//! holds beyond the last commit is never needed again.

use mainstay_contract::{Digest, SessionId};
use mainstay_runtimes::sandbox::WorkspaceMount;
use mainstay_runtimes::workspace::{self, BlobSource, Commit, View, ViewParams, WorkspaceError};
use mainstay_sessions::{Blob, Journal, StoreError, WorkspaceMode};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A view that has just been opened.
pub(crate) struct Opened {
    pub(crate) state: Digest,
    pub(crate) mode: WorkspaceMode,
    pub(crate) blobs: Vec<Blob>,
}

/// The journal, as the source of blobs.
#[derive(Clone)]
pub(crate) struct Blobs(pub(crate) Arc<dyn Journal>);

impl BlobSource for Blobs {
    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.blob(digest)
    }

    fn blob_to_file(&self, digest: &Digest, path: &Path) -> Result<bool, StoreError> {
        self.0.blob_to_file(digest, path)
    }
}

type Shared = Arc<Mutex<View>>;

/// All open views of a node.
pub(crate) struct Workspaces {
    /// Private folders of views, by session.
    data_dir: PathBuf,
    cache_dir: PathBuf,
    mode: WorkspaceMode,
    blobs: Blobs,
    open: Mutex<HashMap<SessionId, Shared>>,
    /// Removes what an earlier node left.
    cleaning: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Workspaces {
    pub(crate) fn new(
        data_dir: PathBuf,
        cache_dir: PathBuf,
        mode: WorkspaceMode,
        blobs: Blobs,
    ) -> Self {
        let aside = workspace::set_abandoned_aside(&data_dir, &cache_dir);
        let cleaning = (!aside.is_empty()).then(|| {
            tokio::task::spawn_blocking(move || {
                if let Err(error) = workspace::remove_abandoned(&aside) {
                    tracing::warn!(%error, "abandoned views could not be removed");
                }
            })
        });
        let (open, cleaning) = (Mutex::default(), Mutex::new(cleaning));
        Self {
            data_dir,
            cache_dir,
            mode,
            blobs,
            open,
            cleaning,
        }
    }

    /// Waits until what an earlier node left is gone.
    pub(crate) async fn cleaned(&self) {
        let cleaning = self
            .cleaning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(cleaning) = cleaning
            && let Err(error) = cleaning.await
        {
            tracing::warn!(%error, "the removal of abandoned views ended early");
        }
    }

    /// What must not be seen in any view.
    pub(crate) fn hidden(&self) -> Vec<PathBuf> {
        vec![self.data_dir.clone(), self.cache_dir.clone()]
    }

    /// The cache of everything that can be made again.
    pub(crate) fn cache_dir(&self) -> &Path {
        &self.cache_dir
    }

    pub(crate) fn mode(&self) -> WorkspaceMode {
        self.mode
    }

    pub(crate) fn blobs(&self) -> Blobs {
        self.blobs.clone()
    }

    /// How the view of a session over a folder is made.
    pub(crate) fn params(
        &self,
        session: &SessionId,
        folder: &Path,
    ) -> Result<ViewParams, WorkspaceError> {
        let folder = std::fs::canonicalize(folder)
            .map_err(|error| WorkspaceError::folder(folder.to_owned(), error))?;
        let root =
            mainstay_runtimes::workspace::views_root(&self.data_dir, &folder, &self.cache_dir)?;
        let is_below = |path: &PathBuf| path.starts_with(&folder);
        Ok(ViewParams {
            root: root.join(session.as_str()),
            exclude: self.hidden().into_iter().filter(is_below).collect(),
            mode: self.mode,
            folder,
        })
    }

    /// Opens a view: fresh from the folder, or rolled back to a committed state.
    pub(crate) async fn open(
        &self,
        session: &SessionId,
        folder: &Path,
        at: Option<Digest>,
    ) -> Result<Opened, WorkspaceError> {
        let params = self.params(session, folder)?;
        let (mode, blobs) = (self.mode, self.blobs());
        let (view, state, made) = blocking(move || match at {
            Some(state) => {
                View::restore(params, state, &blobs).map(|view| (view, state, Vec::new()))
            }
            None => View::create(params).map(|(view, commit)| (view, commit.state, commit.blobs)),
        })
        .await?;
        self.lock()
            .insert(session.clone(), Arc::new(Mutex::new(view)));
        Ok(Opened {
            state,
            mode,
            blobs: made,
        })
    }

    /// How the open view of a session gets into a sandbox.
    pub(crate) fn mount(&self, session: &SessionId) -> Option<WorkspaceMount> {
        let view = self.lock().get(session).cloned()?;
        let view = view.lock().unwrap_or_else(PoisonError::into_inner);
        Some(view.mount())
    }

    /// Commits what changed since the last commit.
    pub(crate) async fn commit(
        &self,
        session: &SessionId,
    ) -> Result<Option<Commit>, WorkspaceError> {
        self.with(session, View::commit, || None).await
    }

    /// Throws away what changed since the last commit.
    pub(crate) async fn roll_back(&self, session: &SessionId) -> Result<(), WorkspaceError> {
        let blobs = self.blobs();
        self.with(session, move |view| view.rollback(&blobs), || ())
            .await
    }

    async fn with<T: Send + 'static>(
        &self,
        session: &SessionId,
        act: impl FnOnce(&mut View) -> Result<T, WorkspaceError> + Send + 'static,
        nothing: impl FnOnce() -> T,
    ) -> Result<T, WorkspaceError> {
        let Some(view) = self.lock().get(session).cloned() else {
            return Ok(nothing());
        };
        blocking(move || act(&mut view.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// Closes the view of a session and removes its private folder: what is committed is stored.
    pub(crate) async fn close(&self, session: &SessionId) {
        let Some(view) = self.lock().remove(session) else {
            return;
        };
        let removed =
            blocking(move || view.lock().unwrap_or_else(PoisonError::into_inner).remove());
        if let Err(error) = removed.await {
            tracing::warn!(%session, %error, "a view could not be removed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Shared>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs file work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkspaceError> + Send + 'static,
) -> Result<T, WorkspaceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(WorkspaceError::worker(error.to_string())),
    }
}
