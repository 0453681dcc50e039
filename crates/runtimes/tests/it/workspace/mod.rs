//! Views of workspaces on real overlays.
//!
//! Whatever mounts, or needs to be another user, runs in a process of its own: this program again,
//! started through `unshare` or `setpriv`, told what to do by [`child`].

mod bring_home;
mod child;
mod commits;
mod model;
mod places;
mod random;
mod snapshot;
mod store;

use mainstay_runtimes::workspace::{View, ViewParams};
use mainstay_sessions::WorkspaceMode;
use std::path::{Path, PathBuf};
use store::Store;
use tempfile::TempDir;

/// A folder, a place for its view, and a store.
struct Bench {
    /// Removed at the end.
    top: TempDir,
    params: ViewParams,
    store: Store,
}

impl Bench {
    fn new(mode: WorkspaceMode) -> Self {
        let top = tempfile::tempdir().unwrap();
        let at = top.path().canonicalize().unwrap();
        let folder = at.join("folder");
        std::fs::create_dir(&folder).unwrap();
        Self {
            params: ViewParams {
                folder,
                root: at.join("view"),
                exclude: Vec::new(),
                mode,
            },
            top,
            store: Store::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().canonicalize().unwrap().join(name)
    }

    fn folder(&self) -> &Path {
        &self.params.folder
    }

    fn upper(&self) -> PathBuf {
        self.params.root.join("upper")
    }

    fn create(&self) -> View {
        let (view, commit) = View::create(self.params.clone()).unwrap();
        self.store.keep(commit.blobs);
        view
    }

    /// Commits and stores; how many blobs that took, or nothing where nothing changed.
    fn commit(&self, view: &mut View) -> Option<usize> {
        let commit = view.commit().unwrap()?;
        assert_eq!(commit.state, view.state());
        let count = commit.blobs.len();
        self.store.keep(commit.blobs);
        Some(count)
    }

    fn restore(&self, view: View) -> View {
        let state = view.state();
        drop(view);
        View::restore(self.params.clone(), state, &self.store).unwrap()
    }
}

impl Drop for Bench {
    /// Folders without permissions keep their owner from removing them.
    fn drop(&mut self) {
        let _best_effort = std::process::Command::new("chmod")
            .args(["-R", "u+rwX"])
            .arg(self.top.path())
            .stderr(std::process::Stdio::null())
            .status();
    }
}

fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
