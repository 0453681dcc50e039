//! What is tried against programs and figures that are not ours.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod gate;
mod prices;
