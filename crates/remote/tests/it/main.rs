//! The server under raw clients, the client under all kinds of servers, and both under programs that are
//! not ours. Raw calls are made with types generated from the protocol's own description, so that a
//! mistake in our messages cannot hide on both sides.
#![cfg(test)]

mod actions;
mod blobs;
mod broken;
mod client;
mod evict;
mod foreign;
mod harness;
mod hostile;
mod streams;
mod tls;
mod turbo;
