//! Workers as processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod harness;
#[cfg(feature = "cpu")]
mod real;
mod supervision;
