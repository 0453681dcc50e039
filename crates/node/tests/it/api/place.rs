//! A node over a scripted model, with its API on a port and a socket.

use super::client::{LIMIT, Reply, Wire};
use mainstay_node::api::{self, Listen};
use mainstay_node::{Node, NodeConfig, StoreUrl};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const MANIFEST: &str = "version: 1\nmodels:\n  m: {provider: script, file: script.yaml}\nagents:\n  \
                        fixer: {model: m}\n  reader: {model: m}\n";

/// Where turns of the session `s` are asked for.
pub(crate) const TURNS: &str = "/api/sessions/s/turns";

/// A folder that outlives its nodes.
pub(crate) struct Place {
    dir: TempDir,
}

/// A node that answers.
pub(crate) struct Served {
    pub(crate) node: Node,
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) key: String,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Place {
    pub(crate) fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        place.write("mainstay.yaml", MANIFEST);
        place.write("script.yaml", script);
        place
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> NodeConfig {
        let data_dir = self.path("data");
        NodeConfig {
            store: StoreUrl::Sqlite(data_dir.join("mainstay.db")),
            data_dir,
            blobs: None,
            manifest: Some(self.path("mainstay.yaml")),
            workspace_manifest: Some(self.path("mainstay.yaml")),
            cache_dir: self.path("cache"),
            exe: std::env::current_exe().unwrap(),
            works_on_turns: true,
            record: None,
        }
    }

    pub(crate) async fn serve(&self) -> Served {
        let node = Node::open(self.config()).await.unwrap();
        let socket = self.path("data/node.sock");
        let listen = Listen {
            unix: Some(socket.clone()),
            tcp: Some("127.0.0.1:0".parse().unwrap()),
            key: Some(self.path("data/key")),
            hosts: Vec::new(),
        };
        let bound = api::bind(listen).await.unwrap();
        let address = bound.tcp().unwrap();
        let key = std::fs::read_to_string(self.path("data/key"))
            .unwrap()
            .trim()
            .to_owned();
        let (stop, stopped) = oneshot::channel();
        let serving = node.clone();
        let server = tokio::spawn(async move {
            let stopped = async {
                let _dropped = stopped.await;
                LIMIT
            };
            bound.serve(serving, stopped).await.unwrap();
        });
        Served {
            node,
            address,
            socket,
            key,
            stop: Some(stop),
            server,
        }
    }
}

impl Served {
    /// The head of a request with the key and no body, ready for more headers.
    pub(crate) fn line(&self, method: &str, path: &str) -> String {
        let Self { address, key, .. } = self;
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n")
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire::tcp(self.address).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut wire = self.wire().await;
        wire.send(bytes).await;
        wire.reply().await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str) -> Reply {
        self.raw(format!("{}\r\n", self.line(method, path))).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).await
    }

    /// Posts these bytes as JSON.
    pub(crate) async fn post_bytes(&self, path: &str, body: &[u8]) -> Reply {
        self.post_with(path, "", body).await
    }

    /// Posts with more headers, each with its line end.
    pub(crate) async fn post_with(&self, path: &str, headers: &str, body: &[u8]) -> Reply {
        let head = self.line("POST", path);
        let length = body.len();
        let head = format!(
            "{head}{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.raw([head.as_bytes(), body].concat()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_bytes(path, body.to_string().as_bytes()).await
    }

    /// Runs a turn to its end.
    pub(crate) async fn turn(&self, turn: &str) -> Reply {
        let body = json!({ "agent": "fixer", "input": "go", "turn_id": turn });
        self.post(&format!("{TURNS}?wait=30"), &body).await
    }

    /// Waits until a turn has this state.
    pub(crate) async fn settled(&self, turn: &str, state: &str) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let view = self.get(&format!("/api/turns/{turn}")).await.json();
            if view["state"] == state {
                return view;
            }
            assert!(Instant::now() < deadline, "{turn} is {view}, not {state}");
            tokio::task::yield_now().await;
        }
    }

    /// A stream of events that has begun.
    pub(crate) async fn stream(&self, path: &str, headers: &str) -> Wire {
        let mut wire = self.wire().await;
        let head = self.line("GET", path);
        wire.send(format!("{head}{headers}accept: text/event-stream\r\n\r\n"))
            .await;
        let answered = wire.head().await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.header("content-type"), Some("text/event-stream"));
        wire
    }

    /// Stops answering, then the node.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(LIMIT, &mut self.server)
            .await
            .expect("the server ends")
            .unwrap();
        self.node.shutdown().await;
    }
}
