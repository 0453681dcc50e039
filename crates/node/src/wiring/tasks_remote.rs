//! The task runner's remote cache: results of ours as actions of the remote execution API.
//!
//! The file of a result and its blobs are outputs of an action whose name is the task's key. What comes back
//! is checked by the runner against the digests that it knows.

use crate::secrets;
use mainstay_contract::{Digest, ErrorReport};
use mainstay_manifest::{RemoteCache as Declared, SecretRef};
use mainstay_remote::{
    RemoteAction, RemoteCache, RemoteDigest, RemoteError, RemoteFile, RemoteOptions, SigningKey,
};
use mainstay_runner::workspace::Workspace;
use mainstay_runner::{Remote, RemoteBlob, RemoteResult};
use mainstay_tasks::TaskKey;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const RESULT: &str = "mainstay/result";
const BLOBS: &str = "mainstay/blobs/";

/// The larger file of a result is not one of ours.
const RESULT_BYTES_MAX: u64 = 64 << 20;

/// The remote cache of a workspace.
pub struct SharedCache {
    cache: RemoteCache,
    is_read_only: bool,
}

impl SharedCache {
    /// The cache that a workspace declares, if any. Connects when it is first asked.
    ///
    /// # Errors
    /// The report of a secret that cannot be read, or of an address that is none.
    pub fn of(workspace: &Workspace) -> Result<Option<Self>, Box<ErrorReport>> {
        let Some(declared) = &workspace.cache.remote else {
            return Ok(None);
        };
        let secret = |wanted: &Option<SecretRef>| match wanted {
            None => Ok(None),
            Some(SecretRef { secret: name }) => match workspace.secrets.get(name) {
                Some(source) => secrets::read(name, source, &workspace.root).map(Some),
                None => Ok(None),
            },
        };
        let Declared {
            url,
            instance,
            token,
            sign,
            read_only,
            timeout,
        } = declared;
        let mut options = RemoteOptions::new(url);
        options.instance.clone_from(instance);
        options.token = secret(token)?.map(|secret| secret.expose().to_owned());
        options.signing_key = secret(sign)?.map(|key| SigningKey::new(key.expose().as_bytes()));
        if let Some(timeout) = timeout {
            options.call = *timeout;
        }
        let cache = RemoteCache::connect(options).map_err(|error| {
            let code = mainstay_contract::Code::ManifestInvalid;
            Box::new(ErrorReport::new(code, error.to_string()).about("cache", url.clone()))
        })?;
        Ok(Some(Self {
            cache,
            is_read_only: *read_only,
        }))
    }

    fn added(
        &self,
        key: &TaskKey,
        result: Vec<u8>,
        blobs: Vec<(Digest, PathBuf)>,
    ) -> Result<(), RemoteError> {
        let mut files = vec![RemoteFile {
            path: RESULT.to_owned(),
            digest: RemoteDigest::of(&result),
            is_executable: false,
        }];
        let local = |error: io::Error| RemoteError::Local(error.into());
        let mut paths = BTreeMap::new();
        for (digest, path) in blobs {
            let remote = hashed(&path).map_err(local)?;
            paths.insert(remote, path);
            files.push(RemoteFile {
                path: format!("{BLOBS}{digest}"),
                digest: remote,
                is_executable: false,
            });
        }
        let wanted: Vec<RemoteDigest> = paths.keys().copied().collect();
        for digest in self.cache.missing(&wanted)? {
            if let Some(path) = paths.get(&digest) {
                self.cache
                    .write(&digest, File::open(path).map_err(local)?)?;
            }
        }
        self.cache.write_small(vec![result])?;
        let action = RemoteAction {
            files,
            links: Vec::new(),
            stdout: None,
            stderr: None,
            exit_code: 0,
        };
        self.cache.put_action(&key.0.0, &action)
    }

    fn found(&self, key: &TaskKey) -> Result<Option<RemoteResult>, RemoteError> {
        let Some(action) = self.cache.get_action(&key.0.0)? else {
            return Ok(None);
        };
        let mut result = None;
        let mut blobs = BTreeMap::new();
        for file in action.files {
            let RemoteDigest { hash, size } = file.digest;
            if file.path == RESULT && size <= RESULT_BYTES_MAX {
                let mut bytes = Vec::new();
                self.cache.read(&file.digest, &mut bytes)?;
                result = Some(bytes);
            } else if let Some(Ok(digest)) = file.path.strip_prefix(BLOBS).map(str::parse) {
                blobs.insert(digest, RemoteBlob { hash, bytes: size });
            }
        }
        Ok(result.map(|result| RemoteResult { result, blobs }))
    }
}

/// The name of a file's content for the remote.
fn hashed(path: &Path) -> io::Result<RemoteDigest> {
    RemoteDigest::of_reader(File::open(path)?)
}

impl Remote for SharedCache {
    fn find(&self, key: &TaskKey) -> Option<RemoteResult> {
        self.found(key).unwrap_or_else(|error| {
            tracing::debug!(%key, %error, "the remote cache has no answer");
            None
        })
    }

    fn read(&self, blob: &RemoteBlob, to: &mut dyn Write) -> bool {
        let digest = RemoteDigest {
            hash: blob.hash,
            size: blob.bytes,
        };
        self.cache.read(&digest, to).is_ok()
    }

    fn add(&self, key: &TaskKey, result: Vec<u8>, blobs: Vec<(Digest, PathBuf)>) {
        if let Err(error) = self.added(key, result, blobs) {
            tracing::debug!(%key, %error, "a result was not sent to the remote cache");
        }
    }

    fn takes(&self) -> bool {
        !self.is_read_only
    }

    fn failure(&self) -> Option<String> {
        self.cache.take_failure().map(|error| {
            let source = std::error::Error::source(&error);
            match source {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            }
        })
    }
}
