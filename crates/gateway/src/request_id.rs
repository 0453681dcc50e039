//! Ids of requests.

/// A fresh id (`req_…`), which the log, the trace, the headers and the body of a failure share.
#[must_use]
pub fn request_id() -> String {
    request_id_and_random().0
}

/// The same, and its random half: each asking of the system for random bytes costs more than the rest of it.
#[must_use]
pub fn request_id_and_random() -> (String, u64) {
    let id = uuid::Uuid::now_v7();
    (format!("req_{}", id.simple()), id.as_u64_pair().1)
}
