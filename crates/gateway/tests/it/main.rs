//! The gateway over providers that do as they are told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod arrival;
mod cache;
mod fake;
mod flow;
mod ledger;
mod models;
mod refusals;
mod streams;
mod wire;
