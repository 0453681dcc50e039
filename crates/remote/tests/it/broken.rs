//! Our client with remotes that are slow, lie, are gone, or die in the middle.

use crate::harness::{Server, noise, wait_for};
use bazel_remote_apis::google::bytestream as api;
use bazel_remote_apis::google::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use futures_util::stream::{self, BoxStream, StreamExt};
use mainstay_remote::{RemoteCache, RemoteDigest, RemoteError, RemoteOptions};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status, Streaming};

fn client(address: SocketAddr) -> RemoteCache {
    let mut options = RemoteOptions::new(&format!("grpc://{address}"));
    options.call = Duration::from_millis(400);
    RemoteCache::connect(options).unwrap()
}

/// After a failure every call says so at once, and the failure is told once.
fn assert_off(client: &RemoteCache) {
    assert!(client.is_off());
    let began = Instant::now();
    let digest = RemoteDigest::of(b"x");
    for _ in 0..100 {
        let answers = [
            client.get_action(&[1; 32]).map(|_| ()),
            client.put_action(&[1; 32], &crate::client::sample(&[])),
            client.missing(&[digest]).map(|_| ()),
            client.read(&digest, &mut Vec::new()),
            client.read_small(&[digest]).map(|_| ()),
            client.write(&digest, &b"x"[..]),
            client.write_small(vec![b"x".to_vec()]),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(RemoteError::Off)), "{answer:?}");
        }
    }
    assert!(began.elapsed() < Duration::from_millis(200));
    assert!(client.take_failure().is_some());
    assert!(client.take_failure().is_none());
}

#[test]
fn a_remote_that_is_gone_costs_one_call() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(address);
    assert!(!client.is_off());
    let failed = client.get_action(&[1; 32]).unwrap_err();
    assert!(
        matches!(failed, RemoteError::Unreachable { .. }),
        "{failed:?}"
    );
    let mut causes = Vec::new();
    let mut cause = failed.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    assert!(
        causes.iter().any(|cause| cause.contains("refused")),
        "{causes:?}"
    );
    assert_off(&client);
}

#[test]
fn a_remote_that_never_answers_costs_one_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap());
    let began = Instant::now();
    let failed = client.missing(&[RemoteDigest::of(b"x")]).unwrap_err();
    assert!(matches!(failed, RemoteError::TimedOut { .. }), "{failed:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_off(&client);
}

#[test]
fn a_remote_that_speaks_something_else_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(1) {
            let mut stream = stream.unwrap();
            stream.write_all(b"HTTP/1.1 503 No\r\n\r\n").unwrap();
        }
    });
    let client = client(address);
    client.get_action(&[1; 32]).unwrap_err();
    assert_off(&client);
}

#[test]
fn a_wrong_token_is_told_and_ends_it() {
    let server = Server::with(|options| options.token = Some("open".to_owned()));
    let client = client(server.address);
    let failed = client.get_action(&[1; 32]).unwrap_err();
    assert!(
        matches!(&failed, RemoteError::Unusable { code, .. } if code == "Unauthenticated"),
        "{failed:?}"
    );
    assert_off(&client);
}

#[test]
fn a_remote_that_dies_while_a_blob_arrives() {
    let server = Server::start();
    let bytes = noise(1, 8_000_000);
    let digest = RemoteDigest::of(&bytes);
    server.client().write(&digest, bytes.as_slice()).unwrap();
    let client = client(cut(server.address, usize::MAX, 1_000_000));
    let mut read = Vec::new();
    let failed = client.read(&digest, &mut read).unwrap_err();
    assert!(
        matches!(failed, RemoteError::Unreachable { .. }),
        "{failed:?}"
    );
    assert!(read.len() < bytes.len() && bytes.starts_with(&read));
    assert_off(&client);
}

#[test]
fn a_remote_that_dies_while_a_blob_is_sent() {
    let server = Server::start();
    let bytes = noise(2, 8_000_000);
    let digest = RemoteDigest::of(&bytes);
    let client = client(cut(server.address, 1_000_000, usize::MAX));
    client.write(&digest, bytes.as_slice()).unwrap_err();
    assert_off(&client);
    assert_eq!(server.client().missing(&[digest]).unwrap(), [digest]);
}

#[test]
fn a_remote_that_is_stopped_between_two_calls() {
    let mut server = Server::start();
    let client = client(server.address);
    assert!(client.get_action(&[1; 32]).unwrap().is_none());
    server.stop();
    client.get_action(&[1; 32]).unwrap_err();
    assert_off(&client);
}

/// Passes bytes on in both directions, and hangs up after so many of them.
fn cut(to: SocketAddr, sent_max: usize, received_max: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let near = stream.unwrap();
            let far = TcpStream::connect(to).unwrap();
            let (near_back, far_back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || pass(near, far, sent_max));
            std::thread::spawn(move || pass(far_back, near_back, received_max));
        }
    });
    address
}

fn pass(from: TcpStream, mut to: TcpStream, max: usize) {
    let _broken = io::copy(&mut (&from).take(max as u64), &mut to);
    let _gone = from.shutdown(Shutdown::Both);
    let _gone = to.shutdown(Shutdown::Both);
}

/// Answers every read with what its name asks for: other bytes, too many, too few, or one now and then.
struct Liar;

#[tonic::async_trait]
impl ByteStream for Liar {
    type ReadStream = BoxStream<'static, Result<api::ReadResponse, Status>>;

    async fn read(
        &self,
        request: Request<api::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let name = request.into_inner().resource_name;
        let (instance, _) = name.split_once('/').unwrap();
        let chunk = |data: &[u8]| {
            Ok(api::ReadResponse {
                data: data.to_vec(),
            })
        };
        let answer = match instance {
            "other" => stream::iter(vec![chunk(b"wrong")]).boxed(),
            "short" => stream::iter(vec![chunk(b"rig")]).boxed(),
            "endless" => stream::repeat_with(move || chunk(&[b'r'; 1000])).boxed(),
            _ => stream::once(async move { chunk(b"r") })
                .chain(stream::pending())
                .boxed(),
        };
        Ok(Response::new(answer))
    }

    async fn write(
        &self,
        _request: Request<Streaming<api::WriteRequest>>,
    ) -> Result<Response<api::WriteResponse>, Status> {
        Ok(Response::new(api::WriteResponse { committed_size: 1 }))
    }

    async fn query_write_status(
        &self,
        _request: Request<api::QueryWriteStatusRequest>,
    ) -> Result<Response<api::QueryWriteStatusResponse>, Status> {
        Err(Status::unimplemented("no"))
    }
}

#[test]
fn a_remote_that_lies_is_found_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(ByteStreamServer::new(Liar))
            .serve(address),
    );
    wait_for("the liar", || TcpStream::connect(address).is_ok());
    let connect = |instance: &str| {
        let mut options = RemoteOptions::new(&format!("grpc://{address}"));
        options.call = Duration::from_millis(400);
        options.instance = instance.to_owned();
        RemoteCache::connect(options).unwrap()
    };
    let digest = RemoteDigest::of(b"right");
    for instance in ["other", "short", "endless"] {
        let client = connect(instance);
        let read = client.read(&digest, &mut Vec::new());
        assert!(
            matches!(read, Err(RemoteError::Damaged { .. })),
            "{instance}: {read:?}"
        );
        assert!(!client.is_off());
    }
    let client = connect("slow");
    let read = client.read(&digest, &mut Vec::new());
    assert!(
        matches!(read, Err(RemoteError::TimedOut { .. })),
        "{read:?}"
    );
    assert_off(&client);
    let client = connect("other");
    let bytes = noise(1, 1_000_000);
    let written = client.write(&RemoteDigest::of(&bytes), bytes.as_slice());
    assert!(
        matches!(written, Err(RemoteError::Nonsense { .. })),
        "{written:?}"
    );
}
