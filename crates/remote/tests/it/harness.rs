//! A server in its own thread and folder, raw clients for it, and waiting for conditions.

use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use bazel_remote_apis::google::bytestream::byte_stream_client::ByteStreamClient;
use mainstay_remote::{CacheServer, RemoteCache, RemoteDigest, RemoteOptions, ServerOptions};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::transport::Channel;

pub(crate) type Actions = api::action_cache_client::ActionCacheClient<Channel>;
pub(crate) type Blobs =
    api::content_addressable_storage_client::ContentAddressableStorageClient<Channel>;
pub(crate) type Streams = ByteStreamClient<Channel>;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    options: ServerOptions,
    folder: TempDir,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = ServerOptions::new(folder.path().to_owned());
        change(&mut options);
        let (address, running) = run(options.clone());
        Self {
            address,
            options,
            folder,
            running: Some(running),
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }

    /// Stops it, and starts it again on the same folder with other options.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&mut ServerOptions)) {
        self.stop();
        change(&mut self.options);
        let (address, running) = run(self.options.clone());
        self.address = address;
        self.running = Some(running);
    }

    pub(crate) fn url(&self) -> String {
        format!("grpc://{}", self.address)
    }

    pub(crate) fn client(&self) -> RemoteCache {
        RemoteCache::connect(RemoteOptions::new(&self.url())).unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address));
        endpoint.unwrap().connect().await.unwrap()
    }

    pub(crate) async fn actions(&self) -> Actions {
        Actions::new(self.channel().await)
    }

    pub(crate) async fn blobs(&self) -> Blobs {
        Blobs::new(self.channel().await)
    }

    pub(crate) async fn streams(&self) -> Streams {
        Streams::new(self.channel().await)
    }

    pub(crate) fn blob_path(&self, digest: &RemoteDigest) -> PathBuf {
        let hash = wire(digest).hash;
        self.folder.path().join("cas").join(&hash[..2]).join(&hash)
    }

    /// Every file below a part of the folder.
    pub(crate) fn files(&self, part: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.folder.path().join(part), &mut found);
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(options: ServerOptions) -> (SocketAddr, (oneshot::Sender<()>, JoinHandle<()>)) {
    let server = CacheServer::open(options).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let stopped = async {
                let _stop = stopped.await;
            };
            server.serve(listener, stopped).await.unwrap();
        });
    });
    (told.recv().unwrap(), (stop, thread))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, found),
            false => found.push(path),
        }
    }
}

/// A digest in the generated types.
pub(crate) fn wire(digest: &RemoteDigest) -> api::Digest {
    let text = digest.to_string();
    let (hash, size) = text.split_once('/').unwrap();
    api::Digest {
        hash: hash.to_owned(),
        size_bytes: size.parse().unwrap(),
    }
}

/// Bytes that no two calls share and that do not repeat.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Puts blobs with a raw client.
pub(crate) async fn put(server: &Server, blobs: &[&[u8]]) -> Vec<RemoteDigest> {
    let requests = blobs
        .iter()
        .map(|blob| api::batch_update_blobs_request::Request {
            digest: Some(wire(&RemoteDigest::of(blob))),
            data: blob.to_vec(),
            compressor: 0,
        });
    let request = api::BatchUpdateBlobsRequest {
        requests: requests.collect(),
        ..Default::default()
    };
    let answer = server.blobs().await.batch_update_blobs(request).await;
    for response in answer.unwrap().into_inner().responses {
        assert_eq!(response.status.unwrap().code, 0);
    }
    blobs.iter().map(|blob| RemoteDigest::of(blob)).collect()
}

/// Which blobs the server says it lacks.
pub(crate) async fn missing(server: &Server, digests: &[RemoteDigest]) -> Vec<api::Digest> {
    let request = api::FindMissingBlobsRequest {
        blob_digests: digests.iter().map(wire).collect(),
        ..Default::default()
    };
    let answer = server.blobs().await.find_missing_blobs(request).await;
    answer.unwrap().into_inner().missing_blob_digests
}

/// Waits until a condition is true.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// An answer over HTTP/1.1.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Asks over HTTP/1.1, by hand.
pub(crate) fn http(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: cache\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    // Who refuses early closes early.
    let _cut_off = stream.write_all(body);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    Answer {
        status: status.parse().unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: answer[end + 4..].to_vec(),
    }
}
