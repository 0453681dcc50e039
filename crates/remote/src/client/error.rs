//! What a caller of the cache can hear.

use crate::digest::RemoteDigest;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why the remote cache did not do it. A build goes on after each of these.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemoteError {
    /// The remote failed before, and is asked no more.
    #[error("the remote cache is off since an earlier failure")]
    Off,
    /// The address is none.
    #[error("`{url}` is no address of a remote cache: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The token has characters that no header can carry.
    #[error("the token has characters that cannot be sent")]
    Token,
    /// The client's own thread cannot be started, or its certificates are none.
    #[error("the client cannot be set up")]
    SetUp(#[source] Arc<dyn Error + Send + Sync>),
    /// Nobody answers there, or the connection broke. The client is off.
    #[error("{url} cannot be reached or broke off")]
    Unreachable {
        /// The remote.
        url: String,
        /// What the connection met.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The deadline passed. The client is off.
    #[error("{url} did not answer within {after:?}")]
    TimedOut {
        /// The remote.
        url: String,
        /// How long it was given.
        after: Duration,
    },
    /// The remote answers, and not as a cache that we may use. The client is off.
    #[error("{url} cannot be used: {message} ({code})")]
    Unusable {
        /// The remote.
        url: String,
        /// The kind of failure, in gRPC's words.
        code: String,
        /// What it said.
        message: String,
    },
    /// The remote did not take this one request.
    #[error("the remote cache did not take it: {message} ({code})")]
    Rejected {
        /// The kind of failure, in gRPC's words.
        code: String,
        /// What it said.
        message: String,
    },
    /// The remote takes no results from us.
    #[error("the remote cache is read-only")]
    ReadOnly,
    /// The blob is not there, or no longer.
    #[error("{digest} is not in the remote cache")]
    Missing {
        /// The blob.
        digest: RemoteDigest,
    },
    /// What arrived under this name are other bytes. What was written of it is worth nothing.
    #[error("{digest} arrived with other bytes")]
    Damaged {
        /// The blob.
        digest: RemoteDigest,
    },
    /// What was to be sent under this name are other bytes.
    #[error("{digest} was to be sent, and the bytes are others")]
    Mismatch {
        /// The blob that was announced.
        digest: RemoteDigest,
    },
    /// The blob is too large for this call or for this remote.
    #[error("{digest} has more than {max} bytes")]
    TooLarge {
        /// The blob.
        digest: RemoteDigest,
        /// How many it may have.
        max: u64,
    },
    /// The answer makes no sense.
    #[error("the remote cache answered with {what}")]
    Nonsense {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The result of an action is not signed with our key.
    #[error("the result of the action is not signed with our key")]
    Unsigned,
    /// The caller's own file failed.
    #[error("a local file failed")]
    Local(#[source] Arc<io::Error>),
}

impl RemoteError {
    pub(super) fn local(error: io::Error) -> Self {
        Self::Local(Arc::new(error))
    }
}
