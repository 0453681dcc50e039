//! A directory and all below it, in pages.

use super::{Answers, Shared, check_function, digest, status};
use crate::RemoteDigest;
use crate::protocol::messages::{Directory, GetTreeRequest, GetTreeResponse};
use crate::store::{Store, StoreError};
use futures_util::stream::{self, StreamExt};
use prost::Message;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tonic::Status;

/// One directory that is larger is treated as missing.
const DIRECTORY_BYTES_MAX: u64 = 4_000_000;

/// A page ends at so many bytes, however many directories were asked for.
const PAGE_BYTES_MAX: usize = 2_000_000;

const PAGE_DIRECTORIES: usize = 1000;

/// Where a walk stands.
struct Walk {
    queue: VecDeque<RemoteDigest>,
    /// Each directory is given once, so that a small tree cannot unfold into an endless one.
    seen: HashSet<RemoteDigest>,
    given: usize,
}

pub(super) async fn get(
    shared: Arc<Shared>,
    request: GetTreeRequest,
) -> Result<Answers<GetTreeResponse>, Status> {
    check_function(request.digest_function)?;
    let root = digest(request.root_digest.as_ref())?;
    let wrong_token = || Status::invalid_argument("no page has this token");
    let skipped: usize = match request.page_token.as_str() {
        "" => 0,
        token => token.parse().map_err(|_| wrong_token())?,
    };
    let page = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DIRECTORIES,
        Ok(size) => size.min(PAGE_DIRECTORIES),
        Err(_) => return Err(Status::invalid_argument("a page has no negative size")),
    };
    let begun = shared.store.run(move |store| {
        let mut walk = Walk::new(root);
        let is_here = store.contains(&root);
        // The walk is the same each time, so a token need only count.
        while walk.given < skipped && walk.next(store)?.is_some() {}
        Ok(is_here.then_some(walk))
    });
    let begun = begun.await.map_err(|error| status(&error))?;
    let walk = begun.ok_or_else(|| Status::not_found("no such directory"))?;
    if walk.given < skipped {
        return Err(wrong_token());
    }
    let pages = stream::try_unfold(Some(walk), move |walk| {
        let shared = Arc::clone(&shared);
        async move {
            let Some(mut walk) = walk else {
                return Ok(None);
            };
            let turned = shared.store.run(move |store| {
                let answer = walk.page(store, page)?;
                Ok((answer, walk))
            });
            let (answer, walk) = turned.await.map_err(|error| status(&error))?;
            let is_last = answer.next_page_token.is_empty();
            Ok(Some((answer, (!is_last).then_some(walk))))
        }
    });
    Ok(pages.boxed())
}

impl Walk {
    fn new(root: RemoteDigest) -> Self {
        Self {
            queue: VecDeque::from([root]),
            seen: HashSet::from([root]),
            given: 0,
        }
    }

    /// The next directory; those that are not here are left out.
    fn next(&mut self, store: &Store) -> Result<Option<Directory>, StoreError> {
        while let Some(digest) = self.queue.pop_front() {
            let bytes = match store.read_blob(&digest, DIRECTORY_BYTES_MAX) {
                Err(StoreError::TooLarge { .. }) => None,
                read => read?,
            };
            let Some(directory) = bytes.and_then(|bytes| Directory::decode(bytes).ok()) else {
                continue;
            };
            let below = directory.directories.iter();
            let below = below.filter_map(|node| RemoteDigest::try_from(node.digest.as_ref()?).ok());
            for digest in below {
                if self.seen.insert(digest) {
                    self.queue.push_back(digest);
                }
            }
            self.given += 1;
            return Ok(Some(directory));
        }
        Ok(None)
    }

    fn page(&mut self, store: &Store, size: usize) -> Result<GetTreeResponse, StoreError> {
        let mut directories = Vec::new();
        let mut bytes = 0;
        while directories.len() < size && bytes < PAGE_BYTES_MAX {
            let Some(directory) = self.next(store)? else {
                break;
            };
            bytes += directory.encoded_len();
            directories.push(directory);
        }
        let next_page_token = match self.queue.is_empty() {
            true => String::new(),
            false => self.given.to_string(),
        };
        Ok(GetTreeResponse {
            directories,
            next_page_token,
        })
    }
}
