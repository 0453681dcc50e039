//! Workers as processes.
#![cfg_attr(
    any(feature = "cpu", feature = "cuda"),
    expect(clippy::print_stdout, reason = "a test that cannot run says why")
)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[cfg(feature = "cuda")]
mod cuda;
mod harness;
#[cfg(feature = "cpu")]
mod real;
mod supervision;
