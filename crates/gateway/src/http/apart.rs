//! Reading a large body takes a while, in which others want to be served: it is read on a thread of its own.

use mainstay_contract::{Code, ErrorReport};

/// Bodies from this size on, in bytes.
const LARGE: usize = 256 << 10;

/// Reads a body of so many bytes, apart from the workers where it is large.
///
/// # Errors
/// The report of a reader that broke down.
pub(super) async fn read<T: Send + 'static>(
    bytes: usize,
    reader: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ErrorReport> {
    if bytes < LARGE {
        return Ok(reader());
    }
    let reading = tokio::task::spawn_blocking(reader).await;
    reading.map_err(|error| ErrorReport::new(Code::Internal, error.to_string()))
}
