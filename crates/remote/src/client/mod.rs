//! The client. It is used from ordinary threads and owns the one thread that speaks to the network.
//!
//! A remote that is slow, wrong or gone never holds a build up: each call has a deadline, and after the
//! first failure of the remote as a whole the client is off. Then each call says so at once, and the
//! failure waits to be reported once. A blob that arrives damaged, and a request that is refused, are
//! no such failures.

mod action;
mod batches;
mod channel;
mod error;
mod link;
mod options;
mod streams;

pub use action::{RemoteAction, RemoteFile, RemoteLink};
pub use error::RemoteError;
pub use options::RemoteOptions;

use crate::digest::RemoteDigest;
use crate::protocol::messages::{
    ActionResult, Digest, FindMissingBlobsRequest, FindMissingBlobsResponse,
    GetActionResultRequest, GetCapabilitiesRequest, ServerCapabilities, UpdateActionResultRequest,
};
use crate::protocol::{BATCH_BYTES_MAX, SHA256, method};
use link::Link;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::OnceLock;
use tonic::Code;

/// Up to here a blob goes into a batch rather than into a stream of its own.
const SMALL_BYTES_MAX: u64 = 512 << 10;

/// How many blobs are asked for at once.
const ASKED_MAX: usize = 20_000;

/// A remote cache, as a build uses it. Its methods wait, so they must not be called where futures run.
#[derive(Debug)]
pub struct RemoteCache {
    link: Link,
    limits: OnceLock<Limits>,
}

/// What the remote can do.
#[derive(Debug, Clone, Copy)]
struct Limits {
    batch_bytes_max: u64,
    is_read_only: bool,
}

impl RemoteCache {
    /// Prepares a client. It connects with the first call.
    ///
    /// # Errors
    /// [`RemoteError`] where the options make no sense.
    pub fn connect(options: RemoteOptions) -> Result<Self, RemoteError> {
        Ok(Self {
            link: Link::new(options)?,
            limits: OnceLock::new(),
        })
    }

    /// Whether the remote failed, and is asked no more.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.link.is_off()
    }

    /// The failure that switched the client off, to whoever asks first.
    #[must_use]
    pub fn take_failure(&self) -> Option<RemoteError> {
        self.link.take_failure()
    }

    /// The result that was put under a key, if the remote has it and everything it names.
    ///
    /// # Errors
    /// [`RemoteError::Unsigned`] where a signing key is set and the result was not signed with it;
    /// [`RemoteError`] where the remote fails.
    pub fn get_action(&self, key: &[u8; 32]) -> Result<Option<RemoteAction>, RemoteError> {
        let (digest, _) = action::action(key);
        let request = GetActionResultRequest {
            instance_name: self.link.options.instance.clone(),
            action_digest: Some(digest.into()),
            digest_function: SHA256,
        };
        let answer: Result<ActionResult, _> = self.link.try_unary(method::GET_ACTION, request)?;
        match answer {
            Ok(result) => {
                let signing = self.link.options.signing_key.as_ref();
                action::decode(key, &result, signing).map(Some)
            }
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.link.judge(&status)),
        }
    }

    /// Puts a result under a key. Its blobs must be there already.
    ///
    /// # Errors
    /// [`RemoteError`] where the remote refuses it or fails.
    pub fn put_action(&self, key: &[u8; 32], action: &RemoteAction) -> Result<(), RemoteError> {
        if self.limits()?.is_read_only {
            return Err(RemoteError::ReadOnly);
        }
        let (digest, messages) = action::action(key);
        self.write_blobs(messages.map(Into::into).into())?;
        let signing = self.link.options.signing_key.as_ref();
        let request = UpdateActionResultRequest {
            instance_name: self.link.options.instance.clone(),
            action_digest: Some(digest.into()),
            action_result: Some(action::encode(key, action, signing)),
            digest_function: SHA256,
        };
        let _same: ActionResult = self.link.unary(method::UPDATE_ACTION, request)?;
        Ok(())
    }

    /// Which of these blobs the remote lacks.
    ///
    /// # Errors
    /// [`RemoteError`] where the remote fails.
    pub fn missing(&self, digests: &[RemoteDigest]) -> Result<Vec<RemoteDigest>, RemoteError> {
        self.link.check_on()?;
        let mut lacking = HashSet::new();
        let asked = digests.iter().filter(|digest| !digest.is_empty_blob());
        let asked: Vec<RemoteDigest> = asked.copied().collect();
        for asked in asked.chunks(ASKED_MAX) {
            let request = FindMissingBlobsRequest {
                instance_name: self.link.options.instance.clone(),
                blob_digests: asked.iter().map(|digest| Digest::from(*digest)).collect(),
                digest_function: SHA256,
            };
            let answer: FindMissingBlobsResponse =
                self.link.unary(method::FIND_MISSING, request)?;
            lacking.extend(answer.missing_blob_digests);
        }
        let mut missing: Vec<RemoteDigest> = digests
            .iter()
            .filter(|digest| lacking.contains(&Digest::from(**digest)))
            .copied()
            .collect();
        missing.sort_unstable();
        missing.dedup();
        Ok(missing)
    }

    /// Reads a blob, verified while it arrives: after an error, what was written is to be thrown away.
    ///
    /// # Errors
    /// [`RemoteError::Missing`], [`RemoteError::Damaged`]; [`RemoteError::Local`] where `into` fails;
    /// [`RemoteError`] where the remote fails.
    pub fn read(&self, digest: &RemoteDigest, into: &mut dyn Write) -> Result<(), RemoteError> {
        if digest.is_empty_blob() {
            return self.link.check_on();
        }
        self.read_stream(digest, into)
    }

    /// Reads small blobs, many in one call, in the order of their names.
    ///
    /// # Errors
    /// For a blob: [`RemoteError::Missing`] or [`RemoteError::Damaged`]. For all:
    /// [`RemoteError::TooLarge`] where one fits into no batch; [`RemoteError`] where the remote fails.
    pub fn read_small(
        &self,
        digests: &[RemoteDigest],
    ) -> Result<Vec<Result<Vec<u8>, RemoteError>>, RemoteError> {
        let read = self.read_blobs(digests)?.into_iter();
        Ok(read.map(|blob| blob.map(Into::into)).collect())
    }

    /// Sends a blob; a small one in a batch, a large one as a stream.
    ///
    /// # Errors
    /// [`RemoteError::Mismatch`] where `from` has other bytes; [`RemoteError::Local`] where it fails;
    /// [`RemoteError`] where the remote refuses it or fails.
    pub fn write(&self, digest: &RemoteDigest, mut from: impl Read) -> Result<(), RemoteError> {
        let is_small = digest.size <= SMALL_BYTES_MAX.min(self.limits()?.batch_bytes_max / 2);
        if !is_small {
            return self.write_stream(digest, &mut from);
        }
        let mut bytes = Vec::new();
        let read = from.take(digest.size + 1).read_to_end(&mut bytes);
        read.map_err(RemoteError::local)?;
        if RemoteDigest::of(&bytes) != *digest {
            return Err(RemoteError::Mismatch { digest: *digest });
        }
        self.write_blobs(vec![bytes.into()])
    }

    /// Sends small blobs, many in one call.
    ///
    /// # Errors
    /// [`RemoteError::TooLarge`] where one fits into no batch; [`RemoteError`] where the remote refuses
    /// one or fails.
    pub fn write_small(&self, blobs: Vec<Vec<u8>>) -> Result<(), RemoteError> {
        self.write_blobs(blobs.into_iter().map(Into::into).collect())
    }

    /// What the remote can do; asked once. Servers that do not tell are taken to be like ours.
    fn limits(&self) -> Result<Limits, RemoteError> {
        self.link.check_on()?;
        if let Some(limits) = self.limits.get() {
            return Ok(*limits);
        }
        let request = GetCapabilitiesRequest {
            instance_name: self.link.options.instance.clone(),
        };
        let told: Result<ServerCapabilities, _> =
            self.link.try_unary(method::CAPABILITIES, request)?;
        let told = match told {
            Ok(told) => told.cache_capabilities,
            Err(status) if status.code() == Code::Unimplemented => None,
            Err(status) => return Err(self.link.judge(&status)),
        };
        let mut limits = Limits {
            batch_bytes_max: BATCH_BYTES_MAX as u64,
            is_read_only: false,
        };
        if let Some(told) = told {
            if !told.digest_functions.is_empty() && !told.digest_functions.contains(&SHA256) {
                return Err(self.link.fail(RemoteError::Unusable {
                    url: self.link.options.url.clone(),
                    code: "Unimplemented".to_owned(),
                    message: "it does not know SHA-256".to_owned(),
                }));
            }
            // 0 says that there is no limit but that of a message.
            if let Ok(max @ 1..) = u64::try_from(told.max_batch_total_size_bytes) {
                limits.batch_bytes_max = limits.batch_bytes_max.min(max);
            }
            let update = told.action_cache_update;
            limits.is_read_only = update.is_some_and(|update| !update.update_enabled);
        }
        Ok(*self.limits.get_or_init(|| limits))
    }
}
