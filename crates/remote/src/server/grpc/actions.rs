//! Results of actions. One is only given out while everything that it names is here.

use super::{Shared, check_function, check_writable, digest, status};
use crate::RemoteDigest;
use crate::protocol::messages::{
    ActionResult, Directory, GetActionResultRequest, Tree, UpdateActionResultRequest,
};
use crate::store::{Key, Store, StoreError};
use prost::Message;
use std::sync::Arc;
use tonic::Status;

/// A larger tree of output directories is not looked into: its action is a miss.
const TREE_BYTES_MAX: u64 = 32 << 20;

pub(super) async fn get(
    shared: Arc<Shared>,
    request: GetActionResultRequest,
) -> Result<ActionResult, Status> {
    check_function(request.digest_function)?;
    let action = digest(request.action_digest.as_ref())?;
    let key = Key::action(&request.instance_name, &action);
    let found = shared.store.run(move |store| complete(store, &key)).await;
    found
        .map_err(|error| status(&error))?
        .ok_or_else(|| Status::not_found("no such result"))
}

pub(super) async fn update(
    shared: Arc<Shared>,
    request: UpdateActionResultRequest,
) -> Result<ActionResult, Status> {
    check_function(request.digest_function)?;
    check_writable(&shared)?;
    let action = digest(request.action_digest.as_ref())?;
    let missing = || Status::invalid_argument("the result is missing");
    let result = request.action_result.ok_or_else(missing)?;
    let named = direct(&result);
    let named = named.map_err(|_| Status::invalid_argument("the result names a wrong digest"))?;
    let key = Key::action(&request.instance_name, &action);
    let record = result.encode_to_vec();
    let put = move |store: &Store| store.put_record(key, &record, &named);
    shared
        .store
        .run(put)
        .await
        .map_err(|error| status(&error))?;
    Ok(result)
}

fn complete(store: &Store, key: &Key) -> Result<Option<ActionResult>, StoreError> {
    let Some(record) = store.record(key)? else {
        return Ok(None);
    };
    let Ok(result) = ActionResult::decode(record.as_slice()) else {
        return Ok(None);
    };
    let Some(named) = all(store, &result)? else {
        return Ok(None);
    };
    // Before the blobs are asked for, so that their use is the later one and they outlive it.
    store.touch_after(key, &[]);
    let is_complete = named.iter().all(|blob| store.contains(blob));
    Ok(is_complete.then_some(result))
}

/// The blobs that a result names itself.
fn direct(result: &ActionResult) -> Result<Vec<RemoteDigest>, crate::InvalidDigest> {
    let files = result.output_files.iter();
    // A file whose contents are in the result needs no blob.
    let files = files
        .filter(|file| file.contents.is_empty())
        .map(|file| file.digest.as_ref());
    let trees = result.output_directories.iter();
    let trees = trees.flat_map(|tree| [&tree.tree_digest, &tree.root_directory_digest]);
    let streams = [&result.stdout_digest, &result.stderr_digest].into_iter();
    let rest = streams.chain(trees).map(Option::as_ref);
    let all = files.chain(rest).flatten().map(RemoteDigest::try_from);
    all.collect()
}

/// The blobs that a result needs, those in its trees as well; none where a tree cannot be read.
fn all(store: &Store, result: &ActionResult) -> Result<Option<Vec<RemoteDigest>>, StoreError> {
    let Ok(mut named) = direct(result) else {
        return Ok(None);
    };
    for output in &result.output_directories {
        let Some(digest) = &output.tree_digest else {
            continue;
        };
        let Some(files) = tree_files(store, digest)? else {
            return Ok(None);
        };
        named.extend(files);
    }
    Ok(Some(named))
}

fn tree_files(
    store: &Store,
    digest: &crate::protocol::messages::Digest,
) -> Result<Option<Vec<RemoteDigest>>, StoreError> {
    let Ok(digest) = RemoteDigest::try_from(digest) else {
        return Ok(None);
    };
    let bytes = match store.read_blob(&digest, TREE_BYTES_MAX) {
        Err(StoreError::TooLarge { .. }) => return Ok(None),
        read => read?,
    };
    let Some(tree) = bytes.and_then(|bytes| Tree::decode(bytes).ok()) else {
        return Ok(None);
    };
    let directories = tree.root.iter().chain(&tree.children);
    let files = directories.flat_map(|directory: &Directory| &directory.files);
    let digests = files.filter_map(|file| file.digest.as_ref());
    let digests: Result<_, _> = digests.map(RemoteDigest::try_from).collect();
    Ok(digests.ok())
}
