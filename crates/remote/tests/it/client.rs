//! Our client with our server.

use crate::harness::{Server, noise};
use mainstay_remote::{
    RemoteAction, RemoteCache, RemoteDigest, RemoteError, RemoteFile, RemoteLink, RemoteOptions,
    SigningKey,
};
use std::fs;

pub(crate) fn sample(digests: &[RemoteDigest]) -> RemoteAction {
    let file = |(at, digest): (usize, &RemoteDigest)| RemoteFile {
        path: format!("out/{at}"),
        digest: *digest,
        is_executable: at == 0,
    };
    RemoteAction {
        files: digests.iter().enumerate().map(file).collect(),
        links: vec![RemoteLink {
            path: "out/link".to_owned(),
            target: "0".to_owned(),
        }],
        stdout: digests.first().copied(),
        stderr: Some(RemoteDigest::of(b"")),
        exit_code: 0,
    }
}

/// Everything a build does with a cache; run against our server and against others.
pub(crate) fn round_trip(client: &RemoteCache) {
    let blobs: Vec<Vec<u8>> = [0, 1, 1000, 600_000, 6_000_000]
        .into_iter()
        .map(|length| noise(length as u64, length))
        .collect();
    let digests: Vec<_> = blobs.iter().map(|blob| RemoteDigest::of(blob)).collect();
    let key = RemoteDigest::of(b"key").hash;
    assert_eq!(client.get_action(&key).unwrap(), None);
    let mut missing = client.missing(&digests).unwrap();
    let mut expected = digests[1..].to_vec();
    expected.sort_unstable();
    missing.sort_unstable();
    assert_eq!(missing, expected);
    for (digest, blob) in digests.iter().zip(&blobs) {
        client.write(digest, blob.as_slice()).unwrap();
        // Twice does no harm.
        client.write(digest, blob.as_slice()).unwrap();
        let mut read = Vec::new();
        client.read(digest, &mut read).unwrap();
        assert!(read == *blob);
    }
    assert_eq!(client.missing(&digests).unwrap(), []);
    let action = sample(&digests);
    client.put_action(&key, &action).unwrap();
    assert_eq!(client.get_action(&key).unwrap(), Some(action));
    let absent = RemoteDigest::of(b"absent");
    let read = client.read(&absent, &mut Vec::new());
    assert!(
        matches!(read, Err(RemoteError::Missing { digest }) if digest == absent),
        "{read:?}"
    );
    let small = client
        .read_small(&[digests[1], absent, digests[2], digests[0]])
        .unwrap();
    assert_eq!(small[0].as_ref().unwrap(), &blobs[1]);
    assert!(matches!(small[1], Err(RemoteError::Missing { .. })));
    assert_eq!(small[2].as_ref().unwrap(), &blobs[2]);
    assert_eq!(small[3].as_ref().unwrap(), &blobs[0]);
    assert!(!client.is_off() && client.take_failure().is_none());
}

#[test]
fn what_a_build_does_works() {
    let server = Server::start();
    round_trip(&server.client());
}

#[test]
fn an_instance_a_token_and_a_key_go_along() {
    let server = Server::with(|options| options.token = Some("open".to_owned()));
    let mut options = RemoteOptions::new(&server.url());
    options.token = Some("open".to_owned());
    options.instance = "some/where".to_owned();
    options.signing_key = Some(SigningKey::new(b"shared"));
    round_trip(&RemoteCache::connect(options).unwrap());
}

#[test]
fn many_small_blobs_go_in_few_batches() {
    let server = Server::start();
    let client = server.client();
    let blobs: Vec<_> = (0..200).map(|seed| noise(seed, 100_000)).collect();
    let digests: Vec<_> = blobs.iter().map(|blob| RemoteDigest::of(blob)).collect();
    client.write_small(blobs.clone()).unwrap();
    let read = client.read_small(&digests).unwrap();
    let read: Vec<_> = read.into_iter().map(Result::unwrap).collect();
    assert!(read == blobs);
    let large = RemoteDigest {
        size: 5_000_000,
        ..digests[0]
    };
    assert!(matches!(
        client.read_small(&[large]),
        Err(RemoteError::TooLarge { .. })
    ));
}

#[test]
fn whatever_changed_while_it_was_read_is_not_sent() {
    let server = Server::start();
    let client = server.client();
    for length in [10, 2_000_000] {
        let bytes = noise(1, length);
        let digest = RemoteDigest::of(&bytes);
        let mut other = bytes.clone();
        other[length / 2] ^= 1;
        let longer = [bytes.as_slice(), b"x"].concat();
        for wrong in [&other, &longer, &bytes[1..].to_vec()] {
            let refused = client.write(&digest, wrong.as_slice());
            assert!(matches!(refused, Err(RemoteError::Mismatch { .. })));
        }
        assert_eq!(client.missing(&[digest]).unwrap(), [digest]);
        client.write(&digest, bytes.as_slice()).unwrap();
    }
    assert!(!client.is_off());
}

#[test]
fn a_result_that_is_not_signed_is_not_believed() {
    let server = Server::start();
    let mut options = RemoteOptions::new(&server.url());
    let key = [1; 32];
    let unsigned = server.client();
    unsigned.put_action(&key, &sample(&[])).unwrap();
    options.signing_key = Some(SigningKey::new(b"shared"));
    let client = RemoteCache::connect(options).unwrap();
    assert!(matches!(
        client.get_action(&key),
        Err(RemoteError::Unsigned)
    ));
    client.put_action(&key, &sample(&[])).unwrap();
    assert!(client.get_action(&key).unwrap().is_some());
    assert!(!client.is_off());
}

#[test]
fn a_read_only_server_is_read() {
    let mut server = Server::start();
    let digest = RemoteDigest::of(b"kept");
    server.client().write(&digest, &b"kept"[..]).unwrap();
    server.restart(|options| options.is_read_only = true);
    let client = server.client();
    let refused = client.put_action(&[1; 32], &sample(&[]));
    assert!(matches!(refused, Err(RemoteError::ReadOnly)));
    let refused = client.write(&RemoteDigest::of(b"new"), &b"new"[..]);
    assert!(
        matches!(refused, Err(RemoteError::Rejected { .. })),
        "{refused:?}"
    );
    client.read(&digest, &mut Vec::new()).unwrap();
    assert!(!client.is_off());
}

#[test]
fn a_result_whose_blobs_are_gone_is_none() {
    let server = Server::start();
    let client = server.client();
    let digest = RemoteDigest::of(b"blob");
    client.write(&digest, &b"blob"[..]).unwrap();
    client.put_action(&[1; 32], &sample(&[digest])).unwrap();
    assert!(client.get_action(&[1; 32]).unwrap().is_some());
    fs::remove_file(server.blob_path(&digest)).unwrap();
    assert_eq!(client.get_action(&[1; 32]).unwrap(), None);
}
