//! The clock of the shell; the cores are told the time.

use mainstay_contract::Timestamp;

/// The time, as the shell reads it.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
}
