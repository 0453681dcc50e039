//! Results of actions, and trees.

use crate::harness::{Server, put, wire};
use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use bazel_remote_apis::google::protobuf::{Timestamp, UInt32Value};
use mainstay_remote::RemoteDigest;
use prost::Message;
use std::fs;
use tonic::{Code, Status};

async fn update(server: &Server, instance: &str, result: &api::ActionResult) {
    let request = api::UpdateActionResultRequest {
        instance_name: instance.to_owned(),
        action_digest: Some(wire(&RemoteDigest::of(b"action"))),
        action_result: Some(result.clone()),
        ..Default::default()
    };
    let mut actions = server.actions().await;
    actions.update_action_result(request).await.unwrap();
}

async fn get(server: &Server, instance: &str) -> Result<api::ActionResult, Status> {
    let request = api::GetActionResultRequest {
        instance_name: instance.to_owned(),
        action_digest: Some(wire(&RemoteDigest::of(b"action"))),
        ..Default::default()
    };
    let answer = server.actions().await.get_action_result(request).await;
    answer.map(tonic::Response::into_inner)
}

fn full(files: &[RemoteDigest], tree: &RemoteDigest) -> api::ActionResult {
    let properties = api::NodeProperties {
        unix_mode: Some(UInt32Value { value: 0o755 }),
        mtime: Some(Timestamp {
            seconds: 5,
            nanos: 7,
        }),
        ..Default::default()
    };
    api::ActionResult {
        output_files: vec![api::OutputFile {
            path: "out".to_owned(),
            digest: Some(wire(&files[0])),
            is_executable: true,
            node_properties: Some(properties.clone()),
            ..Default::default()
        }],
        output_symlinks: vec![api::OutputSymlink {
            path: "link".to_owned(),
            target: "/anywhere".to_owned(),
            node_properties: Some(properties),
        }],
        output_directories: vec![api::OutputDirectory {
            path: "folder".to_owned(),
            tree_digest: Some(wire(tree)),
            ..Default::default()
        }],
        stdout_digest: Some(wire(&files[1])),
        stderr_raw: b"said".to_vec(),
        exit_code: 3,
        execution_metadata: Some(api::ExecutedActionMetadata {
            worker: "worker".to_owned(),
            queued_timestamp: Some(Timestamp {
                seconds: 1,
                nanos: 2,
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_comes_back_with_all_that_it_had_in_its_instance_only() {
    let server = Server::start();
    let files = put(&server, &[b"file", b"out"]).await;
    let tree = put(&server, &[&api::Tree::default().encode_to_vec(), b"x"]).await[0];
    let result = full(&files, &tree);
    update(&server, "main", &result).await;
    assert_eq!(get(&server, "main").await.unwrap(), result);
    assert_eq!(
        get(&server, "other").await.unwrap_err().code(),
        Code::NotFound
    );
    // A later result takes the place of the earlier one.
    let later = api::ActionResult {
        exit_code: 9,
        ..result
    };
    update(&server, "main", &later).await;
    assert_eq!(get(&server, "main").await.unwrap(), later);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_missing_while_anything_that_it_names_is() {
    let server = Server::start();
    let inner = RemoteDigest::of(b"in the tree");
    let directory = |files: Vec<api::FileNode>| api::Directory {
        files,
        ..Default::default()
    };
    let tree = api::Tree {
        root: Some(directory(Vec::new())),
        children: vec![directory(vec![api::FileNode {
            name: "inner".to_owned(),
            digest: Some(wire(&inner)),
            ..Default::default()
        }])],
    };
    let tree = tree.encode_to_vec();
    let blobs: [&[u8]; 4] = [b"file", b"out", &tree, b"in the tree"];
    let digests = blobs.map(RemoteDigest::of);
    update(&server, "", &full(&digests, &digests[2])).await;
    assert_eq!(get(&server, "").await.unwrap_err().code(), Code::NotFound);
    put(&server, &blobs).await;
    for digest in &digests {
        get(&server, "").await.unwrap();
        fs::remove_file(server.blob_path(digest)).unwrap();
        assert_eq!(get(&server, "").await.unwrap_err().code(), Code::NotFound);
        put(&server, &blobs).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_result_is_a_missing_one() {
    let server = Server::start();
    update(
        &server,
        "",
        &api::ActionResult {
            exit_code: 1,
            ..Default::default()
        },
    )
    .await;
    get(&server, "").await.unwrap();
    let record = server.files("actions").remove(0);
    let mut bytes = fs::read(&record).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&record, bytes).unwrap();
    assert_eq!(get(&server, "").await.unwrap_err().code(), Code::NotFound);
    assert!(!record.exists());
}

async fn tree(
    server: &Server,
    root: &RemoteDigest,
    size: i32,
    token: &str,
) -> Result<Vec<api::GetTreeResponse>, Status> {
    let request = api::GetTreeRequest {
        root_digest: Some(wire(root)),
        page_size: size,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let mut stream = server.blobs().await.get_tree(request).await?.into_inner();
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await? {
        pages.push(page);
    }
    Ok(pages)
}

fn parent(children: &[&RemoteDigest]) -> Vec<u8> {
    let node = |(at, digest): (usize, &&RemoteDigest)| api::DirectoryNode {
        name: at.to_string(),
        digest: Some(wire(digest)),
    };
    let directory = api::Directory {
        directories: children.iter().enumerate().map(node).collect(),
        ..Default::default()
    };
    directory.encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_comes_in_pages_and_goes_on_at_a_token() {
    let server = Server::start();
    let leaves: Vec<Vec<u8>> = (0..5_u8)
        .map(|leaf| {
            let file = api::FileNode {
                name: leaf.to_string(),
                ..Default::default()
            };
            let directory = api::Directory {
                files: vec![file],
                ..Default::default()
            };
            directory.encode_to_vec()
        })
        .collect();
    let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    let leaves = put(&server, &leaves).await;
    let absent = RemoteDigest::of(b"absent");
    let mut children: Vec<_> = leaves.iter().collect();
    children.push(&absent);
    let root = put(&server, &[&parent(&children)]).await[0];
    let pages = tree(&server, &root, 4, "").await.unwrap();
    let sizes: Vec<_> = pages.iter().map(|page| page.directories.len()).collect();
    assert_eq!(sizes, [4, 2]);
    let again = tree(&server, &root, 4, &pages[0].next_page_token).await;
    assert_eq!(again.unwrap(), pages[1..]);
    assert_eq!(tree(&server, &root, 0, "").await.unwrap().len(), 1);
    for (size, token) in [(-1, ""), (0, "x"), (0, "7"), (0, "-1")] {
        let refused = tree(&server, &root, size, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{size} {token}");
    }
    let gone = tree(&server, &absent, 0, "").await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_would_unfold_without_end_does_not() {
    let server = Server::start();
    let mut below = RemoteDigest::of(&parent(&[]));
    for _ in 0..64 {
        below = put(&server, &[&parent(&[&below, &below])]).await[0];
    }
    let pages = tree(&server, &below, 0, "").await.unwrap();
    assert_eq!(pages[0].directories.len(), 65);
    assert!(pages[0].next_page_token.is_empty());
}
