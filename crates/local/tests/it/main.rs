//! Workers as processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[cfg(feature = "cuda")]
mod cuda;
mod harness;
#[cfg(feature = "cpu")]
mod real;
mod supervision;
