//! The crate's tests that need a real machine: mounts, users and processes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod files;
mod observe;
mod sandbox;
mod workspace;
