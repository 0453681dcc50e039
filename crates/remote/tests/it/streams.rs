//! Blobs as streams.

use crate::harness::{Server, Streams, missing, noise, put, wait_for};
use bazel_remote_apis::google::bytestream as api;
use mainstay_remote::RemoteDigest;
use std::fs;
use tonic::{Code, Status};

pub(crate) async fn read(
    streams: &mut Streams,
    name: String,
    offset: i64,
    limit: i64,
) -> Result<Vec<u8>, Status> {
    let request = api::ReadRequest {
        resource_name: name,
        read_offset: offset,
        read_limit: limit,
    };
    let mut stream = streams.read(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await? {
        bytes.extend(message.data);
    }
    Ok(bytes)
}

pub(crate) fn messages(
    name: &str,
    from: usize,
    bytes: &[u8],
    is_last: bool,
) -> Vec<api::WriteRequest> {
    let chunks: Vec<_> = bytes.chunks(100_000).collect();
    let count = chunks.len();
    let message = |(at, chunk): (usize, &[u8])| api::WriteRequest {
        resource_name: if at == 0 {
            name.to_owned()
        } else {
            String::new()
        },
        write_offset: i64::try_from(from + at * 100_000).unwrap(),
        finish_write: is_last && at + 1 == count,
        data: chunk.to_vec(),
    };
    chunks.into_iter().enumerate().map(message).collect()
}

async fn write(streams: &mut Streams, messages: Vec<api::WriteRequest>) -> Result<i64, Status> {
    let answer = streams.write(futures_util::stream::iter(messages)).await?;
    Ok(answer.into_inner().committed_size)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_goes_in_and_comes_out_whole_and_in_parts() {
    let server = Server::start();
    let mut streams = server.streams().await;
    let bytes = noise(1, 3_000_001);
    let digest = RemoteDigest::of(&bytes);
    for instance in ["", "main/", "a/b/"] {
        let name = format!("{instance}uploads/0-1-2/blobs/{digest}");
        let written = write(&mut streams, messages(&name, 0, &bytes, true)).await;
        assert_eq!(written.unwrap(), 3_000_001);
        let name = format!("{instance}blobs/{digest}");
        assert_eq!(read(&mut streams, name, 0, 0).await.unwrap(), bytes);
    }
    let name = format!("blobs/{digest}");
    for (offset, limit) in [
        (0, 1),
        (2_999_999, 0),
        (1_000_000, 1_500_000),
        (3_000_001, 0),
    ] {
        let part = read(&mut streams, name.clone(), offset, limit)
            .await
            .unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = match limit {
            0 => bytes.len(),
            limit => start + usize::try_from(limit).unwrap(),
        };
        assert!(part == bytes[start..end], "{offset} {limit}");
    }
    for (offset, limit, code) in [
        (-1, 0, Code::OutOfRange),
        (3_000_002, 0, Code::OutOfRange),
        (0, -1, Code::InvalidArgument),
    ] {
        let refused = read(&mut streams, name.clone(), offset, limit).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_broke_off_goes_on() {
    let server = Server::start();
    let mut streams = server.streams().await;
    let bytes = noise(2, 1_000_000);
    let digest = RemoteDigest::of(&bytes);
    let name = format!("uploads/7/blobs/{digest}");
    let committed = write(&mut streams, messages(&name, 0, &bytes[..400_000], false)).await;
    assert_eq!(committed.unwrap(), 400_000);
    let asked = || api::QueryWriteStatusRequest {
        resource_name: name.clone(),
    };
    let status = streams
        .query_write_status(asked())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.committed_size, status.complete), (400_000, false));
    let wrong = write(
        &mut streams,
        messages(&name, 300_000, &bytes[300_000..], true),
    )
    .await;
    let wrong = wrong.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    assert!(wrong.message().contains("400000"), "{wrong}");
    // Whoever lost count begins anew.
    let committed = write(&mut streams, messages(&name, 0, &bytes[..200_000], false)).await;
    assert_eq!(committed.unwrap(), 200_000);
    let committed = write(
        &mut streams,
        messages(&name, 200_000, &bytes[200_000..400_000], false),
    );
    assert_eq!(committed.await.unwrap(), 400_000);
    let rest = messages(&name, 400_000, &bytes[400_000..], true);
    assert_eq!(write(&mut streams, rest).await.unwrap(), 1_000_000);
    let status = streams
        .query_write_status(asked())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.committed_size, status.complete), (1_000_000, true));
    assert!(missing(&server, &[digest]).await.is_empty());
    assert!(server.files("incoming").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_connection_breaks_can_go_on() {
    let server = Server::start();
    let bytes = noise(3, 600_000);
    let digest = RemoteDigest::of(&bytes);
    let name = format!("uploads/8/blobs/{digest}");
    let mut streams = server.streams().await;
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    for message in messages(&name, 0, &bytes[..300_000], false) {
        send.send(message).unwrap();
    }
    let endless = futures_util::stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|message| (message, receive))
    });
    let call = tokio::spawn({
        let mut streams = streams.clone();
        async move { streams.write(endless).await }
    });
    wait_for("bytes to arrive", || {
        let files = server.files("incoming");
        files
            .iter()
            .any(|file| fs::metadata(file).is_ok_and(|found| found.len() >= 300_000))
    });
    call.abort();
    let mut committed = 0;
    for _ in 0..10_000 {
        let asked = api::QueryWriteStatusRequest {
            resource_name: name.clone(),
        };
        let status = streams
            .query_write_status(asked)
            .await
            .unwrap()
            .into_inner();
        committed = status.committed_size;
        if committed == 300_000 {
            break;
        }
    }
    assert_eq!(committed, 300_000);
    let rest = messages(&name, 300_000, &bytes[300_000..], true);
    assert_eq!(write(&mut streams, rest).await.unwrap(), 600_000);
    drop(send);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_there_needs_no_second_upload() {
    let server = Server::start();
    let mut streams = server.streams().await;
    let digest = put(&server, &[b"there"]).await[0];
    let name = format!("uploads/1/blobs/{digest}");
    let first = messages(&name, 0, b"th", false);
    assert_eq!(write(&mut streams, first).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_refused_and_leave_nothing() {
    let server = Server::start();
    let mut streams = server.streams().await;
    let digest = RemoteDigest::of(b"right");
    let name = format!("uploads/1/blobs/{digest}");
    for wrong in [&b"wrong"[..], b"cut", b"too long"] {
        let refused = write(&mut streams, messages(&name, 0, wrong, true)).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    assert!(server.files("cas").is_empty());
    assert!(server.files("incoming").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_damaged_blob_is_never_begun() {
    let server = Server::start();
    let bytes = noise(4, 2_000_000);
    let digest = put(&server, &[&bytes]).await[0];
    let mut damaged = bytes.clone();
    damaged[1_999_999] ^= 1;
    fs::write(server.blob_path(&digest), damaged).unwrap();
    let mut streams = server.streams().await;
    let gone = read(&mut streams, format!("blobs/{digest}"), 0, 0).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    assert!(!server.blob_path(&digest).exists());
}
