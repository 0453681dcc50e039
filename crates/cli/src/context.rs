//! Where a command's node is: another process that owns the data directory, a remote one, or one
//! embedded here for as long as the command runs.

use crate::args::Global;
use crate::client::{Client, PRIVATE_SOCKET, SOCKET, SocketPath};
use crate::error::CliError;
use crate::output::Output;
use mainstay_contract::{Code, Coded};
use mainstay_node::api::{self, Listen};
use mainstay_node::{Node, NodeConfig, StoreUrl};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const MANIFEST: &str = "mainstay.yaml";
const DATA_DIR: &str = ".mainstay";

/// How long to wait for a node that holds the data directory to open its socket.
const START_LIMIT: Duration = Duration::from_secs(5);

/// How long requests to an embedded node may take to end.
const EMBEDDED_DRAIN: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(20);

/// What a command works with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
}

/// A node to talk to.
pub(crate) struct Connection {
    pub(crate) client: Client,
    embedded: Option<Embedded>,
}

struct Embedded {
    node: Node,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Context {
    /// The manifest: the one named, or the nearest one.
    pub(crate) fn manifest(&self) -> Result<PathBuf, CliError> {
        if let Some(file) = &self.global.file {
            return absolute(file);
        }
        let start = absolute(Path::new("."))?;
        let found = start
            .ancestors()
            .map(|folder| folder.join(MANIFEST))
            .find(|file| file.exists());
        found.ok_or(CliError::NoManifest { start })
    }

    /// The manifest of the workspace: the one named, or the one that has the nearest as a project.
    pub(crate) fn workspace_manifest(&self) -> Result<PathBuf, CliError> {
        let nearest = self.manifest()?;
        Ok(match &self.global.file {
            Some(_) => nearest,
            None => mainstay_runner::workspace::root_manifest(&nearest),
        })
    }

    /// The data directory: the one named, or the one beside the manifest, or one that is here.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, CliError> {
        if let Some(dir) = &self.global.data_dir {
            return absolute(dir);
        }
        match self.manifest() {
            Ok(manifest) => Ok(manifest.parent().unwrap_or(Path::new("/")).join(DATA_DIR)),
            Err(error) => {
                let here = absolute(Path::new(DATA_DIR))?;
                if here.is_dir() { Ok(here) } else { Err(error) }
            }
        }
    }

    /// Where rebuildable data goes.
    pub(crate) fn cache_dir(&self) -> Result<PathBuf, CliError> {
        if let Some(dir) = &self.global.cache_dir {
            return absolute(dir);
        }
        let from = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
        Ok(base
            .unwrap_or_else(|| PathBuf::from("/var/cache"))
            .join("mainstay"))
    }

    /// What a node of this command's own is made of.
    pub(crate) fn node_config(&self) -> Result<NodeConfig, CliError> {
        let data_dir = self.data_dir()?;
        if data_dir.exists() && !data_dir.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            let path = data_dir;
            return Err(CliError::File { path, error });
        }
        let exe = std::env::current_exe().map_err(|error| CliError::File {
            path: PathBuf::from("/proc/self/exe"),
            error,
        })?;
        Ok(NodeConfig {
            store: StoreUrl::Sqlite(data_dir.join("mainstay.db")),
            data_dir,
            blobs: None,
            manifest: self.manifest().ok(),
            workspace_manifest: self.workspace_manifest().ok(),
            cache_dir: self.cache_dir()?,
            exe,
            works_on_turns: true,
            record: None,
        })
    }

    /// A node to look at or to give a word to: the one at `--url`, the one that owns the data
    /// directory, or one of our own that leaves the work on turns to others.
    pub(crate) async fn connect(&self) -> Result<Connection, CliError> {
        let mut config = self.node_config()?;
        config.works_on_turns = false;
        self.connect_with(config).await
    }

    /// Whether the node is named by its URL.
    pub(crate) fn is_remote(&self) -> bool {
        self.global.url.is_some()
    }

    /// Waits until a node works in the data directory.
    pub(crate) async fn node_comes(&self) -> Result<(), CliError> {
        let data_dir = self.data_dir()?;
        while running_node(&data_dir).await?.is_none() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    pub(crate) async fn connect_with(&self, config: NodeConfig) -> Result<Connection, CliError> {
        if let Some(url) = &self.global.url {
            return Ok(Connection {
                client: Client::tcp(url)?,
                embedded: None,
            });
        }
        let patience = Instant::now() + START_LIMIT;
        loop {
            if let Some(client) = running_node(&config.data_dir).await? {
                return Ok(Connection {
                    client,
                    embedded: None,
                });
            }
            match Node::open(config.clone()).await {
                Ok(node) => return Connection::embed(node, &config).await,
                Err(error) if error.code() == Code::StoreLocked && Instant::now() < patience => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.report().into()),
            }
        }
    }

    /// A node that is to own the data directory: refused by another that does, while a command that
    /// only looks is waited for.
    pub(crate) async fn open_node(&self, config: NodeConfig) -> Result<Node, CliError> {
        let patience = Instant::now() + START_LIMIT;
        loop {
            let error = match Node::open(config.clone()).await {
                Ok(node) => return Ok(node),
                Err(error) => error,
            };
            let is_owned = || running_node(&config.data_dir);
            if error.code() != Code::StoreLocked
                || Instant::now() > patience
                || is_owned().await?.is_some()
            {
                return Err(error.report().into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Connection {
    async fn embed(node: Node, config: &NodeConfig) -> Result<Self, CliError> {
        let data_dir = &config.data_dir;
        let path = |error| CliError::File {
            path: data_dir.to_owned(),
            error,
        };
        // Others may use a node that works; one that only looks is gone before they could.
        let name = if config.works_on_turns {
            SOCKET
        } else {
            PRIVATE_SOCKET
        };
        let socket = SocketPath::of(data_dir, name).map_err(path)?;
        let client = Client::unix(socket.clone())?;
        let (stop, stopped) = oneshot::channel::<()>();
        let listen = Listen {
            unix: Some(socket.path.clone()),
            ..Listen::default()
        };
        let bound = api::bind(listen)
            .await
            .map_err(|error| CliError::from(error.report()))?;
        let serving = node.clone();
        let server = tokio::spawn(async move {
            let stopped = async {
                let _gone = stopped.await;
                EMBEDDED_DRAIN
            };
            if let Err(error) = bound.serve(serving, stopped).await {
                tracing::error!(%error, "the embedded node stopped serving");
            }
        });
        Ok(Self {
            client,
            embedded: Some(Embedded { node, stop, server }),
        })
    }

    /// Whether the node is one of our own.
    pub(crate) fn is_own(&self) -> bool {
        self.embedded.is_some()
    }

    /// Ends an embedded node in good order.
    pub(crate) async fn close(self) {
        if let Some(Embedded { node, stop, server }) = self.embedded {
            let _stopped = stop.send(());
            node.shutdown().await;
            if server.await.is_err() {
                tracing::warn!("the embedded node's server failed");
            }
        }
    }
}

async fn running_node(data_dir: &Path) -> Result<Option<Client>, CliError> {
    if !data_dir.join(SOCKET).exists() {
        return Ok(None);
    }
    let socket = SocketPath::of(data_dir, SOCKET).map_err(|error| CliError::File {
        path: data_dir.to_owned(),
        error,
    })?;
    let client = Client::unix(socket)?;
    Ok(client.is_alive().await.then_some(client))
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::File {
        path: path.to_owned(),
        error,
    })
}
