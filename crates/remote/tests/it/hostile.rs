//! Clients that mean harm, or are broken.

use crate::harness::{Server, http, missing, noise, put, wait_for, wire};
use crate::streams::{messages, read};
use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use bazel_remote_apis::google::bytestream::WriteRequest;
use mainstay_remote::RemoteDigest;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tonic::{Code, Request};

#[tokio::test(flavor = "multi_thread")]
async fn odd_digests_are_refused_everywhere() {
    let server = Server::start();
    let good = wire(&RemoteDigest::of(b"x"));
    for (hash, size_bytes) in [
        (String::new(), 0),
        ("../../../../etc/passwd".to_owned(), 1),
        (good.hash.to_uppercase(), 1),
        (format!("{}/", &good.hash[1..]), 1),
        (good.hash.clone(), -1),
        (good.hash.clone(), i64::MIN),
    ] {
        let digest = api::Digest { hash, size_bytes };
        let request = api::FindMissingBlobsRequest {
            blob_digests: vec![digest.clone()],
            ..Default::default()
        };
        let refused = server.blobs().await.find_missing_blobs(request).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        let request = api::GetActionResultRequest {
            action_digest: Some(digest.clone()),
            ..Default::default()
        };
        let refused = server.actions().await.get_action_result(request).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        let request = api::UpdateActionResultRequest {
            action_digest: Some(good.clone()),
            action_result: Some(api::ActionResult {
                stdout_digest: Some(digest),
                ..Default::default()
            }),
            ..Default::default()
        };
        let refused = server.actions().await.update_action_result(request).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    assert!(server.files("actions").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_resource_names_are_refused() {
    let server = Server::start();
    let mut streams = server.streams().await;
    let digest = RemoteDigest::of(b"x");
    for name in [
        String::new(),
        "blobs".to_owned(),
        format!("blobs/../../{digest}"),
        format!("blobs/{digest}/../x"),
        format!("{}/blobs/{digest}", "x".repeat(100_000)),
    ] {
        let refused = read(&mut streams, name.clone(), 0, 0).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
        let write = futures_util::stream::iter(messages(&name, 0, b"x", true));
        let refused = streams.write(write).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
    }
    let nothing = futures_util::stream::iter(Vec::<WriteRequest>::new());
    assert!(streams.write(nothing).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_may_be_called_anything_and_leads_nowhere() {
    let server = Server::start();
    let digest = wire(&RemoteDigest::of(b"x"));
    for instance in ["../../../x", "/etc", "a\0b", &"x".repeat(10_000)] {
        let request = api::UpdateActionResultRequest {
            instance_name: instance.to_owned(),
            action_digest: Some(digest.clone()),
            action_result: Some(api::ActionResult::default()),
            ..Default::default()
        };
        server
            .actions()
            .await
            .update_action_result(request)
            .await
            .unwrap();
    }
    assert_eq!(server.files("actions").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let server = Server::with(|options| options.blob_bytes_max = 100_000);
    let bytes = noise(1, 200_000);
    let digest = RemoteDigest::of(&bytes);
    let mut streams = server.streams().await;
    let name = format!("uploads/1/blobs/{digest}");
    let write = futures_util::stream::iter(messages(&name, 0, &bytes, true));
    let refused = streams.write(write).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let huge = format!("uploads/1/blobs/{}/{}", wire(&digest).hash, i64::MAX);
    let write = futures_util::stream::iter(messages(&huge, 0, b"x", false));
    assert_eq!(
        streams.write(write).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let request = api::BatchUpdateBlobsRequest {
        requests: vec![api::batch_update_blobs_request::Request {
            digest: Some(wire(&digest)),
            data: bytes.clone(),
            compressor: 0,
        }],
        ..Default::default()
    };
    let answer = server
        .blobs()
        .await
        .batch_update_blobs(request)
        .await
        .unwrap();
    let status = answer.into_inner().responses[0].status.clone().unwrap();
    assert_eq!(status.code, Code::InvalidArgument as i32);
    let put = http(&server, "PUT", "/v8/artifacts/1", &[], &bytes);
    assert_eq!(put.status, 413);
    let request = api::BatchReadBlobsRequest {
        digests: vec![
            wire(&RemoteDigest {
                size: u64::MAX >> 1,
                ..digest
            });
            9
        ],
        ..Default::default()
    };
    let refused = server.blobs().await.batch_read_blobs(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let message = api::BatchUpdateBlobsRequest {
        instance_name: "x".repeat(20_000_000),
        ..Default::default()
    };
    assert!(
        server
            .blobs()
            .await
            .batch_update_blobs(message)
            .await
            .is_err()
    );
    assert!(server.files("cas").is_empty() && server.files("incoming").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_digest_functions_and_methods_are_refused() {
    let server = Server::start();
    let request = api::FindMissingBlobsRequest {
        digest_function: api::digest_function::Value::Sha1.into(),
        ..Default::default()
    };
    let refused = server.blobs().await.find_missing_blobs(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let mut execution = api::execution_client::ExecutionClient::new(server.channel().await);
    let refused = execution.execute(api::ExecuteRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_opens() {
    let server = Server::with(|options| options.token = Some("open".to_owned()));
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("Bearer opens"), Code::Unauthenticated),
        (Some("Bearer open"), Code::Ok),
    ] {
        let mut request = Request::new(api::FindMissingBlobsRequest::default());
        if let Some(token) = token {
            let value = token.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let answer = server.blobs().await.find_missing_blobs(request).await;
        assert_eq!(
            answer.map_or_else(|refused| refused.code(), |_| Code::Ok),
            code
        );
    }
    for (token, status) in [("", 401), ("Bearer opens", 403), ("Bearer open", 200)] {
        let headers = [("authorization", token)];
        let answer = http(&server, "GET", "/v8/artifacts/status", &headers, b"");
        assert_eq!(answer.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_takes_nothing() {
    let mut server = Server::start();
    let kept = put(&server, &[b"kept"]).await;
    server.restart(|options| options.is_read_only = true);
    let request = api::BatchUpdateBlobsRequest::default();
    let refused = server.blobs().await.batch_update_blobs(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let request = api::UpdateActionResultRequest::default();
    let refused = server.actions().await.update_action_result(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let name = format!("uploads/1/blobs/{}", RemoteDigest::of(b"new"));
    let write = futures_util::stream::iter(messages(&name, 0, b"new", true));
    let refused = server.streams().await.write(write).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(
        http(&server, "PUT", "/v8/artifacts/1", &[], b"x").status,
        403
    );
    assert!(missing(&server, &kept).await.is_empty());
}

#[test]
fn whoever_stalls_is_cut_off() {
    let server = Server::with(|options| options.pause_max = Duration::from_millis(100));
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = "PUT /v8/artifacts/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    wait_for("the half to go", || server.files("incoming").is_empty());
}

#[test]
fn whoever_hangs_up_leaves_nothing() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = "PUT /v8/artifacts/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).unwrap();
    wait_for("the upload to begin", || {
        server.files("incoming").len() == 1
    });
    drop(stream);
    wait_for("the half to go", || server.files("incoming").is_empty());
    assert!(server.files("cas").is_empty() && server.files("artifacts").is_empty());
}

#[test]
fn noise_on_the_line_harms_nobody() {
    let server = Server::start();
    for seed in 0..20 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let mut bytes = noise(seed, 5000);
        if seed % 2 == 0 {
            bytes.splice(..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        }
        let _refused = stream.write_all(&bytes);
    }
    assert_eq!(
        http(&server, "GET", "/v8/artifacts/status", &[], b"").status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_finishes_do_not_fill_the_disk() {
    let server = Server::with(|options| options.bytes_max = 2_000_000);
    let mut streams = server.streams().await;
    for seed in 0..20 {
        let bytes = noise(seed, 300_000);
        let name = format!("uploads/{seed}/blobs/{}", RemoteDigest::of(&bytes));
        let half = futures_util::stream::iter(messages(&name, 0, &bytes[..200_000], false));
        streams.write(half).await.unwrap();
    }
    assert!(server.files("incoming").len() <= 2);
    // Many at once are refused before they are more than the whole cache may be.
    let mut running = Vec::new();
    let mut refused = 0;
    for seed in 0..4 {
        let bytes = noise(100 + seed, 900_000);
        let name = format!("uploads/{seed}/blobs/{}", RemoteDigest::of(&bytes));
        let (send, receive) = tokio::sync::mpsc::unbounded_channel();
        for message in messages(&name, 0, &bytes[..800_000], false) {
            send.send(message).unwrap();
        }
        let endless = futures_util::stream::unfold(receive, |mut receive| async {
            receive.recv().await.map(|message| (message, receive))
        });
        let mut streams = streams.clone();
        running.push((
            send,
            tokio::spawn(async move { streams.write(endless).await }),
        ));
    }
    wait_for("a refusal", || {
        running.iter().any(|(_, call)| call.is_finished())
    });
    for (send, call) in running {
        drop(send);
        if let Err(status) = call.await.unwrap() {
            assert_eq!(status.code(), Code::ResourceExhausted);
            refused += 1;
        }
    }
    assert!((1..4).contains(&refused), "{refused}");
}
