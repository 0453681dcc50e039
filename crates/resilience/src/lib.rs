//! How failures are survived: retry and backoff. Pure: time and randomness are handed in.

mod retry;

pub use retry::RetryPolicy;
