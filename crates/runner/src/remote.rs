//! A cache that others share: asked where ours has no answer, and given what we made. Whatever it does
//! wrong costs a run nothing but the answer.

use crate::store::{Entry, Store, parse};
use mainstay_contract::Digest;
use mainstay_tasks::{Content, TaskKey};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

/// A cache that others share. No call takes for ever; once it has failed, it answers at once that it has
/// nothing.
pub trait Remote: Sync {
    /// The result under a key.
    fn find(&self, key: &TaskKey) -> Option<RemoteResult>;

    /// Writes a blob; `false` where it cannot be had.
    fn read(&self, blob: &RemoteBlob, to: &mut dyn Write) -> bool;

    /// Adds a result; its blobs are files.
    fn add(&self, key: &TaskKey, result: Vec<u8>, blobs: Vec<(Digest, PathBuf)>);

    /// Whether anything is to be added.
    fn takes(&self) -> bool;

    /// Why it gives no answers, or not all: told once.
    fn failure(&self) -> Option<String>;
}

/// A blob as the remote calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteBlob {
    /// The SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// How many there are.
    pub bytes: u64,
}

/// A result as the remote has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteResult {
    /// The file that our cache has for it.
    pub result: Vec<u8>,
    /// Its blobs, by the digests that we know them by.
    pub blobs: BTreeMap<Digest, RemoteBlob>,
}

/// Brings a result over into our cache; `false` where it cannot be had whole.
pub(crate) fn pull(store: &Store, remote: &dyn Remote, key: &TaskKey) -> bool {
    let Some(found) = remote.find(key) else {
        return false;
    };
    // Nothing that comes from there is believed.
    let Some(Entry::Result(result, small)) = parse(&found.result) else {
        return false;
    };
    if result.ingredients.key() != *key {
        return false;
    }
    let pulled = || -> io::Result<bool> {
        let _adding = store.adding()?;
        for content in result.contents() {
            if small.contains_key(&content.digest) || store.has(content) {
                continue;
            }
            let Some(blob) = found.blobs.get(&content.digest) else {
                return Ok(false);
            };
            if !pull_blob(store, remote, blob, content)? {
                return Ok(false);
            }
        }
        store.add(key, &result, &small)?;
        Ok(true)
    };
    pulled().unwrap_or_else(|error| {
        tracing::debug!(%key, %error, "a remote result was not taken over");
        false
    })
}

fn pull_blob(
    store: &Store,
    remote: &dyn Remote,
    blob: &RemoteBlob,
    content: &Content,
) -> io::Result<bool> {
    let mut spool = store.spool();
    if !remote.read(blob, &mut spool) {
        return Ok(false);
    }
    spool.keep_as(content)
}

/// Sends results while the run goes on.
pub(crate) struct Uploads<'scope> {
    keys: Option<Sender<TaskKey>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Uploads<'scope> {
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        store: &'env Store,
        remote: Option<&'env dyn Remote>,
    ) -> Self {
        let Some(remote) = remote.filter(|remote| remote.takes()) else {
            return Self {
                keys: None,
                thread: None,
            };
        };
        let (keys, wanted) = channel();
        Self {
            keys: Some(keys),
            thread: Some(scope.spawn(move || push_all(store, remote, &wanted))),
        }
    }

    /// Sends a result when there is time.
    pub(crate) fn push(&self, key: TaskKey) {
        if let Some(keys) = &self.keys {
            let _nobody_left = keys.send(key);
        }
    }

    /// Waits until everything was sent, or the remote has failed.
    pub(crate) fn finish(mut self) {
        self.keys = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn push_all(store: &Store, remote: &dyn Remote, keys: &Receiver<TaskKey>) {
    for key in keys {
        let Ok(Some(kept)) = store.find(&key) else {
            continue;
        };
        let Ok(bytes) = store.result_file(&key) else {
            continue;
        };
        let contents = kept.result.contents();
        let blobs = contents.filter(|content| kept.contents.is_blob(content));
        let blobs = blobs.map(|content| (content.digest, store.blob(&content.digest)));
        remote.add(&key, bytes, blobs.collect());
    }
}
