//! Blobs in batches.

use crate::harness::{Server, missing, put, wire};
use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use mainstay_remote::RemoteDigest;
use std::fs;
use tonic::Code;

async fn read(server: &Server, digests: &[RemoteDigest]) -> Vec<(i32, Vec<u8>)> {
    let request = api::BatchReadBlobsRequest {
        digests: digests.iter().map(wire).collect(),
        ..Default::default()
    };
    let answer = server.blobs().await.batch_read_blobs(request).await;
    let responses = answer.unwrap().into_inner().responses.into_iter();
    responses
        .map(|response| (response.status.unwrap().code, response.data))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_is_there_and_the_rest_is_missing() {
    let server = Server::start();
    let kept = put(&server, &[b"one", b"two"]).await;
    let other = RemoteDigest::of(b"three");
    let asked = [kept[0], other, kept[1]];
    assert_eq!(missing(&server, &asked).await, [wire(&other)]);
    let read = read(&server, &asked).await;
    assert_eq!(read[0], (0, b"one".to_vec()));
    assert_eq!(read[1], (Code::NotFound as i32, Vec::new()));
    assert_eq!(read[2], (0, b"two".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_it_can_do() {
    let server = Server::start();
    let mut client = api::capabilities_client::CapabilitiesClient::new(server.channel().await);
    let request = api::GetCapabilitiesRequest::default();
    let told = client.get_capabilities(request).await.unwrap().into_inner();
    let cache = told.cache_capabilities.unwrap();
    assert_eq!(cache.digest_functions, [1]);
    assert!(
        cache
            .action_cache_update_capabilities
            .unwrap()
            .update_enabled
    );
    assert_eq!(cache.max_batch_total_size_bytes, 4_000_000);
    assert!(told.execution_capabilities.is_none());
    assert_eq!(told.low_api_version.unwrap().major, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_empty_blob_is_always_there() {
    let server = Server::start();
    let empty = RemoteDigest::of(b"");
    assert!(missing(&server, &[empty]).await.is_empty());
    assert_eq!(read(&server, &[empty]).await, [(0, Vec::new())]);
    put(&server, &[b""]).await;
    assert!(server.files("cas").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_refused_and_leaves_nothing() {
    let server = Server::start();
    let right = RemoteDigest::of(b"right");
    let wrong_size = RemoteDigest { size: 4, ..right };
    let requests = [right, wrong_size].map(|digest| api::batch_update_blobs_request::Request {
        digest: Some(wire(&digest)),
        data: b"wrong".to_vec(),
        compressor: 0,
    });
    let request = api::BatchUpdateBlobsRequest {
        requests: requests.to_vec(),
        ..Default::default()
    };
    let answer = server.blobs().await.batch_update_blobs(request).await;
    for response in answer.unwrap().into_inner().responses {
        assert_eq!(response.status.unwrap().code, Code::InvalidArgument as i32);
    }
    assert!(server.files("cas").is_empty() && server.files("incoming").is_empty());
    put(&server, &[b"right"]).await;
    assert_eq!(missing(&server, &[right, wrong_size]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_blob_is_a_missing_one_and_can_be_put_again() {
    let server = Server::start();
    let blobs: [&[u8]; 3] = [b"flipped", b"cut short", b"removed"];
    let kept = put(&server, &blobs).await;
    fs::write(server.blob_path(&kept[0]), b"flopped").unwrap();
    fs::write(server.blob_path(&kept[1]), b"cut").unwrap();
    fs::remove_file(server.blob_path(&kept[2])).unwrap();
    for (code, data) in read(&server, &kept).await {
        assert_eq!((code, data.len()), (Code::NotFound as i32, 0));
    }
    assert!(!server.blob_path(&kept[0]).exists());
    assert_eq!(missing(&server, &kept).await.len(), 3);
    put(&server, &blobs).await;
    for ((code, data), blob) in read(&server, &kept).await.into_iter().zip(blobs) {
        assert_eq!((code, data.as_slice()), (0, blob));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_but_what_was_not_whole() {
    let mut server = Server::start();
    let kept = put(&server, &[b"one"]).await;
    let left_over = server.files("cas")[0]
        .ancestors()
        .nth(3)
        .unwrap()
        .join("incoming/9");
    fs::write(&left_over, b"half").unwrap();
    server.restart(|_| {});
    assert!(missing(&server, &kept).await.is_empty());
    assert!(!left_over.exists());
}

#[test]
fn a_folder_has_one_server() {
    let server = Server::start();
    let folder = server.files("lock");
    assert!(folder.is_empty(), "a file, not a folder");
    let mut options = None;
    let mut other = Server::with(|mine| options = Some(mine.clone()));
    let taken = mainstay_remote::CacheServer::open(options.clone().unwrap());
    assert!(matches!(
        taken,
        Err(mainstay_remote::ServeError::InUse { .. })
    ));
    other.stop();
    mainstay_remote::CacheServer::open(options.unwrap()).unwrap();
}
