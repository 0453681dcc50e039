//! The messages. Field numbers are the protocol's; fields that a cache has no use for are left out
//! where it only reads a message, and kept as bytes where it hands the message on.

use prost::Message;

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(crate) struct Digest {
    #[prost(string, tag = "1")]
    pub(crate) hash: String,
    #[prost(int64, tag = "2")]
    pub(crate) size_bytes: i64,
}

/// How one blob of a batch fared: `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Action {
    #[prost(message, optional, tag = "1")]
    pub(crate) command_digest: Option<Digest>,
    #[prost(message, optional, tag = "2")]
    pub(crate) input_root_digest: Option<Digest>,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) salt: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Command {
    #[prost(string, repeated, tag = "1")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ActionResult {
    #[prost(message, repeated, tag = "2")]
    pub(crate) output_files: Vec<OutputFile>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) output_directories: Vec<OutputDirectory>,
    #[prost(int32, tag = "4")]
    pub(crate) exit_code: i32,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) stdout_raw: bytes::Bytes,
    #[prost(message, optional, tag = "6")]
    pub(crate) stdout_digest: Option<Digest>,
    #[prost(bytes = "bytes", tag = "7")]
    pub(crate) stderr_raw: bytes::Bytes,
    #[prost(message, optional, tag = "8")]
    pub(crate) stderr_digest: Option<Digest>,
    /// Passed on as it came.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(crate) execution_metadata: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) output_file_symlinks: Vec<OutputSymlink>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) output_directory_symlinks: Vec<OutputSymlink>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output_symlinks: Vec<OutputSymlink>,
}

/// The only part of `ExecutedActionMetadata` that the client writes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(string, tag = "1")]
    pub(crate) worker: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OutputFile {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) digest: Option<Digest>,
    #[prost(bool, tag = "4")]
    pub(crate) is_executable: bool,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) contents: bytes::Bytes,
    /// Passed on as it came.
    #[prost(bytes = "vec", optional, tag = "7")]
    pub(crate) node_properties: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OutputDirectory {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) tree_digest: Option<Digest>,
    #[prost(bool, tag = "4")]
    pub(crate) is_topologically_sorted: bool,
    #[prost(message, optional, tag = "5")]
    pub(crate) root_directory_digest: Option<Digest>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OutputSymlink {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(string, tag = "2")]
    pub(crate) target: String,
    /// Passed on as it came.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) node_properties: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tree {
    #[prost(message, optional, tag = "1")]
    pub(crate) root: Option<Directory>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) children: Vec<Directory>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Directory {
    #[prost(message, repeated, tag = "1")]
    pub(crate) files: Vec<FileNode>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) directories: Vec<DirectoryNode>,
    /// Passed on as they came.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) symlinks: Vec<Vec<u8>>,
    /// Passed on as it came.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(crate) node_properties: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FileNode {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) digest: Option<Digest>,
    #[prost(bool, tag = "4")]
    pub(crate) is_executable: bool,
    /// Passed on as it came.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(crate) node_properties: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DirectoryNode {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) digest: Option<Digest>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetActionResultRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) action_digest: Option<Digest>,
    #[prost(int32, tag = "6")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UpdateActionResultRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) action_digest: Option<Digest>,
    #[prost(message, optional, tag = "3")]
    pub(crate) action_result: Option<ActionResult>,
    #[prost(int32, tag = "5")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FindMissingBlobsRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) blob_digests: Vec<Digest>,
    #[prost(int32, tag = "3")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FindMissingBlobsResponse {
    #[prost(message, repeated, tag = "2")]
    pub(crate) missing_blob_digests: Vec<Digest>,
}

/// One blob of a batch, on its way in.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlobUpdate {
    #[prost(message, optional, tag = "1")]
    pub(crate) digest: Option<Digest>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: bytes::Bytes,
    #[prost(int32, tag = "3")]
    pub(crate) compressor: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchUpdateBlobsRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) requests: Vec<BlobUpdate>,
    #[prost(int32, tag = "5")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlobUpdated {
    #[prost(message, optional, tag = "1")]
    pub(crate) digest: Option<Digest>,
    #[prost(message, optional, tag = "2")]
    pub(crate) status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchUpdateBlobsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) responses: Vec<BlobUpdated>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchReadBlobsRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) digests: Vec<Digest>,
    #[prost(int32, tag = "4")]
    pub(crate) digest_function: i32,
}

/// One blob of a batch, on its way out.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlobRead {
    #[prost(message, optional, tag = "1")]
    pub(crate) digest: Option<Digest>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: bytes::Bytes,
    #[prost(message, optional, tag = "3")]
    pub(crate) status: Option<Status>,
    #[prost(int32, tag = "4")]
    pub(crate) compressor: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchReadBlobsResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) responses: Vec<BlobRead>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetTreeRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) root_digest: Option<Digest>,
    #[prost(int32, tag = "3")]
    pub(crate) page_size: i32,
    #[prost(string, tag = "4")]
    pub(crate) page_token: String,
    #[prost(int32, tag = "5")]
    pub(crate) digest_function: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetTreeResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) directories: Vec<Directory>,
    #[prost(string, tag = "2")]
    pub(crate) next_page_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetCapabilitiesRequest {
    #[prost(string, tag = "1")]
    pub(crate) instance_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerCapabilities {
    #[prost(message, optional, tag = "1")]
    pub(crate) cache_capabilities: Option<CacheCapabilities>,
    #[prost(message, optional, tag = "4")]
    pub(crate) low_api_version: Option<Version>,
    #[prost(message, optional, tag = "5")]
    pub(crate) high_api_version: Option<Version>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CacheCapabilities {
    #[prost(int32, repeated, tag = "1")]
    pub(crate) digest_functions: Vec<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) action_cache_update: Option<ActionCacheUpdate>,
    #[prost(int64, tag = "4")]
    pub(crate) max_batch_total_size_bytes: i64,
    #[prost(int32, tag = "5")]
    pub(crate) symlink_absolute_path_strategy: i32,
    #[prost(int64, tag = "8")]
    pub(crate) max_blob_size_bytes: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ActionCacheUpdate {
    #[prost(bool, tag = "1")]
    pub(crate) update_enabled: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Version {
    #[prost(int32, tag = "1")]
    pub(crate) major: i32,
    #[prost(int32, tag = "2")]
    pub(crate) minor: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
    #[prost(int64, tag = "2")]
    pub(crate) read_offset: i64,
    #[prost(int64, tag = "3")]
    pub(crate) read_limit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadResponse {
    #[prost(bytes = "bytes", tag = "10")]
    pub(crate) data: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
    #[prost(int64, tag = "2")]
    pub(crate) write_offset: i64,
    #[prost(bool, tag = "3")]
    pub(crate) finish_write: bool,
    #[prost(bytes = "bytes", tag = "10")]
    pub(crate) data: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteResponse {
    #[prost(int64, tag = "1")]
    pub(crate) committed_size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct QueryWriteStatusRequest {
    #[prost(string, tag = "1")]
    pub(crate) resource_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct QueryWriteStatusResponse {
    #[prost(int64, tag = "1")]
    pub(crate) committed_size: i64,
    #[prost(bool, tag = "2")]
    pub(crate) complete: bool,
}
