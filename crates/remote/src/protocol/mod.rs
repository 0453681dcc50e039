//! The wire, in our own words: the messages of the remote execution API and of ByteStream that a cache
//! needs, the paths of their methods, and the names of blobs in streams.
//!
//! Nothing is generated, so a build needs no protobuf compiler. Parts of a message that a cache only
//! passes on are declared as bytes: they come back exactly as they came in.

pub(crate) mod messages;
pub(crate) mod resource;

/// The methods, as gRPC names them.
pub(crate) mod method {
    pub(crate) const CAPABILITIES: &str =
        "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities";
    pub(crate) const GET_ACTION: &str =
        "/build.bazel.remote.execution.v2.ActionCache/GetActionResult";
    pub(crate) const UPDATE_ACTION: &str =
        "/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult";
    pub(crate) const FIND_MISSING: &str =
        "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs";
    pub(crate) const BATCH_UPDATE: &str =
        "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs";
    pub(crate) const BATCH_READ: &str =
        "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs";
    pub(crate) const GET_TREE: &str =
        "/build.bazel.remote.execution.v2.ContentAddressableStorage/GetTree";
    pub(crate) const READ: &str = "/google.bytestream.ByteStream/Read";
    pub(crate) const WRITE: &str = "/google.bytestream.ByteStream/Write";
    pub(crate) const QUERY_WRITE: &str = "/google.bytestream.ByteStream/QueryWriteStatus";
}

/// The most bytes of blobs in one batch: many programs take no message above 4 MiB, and each blob
/// brings its digest along.
pub(crate) const BATCH_BYTES_MAX: usize = 4_000_000;

/// The most bytes of one message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 5 << 20;

/// How much of a blob goes into one message of a stream.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// SHA-256 in the protocol's list of digest functions.
pub(crate) const SHA256: i32 = 1;
