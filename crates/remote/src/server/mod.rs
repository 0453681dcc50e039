//! The server: gRPC and HTTP on one listener, in front of one store.
//!
//! Whoever may connect and, where a token is set, knows it, may fill the cache; the server trusts no
//! name, no size and no hash that it is told. It does no TLS: put it behind what does.

mod access;
mod grpc;
mod sending;
mod turbo;
mod uploads;

use crate::store::{Limits, Store, StoreError};
use axum::serve::ListenerExt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use uploads::Uploads;

/// How often age is looked at, and broken uploads are given up.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How long calls may go on after the shutdown began.
const GRACE: Duration = Duration::from_secs(10);

/// How a server is set up.
#[derive(Clone)]
pub struct ServerOptions {
    /// Its own folder; made where it is missing.
    pub folder: PathBuf,
    /// What every client must show; none lets everyone in.
    pub token: Option<String>,
    /// Whether nothing may be written.
    pub is_read_only: bool,
    /// How much is kept in all.
    pub bytes_max: u64,
    /// The most bytes of one blob or artifact.
    pub blob_bytes_max: u64,
    /// How long something is kept that nobody uses.
    pub age_max: Option<Duration>,
    /// How long a client that sends may pause.
    pub pause_max: Duration,
}

impl ServerOptions {
    /// The usual set-up: 50 GiB in all, 4 GiB for one blob, no age, no token.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            token: None,
            is_read_only: false,
            bytes_max: 50 << 30,
            blob_bytes_max: 4 << 30,
            age_max: None,
            pause_max: Duration::from_secs(60),
        }
    }
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions")
            .field("folder", &self.folder)
            .field("has_token", &self.token.is_some())
            .field("is_read_only", &self.is_read_only)
            .field("bytes_max", &self.bytes_max)
            .field("blob_bytes_max", &self.blob_bytes_max)
            .field("age_max", &self.age_max)
            .field("pause_max", &self.pause_max)
            .finish()
    }
}

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another server uses the folder.
    #[error("{folder}: another cache server uses this folder", folder = folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be used.
    #[error("{folder}: the cache cannot be opened", folder = folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the store met.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system has no random numbers for the comparison of tokens.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The listener failed.
    #[error("connections cannot be accepted")]
    Accept(#[source] std::io::Error),
}

/// What every call gets at.
#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    uploads: Uploads,
    is_read_only: bool,
    pause_max: Duration,
}

/// A cache server over an open folder.
#[derive(Debug)]
pub struct CacheServer {
    shared: Arc<Shared>,
    access: access::Access,
}

impl CacheServer {
    /// Opens the folder, reads what it holds and removes what is too old or too much.
    ///
    /// # Errors
    /// [`ServeError`] where another server has the folder or it cannot be read and written.
    pub fn open(options: ServerOptions) -> Result<Self, ServeError> {
        let limits = Limits {
            bytes_max: options.bytes_max,
            blob_bytes_max: options.blob_bytes_max,
            age_max: options.age_max,
        };
        let folder = options.folder;
        let store = Store::open(&folder, limits).map_err(|error| match error {
            StoreError::InUse { folder } => ServeError::InUse { folder },
            other => ServeError::Folder {
                folder: folder.clone(),
                source: Box::new(other),
            },
        })?;
        Ok(Self {
            shared: Arc::new(Shared {
                uploads: Uploads::new(store.held_bytes_max()),
                store: Arc::new(store),
                is_read_only: options.is_read_only,
                pause_max: options.pause_max,
            }),
            access: access::Access::new(options.token.as_deref())?,
        })
    }

    /// Serves until `shutdown` is done; then no call is accepted, and those under way have a little
    /// time to end.
    ///
    /// # Errors
    /// [`ServeError::Accept`] where the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let shared = Arc::clone(&self.shared);
        let routes = grpc::routes()
            .merge(turbo::routes())
            .fallback(access::unknown)
            .layer(axum::middleware::from_fn_with_state(
                Arc::new(self.access),
                access::check,
            ))
            .with_state(Arc::clone(&shared));
        let listener = listener.tap_io(|connection| {
            // Else a small answer waits for the acknowledgement of the one before.
            let _without = connection.set_nodelay(true);
        });
        let (begun, ending) = tokio::sync::oneshot::channel::<()>();
        let serving = axum::serve(listener, routes).with_graceful_shutdown(async move {
            shutdown.await;
            drop(begun);
        });
        let out_of_time = async {
            let _begun = ending.await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = serving.into_future() => served.map_err(ServeError::Accept),
            () = out_of_time => Ok(()),
            never = sweep(&shared) => match never {},
        }
    }
}

async fn sweep(shared: &Shared) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        shared.uploads.give_up(Instant::now());
        let evicted = shared.store.run(|store| {
            store.evict(SystemTime::now());
            Ok(())
        });
        if let Err(error) = evicted.await {
            tracing::warn!(%error, "nothing is evicted");
        }
    }
}
