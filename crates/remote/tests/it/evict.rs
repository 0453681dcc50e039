//! Room and age are limited, and nobody notices more than a miss.

use crate::harness::{Server, http, missing, noise, put, wait_for, wire};
use crate::streams::messages;
use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use bazel_remote_apis::google::bytestream::ReadRequest;
use mainstay_remote::{RemoteDigest, RemoteError};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

fn kept_bytes(server: &Server) -> u64 {
    let parts = ["cas", "actions", "artifacts"];
    let files = parts.into_iter().flat_map(|part| server.files(part));
    files
        .filter_map(|file| fs::metadata(file).ok())
        .map(|found| found.len())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_recently_used_goes() {
    let server = Server::with(|options| options.bytes_max = 10_000);
    let blobs: Vec<_> = (0..5).map(|seed| noise(seed, 3000)).collect();
    let mut kept = Vec::new();
    for blob in &blobs[..3] {
        kept.extend(put(&server, &[blob]).await);
    }
    // Asked for, the first is used later than the second.
    assert!(missing(&server, &kept[..1]).await.is_empty());
    kept.extend(put(&server, &[&blobs[3]]).await);
    assert_eq!(missing(&server, &kept).await, [wire(&kept[1])]);
    assert!(kept_bytes(&server) <= 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_goes_before_what_it_names() {
    let server = Server::with(|options| options.bytes_max = 10_000);
    let digests = put(&server, &[&noise(1, 2000), &noise(2, 2000)]).await;
    let request = api::UpdateActionResultRequest {
        action_digest: Some(wire(&digests[0])),
        action_result: Some(api::ActionResult {
            stdout_digest: Some(wire(&digests[0])),
            stderr_digest: Some(wire(&digests[1])),
            ..Default::default()
        }),
        ..Default::default()
    };
    server
        .actions()
        .await
        .update_action_result(request)
        .await
        .unwrap();
    let mut seed = 10;
    while !server.files("actions").is_empty() {
        assert!(missing(&server, &[]).await.is_empty());
        for digest in &digests {
            assert!(server.blob_path(digest).exists());
        }
        put(&server, &[&noise(seed, 500)]).await;
        seed += 1;
    }
    assert!(seed > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_what_is_evicted_meanwhile() {
    let server = Server::with(|options| options.bytes_max = 30 << 20);
    let bytes = noise(1, 20 << 20);
    let digest = RemoteDigest::of(&bytes);
    let mut streams = server.streams().await;
    let name = format!("uploads/1/blobs/{digest}");
    let write = futures_util::stream::iter(messages(&name, 0, &bytes, true));
    streams.write(write).await.unwrap();
    let request = ReadRequest {
        resource_name: format!("blobs/{digest}"),
        ..Default::default()
    };
    let mut stream = streams.read(request).await.unwrap().into_inner();
    let mut read = stream.message().await.unwrap().unwrap().data;
    for seed in 2..6 {
        put(&server, &[&noise(seed, 3_900_000)]).await;
    }
    assert!(!server.blob_path(&digest).exists());
    while let Some(message) = stream.message().await.unwrap() {
        read.extend(message.data);
    }
    assert!(read == bytes);
    assert_eq!(missing(&server, &[digest]).await.len(), 1);
}

#[test]
fn readers_and_writers_beside_eviction_see_right_bytes_or_a_miss() {
    let server = Server::with(|options| options.bytes_max = 400_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let client = server.client();
            scope.spawn(move || {
                for round in 0..60_u64 {
                    let bytes = noise(round * 7 % 20 + 1, 50_000);
                    let digest = RemoteDigest::of(&bytes);
                    if (round + thread) % 2 == 0 {
                        client.write(&digest, bytes.as_slice()).unwrap();
                    }
                    let mut read = Vec::new();
                    match client.read(&digest, &mut read) {
                        Ok(()) => assert!(read == bytes),
                        Err(RemoteError::Missing { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert!(kept_bytes(&server) <= 400_000);
    assert!(server.files("incoming").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_remembers_the_order_and_a_smaller_budget_counts_at_once() {
    let mut server = Server::start();
    let kept = put(
        &server,
        &[&noise(1, 1000), &noise(2, 1000), &noise(3, 1000)],
    )
    .await;
    for (digest, age) in kept.iter().zip([100, 300, 200]) {
        let used = SystemTime::now() - Duration::from_secs(age);
        let file = File::open(server.blob_path(digest)).unwrap();
        file.set_modified(used).unwrap();
    }
    server.restart(|options| options.bytes_max = 2500);
    assert_eq!(missing(&server, &kept).await, [wire(&kept[1])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_uses_for_long_goes() {
    let mut server = Server::start();
    let kept = put(&server, &[b"old", b"new"]).await;
    http(&server, "PUT", "/v8/artifacts/1", &[], b"artifact");
    let old = server.blob_path(&kept[0]);
    let record = server.files("artifacts").remove(0);
    for file in [&old, &record] {
        let used = SystemTime::now() - Duration::from_secs(1000);
        File::open(file).unwrap().set_modified(used).unwrap();
    }
    server.restart(|options| options.age_max = Some(Duration::from_secs(500)));
    assert!(!old.exists() && !record.exists());
    assert_eq!(missing(&server, &kept).await, [wire(&kept[0])]);
    assert_eq!(
        http(&server, "GET", "/v8/artifacts/1", &[], b"").status,
        404
    );
    wait_for("the rest to stay", || server.files("cas").len() == 2);
}
