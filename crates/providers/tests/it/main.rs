//! Providers against a loopback server that misbehaves, and scripts against bad input.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests fail as tests do, and tables of cases are long"
)]

mod answers;
mod connections;
mod contract;
mod faults;
mod health;
mod keys;
mod recorder;
mod relayed;
mod scripts;
mod server;
mod services;
mod tls;
mod transport;
