//! What this server can do: cache, and nothing else.

use super::Shared;
use crate::protocol::messages::{
    ActionCacheUpdate, CacheCapabilities, GetCapabilitiesRequest, ServerCapabilities, Version,
};
use crate::protocol::{BATCH_BYTES_MAX, SHA256};
use std::sync::Arc;
use tonic::Status;

/// In the protocol's list of strategies: a link may lead anywhere, it is the client's to judge.
const ABSOLUTE_LINKS_ALLOWED: i32 = 2;

pub(super) async fn get(
    shared: Arc<Shared>,
    _request: GetCapabilitiesRequest,
) -> Result<ServerCapabilities, Status> {
    let update_enabled = !shared.is_read_only;
    let blob_bytes_max = i64::try_from(shared.store.blob_bytes_max()).unwrap_or(i64::MAX);
    Ok(ServerCapabilities {
        cache_capabilities: Some(CacheCapabilities {
            digest_functions: vec![SHA256],
            action_cache_update: Some(ActionCacheUpdate { update_enabled }),
            max_batch_total_size_bytes: i64::try_from(BATCH_BYTES_MAX).unwrap_or(i64::MAX),
            symlink_absolute_path_strategy: ABSOLUTE_LINKS_ALLOWED,
            max_blob_size_bytes: blob_bytes_max,
        }),
        low_api_version: Some(Version { major: 2, minor: 0 }),
        high_api_version: Some(Version { major: 2, minor: 3 }),
    })
}
