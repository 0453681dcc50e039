//! What runs tools: the native sandbox, the private view of a workspace, the files tool, and what sees
//! which files a command touches.
//!
//! The one crate with `unsafe` code, because the operating system is spoken to here.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![expect(
    unsafe_code,
    reason = "system calls without a safe wrapper; each block says why it is sound"
)]

pub mod files;
pub mod observe;
pub mod sandbox;
pub mod signals;
mod socket;
pub mod workspace;
