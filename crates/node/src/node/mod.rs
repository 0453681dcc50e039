//! The node as its callers see it. Every method is one verb of the interface.

mod changes;
mod tasks;
mod turns;
mod views;

pub use turns::{ResolveWord, TurnAccepted, TurnRequest};

use crate::actor::Actors;
use crate::config::{NodeConfig, StoreUrl};
use crate::doctor::{self, DoctorReport};
use crate::effects::Pinned;
use crate::error::{NodeOpenError, RequestError};
use crate::feed::Feeds;
use crate::inference::{self, Calling, ModelCall, ModelStatus, Models, Usage, UsageFilter};
use crate::journal::Reader;
use crate::manifest_file::ManifestFile;
use crate::metrics::{self, Metrics};
use crate::tasks::TaskRuns;
use crate::workspaces::{Blobs, Workspaces};
use mainstay_contract::SessionId;
use mainstay_runtimes::sandbox::{
    Chunk, Sandbox, SandboxConfig, SandboxError, SandboxExit, SandboxSpec,
};
use mainstay_sessions::{Journal, StoreError, WorkspaceMode};
use mainstay_storage::{DataDirLock, OpenParams, SqliteJournal};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

/// How many sandboxes run at once on one node.
const SANDBOXES_MAX: usize = 64;

/// A running node. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

/// What all parts of a node share.
pub(crate) struct Inner {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Arc<SqliteJournal>,
    pub(crate) reader: Reader,
    pub(crate) manifest: ManifestFile,
    pub(crate) sandbox: Sandbox,
    pub(crate) workspaces: Workspaces,
    pub(crate) models: Models,
    pub(crate) pinned: Pinned,
    pub(crate) tls: rustls::ClientConfig,
    pub(crate) feeds: Feeds,
    pub(crate) metrics: Metrics,
    pub(crate) actors: Actors,
    pub(crate) tasks: Arc<TaskRuns>,
    pub(crate) stopping: watch::Sender<bool>,
    /// Held while a node at rest takes in a command; `None` where the node works on turns.
    pub(crate) at_rest: Option<Mutex<()>>,
    sandboxes: Semaphore,
    _lock: DataDirLock,
}

impl Inner {
    /// Runs a tool in a sandbox when there is room for one.
    pub(crate) async fn run_sandboxed(
        &self,
        spec: &SandboxSpec,
        live: Option<mpsc::Sender<Chunk>>,
    ) -> Result<SandboxExit, SandboxError> {
        let _room = self.sandboxes.acquire().await;
        self.sandbox.run(spec, live).await
    }
}

impl Node {
    /// Opens a node: takes the data directory, and takes up every turn that was interrupted, where
    /// it is to work on turns.
    ///
    /// # Errors
    /// [`NodeOpenError`].
    pub async fn open(config: NodeConfig) -> Result<Self, NodeOpenError> {
        outlive_file_size_limit()?;
        let lock = DataDirLock::acquire(&config.data_dir)?;
        let StoreUrl::Sqlite(database) = config.store.clone();
        let blobs = config.blobs_dir();
        let opened = tokio::task::spawn_blocking(move || {
            SqliteJournal::open(OpenParams { database, blobs })
        });
        let opened = opened
            .await
            .map_err(|error| NodeOpenError::Internal(error.to_string()))?;
        let store = Arc::new(opened?);
        let sandbox = Sandbox::new(SandboxConfig {
            exe: config.exe.clone(),
            node: node_name(&config.data_dir),
            scratch: config.data_dir.join("scratch"),
        })
        .await?;
        let mode = match sandbox.support().overlay {
            Ok(()) => WorkspaceMode::Overlay,
            Err(_) => WorkspaceMode::Copy,
        };
        let journal: Arc<dyn Journal> = Arc::clone(&store) as Arc<dyn Journal>;
        let views = Blobs(Arc::clone(&journal));
        let manifest = ManifestFile::new(config.manifest);
        let models = Models::open(
            &config.data_dir,
            &manifest,
            config.record,
            config.exe.clone(),
        )?;
        models.known().await;
        let results = config.cache_dir.join("tasks");
        let tasks = TaskRuns::new(config.exe, config.workspace_manifest, results);
        let inner = Arc::new(Inner {
            reader: Reader::new(Arc::clone(&journal)),
            manifest,
            workspaces: Workspaces::new(config.data_dir, config.cache_dir, mode, views),
            models,
            pinned: Pinned::default(),
            tls: tls().map_err(|error| NodeOpenError::Internal(error.to_string()))?,
            feeds: Feeds::default(),
            metrics: Metrics::new(),
            actors: Actors::default(),
            tasks: Arc::new(tasks),
            stopping: watch::channel(false).0,
            at_rest: (!config.works_on_turns).then(Mutex::default),
            sandboxes: Semaphore::new(SANDBOXES_MAX),
            journal,
            store,
            sandbox,
            _lock: lock,
        });
        let node = Self { inner };
        tokio::spawn(inference::keep(Arc::downgrade(&node.inner)));
        if config.works_on_turns {
            node.recover().await?;
        }
        Ok(node)
    }

    /// Wakes every session with a turn that has not ended and does not wait for an operator.
    async fn recover(&self) -> Result<(), StoreError> {
        let open = self
            .inner
            .reader
            .with(|journal| journal.open_turns())
            .await?;
        for row in open.iter().filter(|row| !row.state.is_parked()) {
            tracing::info!(session = %row.session, turn = %row.turn, "taking up a turn");
            self.inner.actors.wake(&self.inner, &row.session);
        }
        Ok(())
    }

    /// Whether nothing happens in a session without a command.
    #[must_use]
    pub fn is_idle(&self, session: &SessionId) -> bool {
        !self.inner.actors.is_awake(session)
    }

    /// What the host can do, and whether what is stored is sound.
    ///
    /// # Errors
    /// [`RequestError::Store`].
    pub async fn doctor(&self) -> Result<DoctorReport, RequestError> {
        doctor::examine(&self.inner).await
    }

    /// What the node counted, in the OpenMetrics format.
    #[must_use]
    pub fn open_metrics_text(&self) -> String {
        let own = self.inner.metrics.text();
        metrics::one_text(own, &self.inner.models.metrics_text())
    }

    /// The same in the text format of Prometheus, version 0.0.4.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        metrics::classic_text(&self.open_metrics_text())
    }

    /// The models of the manifest as they are now, by name.
    #[must_use]
    pub fn models(&self) -> Vec<ModelStatus> {
        let models = inference::models(self.gateway()).into_iter();
        let with_source = |model: ModelStatus| {
            let worker = self.inner.models.local_status(&model.name);
            let health = self.inner.models.health(&model.name);
            let unusable = self
                .inner
                .models
                .unusable(&model.name, &self.inner.manifest);
            let model = ModelStatus {
                ready: model.ready && unusable.is_none(),
                health,
                unusable,
                ..model
            };
            model.with_worker(worker)
        };
        models.map(with_source).collect()
    }

    /// Asks a model; ends when it begins to answer.
    pub(crate) async fn call_model(&self, call: &ModelCall) -> Result<Calling, RequestError> {
        Calling::start(self.gateway(), call).await
    }

    /// What was spent on models, and what the budgets have left.
    #[must_use]
    pub fn usage(&self, filter: &UsageFilter) -> Usage {
        inference::usage(self.gateway(), filter)
    }

    /// The models behind their gateway.
    #[must_use]
    pub fn gateway(&self) -> &mainstay_gateway::Gateway {
        self.inner.models.gateway()
    }

    /// Whether no model is known because the manifest is not valid.
    pub(crate) fn serves_no_model(&self) -> bool {
        self.inner.models.has_none()
    }

    /// Lets no turn and no run of tasks go on: effects under way are given up and begin again at the next start.
    pub async fn rest(&self) {
        self.inner.stopping.send_replace(true);
        self.close_tasks().await;
        while self.inner.metrics.sessions_active.get() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Whether it ends, and takes up nothing more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.tasks.is_closed() || *self.inner.stopping.borrow()
    }

    /// Ends the node in good order, once it [rests](Self::rest).
    pub async fn shutdown(&self) {
        self.rest().await;
        self.inner.models.stop();
        let gateway = self.gateway().clone();
        let _ended = tokio::task::spawn_blocking(move || gateway.shutdown()).await;
        self.inner.sandbox.close().await;
        self.inner.workspaces.cleaned().await;
        let store = Arc::clone(&self.inner.store);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || store.close()).await {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }
}

/// With a handler, a write beyond the limit of `ulimit -f` fails as on a full disk; without one it
/// ends the process.
fn outlive_file_size_limit() -> Result<(), NodeOpenError> {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(kind)
        .map(drop)
        .map_err(|error| NodeOpenError::Internal(error.to_string()))
}

fn node_name(data_dir: &Path) -> String {
    let path = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    hash.as_str()[..16].to_owned()
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
