//! What the wire keeps, and what it refuses.

mod answers;
mod mirror;
mod properties;
mod requests;

use super::{Options, Thinking};

pub(super) fn options() -> Options {
    Options {
        thinking: Thinking::Budget,
    }
}
