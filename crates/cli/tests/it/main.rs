//! End-to-end tests: the real binary, real processes, real kills. Every error code is provoked here.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

mod basics;
mod clients;
mod demo;
mod foreign;
mod gateway;
mod harness;
mod hostile;
mod inference_errors;
mod kill_sweep;
mod models;
mod outside;
mod provider;
mod request_errors;
mod restarts;
mod store_errors;
mod tasks;
mod tool_errors;
mod turn_errors;
mod workspace;
