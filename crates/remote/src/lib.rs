//! The task cache over a network: a server, and a client that never blocks a build.
//!
//! The server speaks the remote execution API (`build.bazel.remote.execution.v2`: capabilities, action
//! cache, content-addressed storage, and ByteStream) and Turborepo's HTTP cache API, both on one
//! listener and over one folder. The client speaks the former to any server, is used from ordinary
//! threads, and after the first failure of the remote is off for good: a build goes on without it.
//!
//! What a task is, this crate does not know; it keeps bytes under names.

mod client;
mod digest;
mod protocol;
mod server;
mod signature;
mod store;

pub use client::{RemoteAction, RemoteCache, RemoteError, RemoteFile, RemoteLink, RemoteOptions};
pub use digest::{InvalidDigest, RemoteDigest};
pub use server::{CacheServer, ServeError, ServerOptions};
pub use signature::{Signature, SigningKey, WrongSignature};
