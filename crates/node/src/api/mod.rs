//! The HTTP API: sessions, runs of tasks and models, over a unix socket and over TCP.
//!
//! Handlers translate between HTTP and [`crate::Node`], and decide nothing themselves. Every failure
//! leaves as an error report; a request is judged by [`Access`] before anything reads it; bodies are
//! bounded in size and time; what would be ignored is refused.

mod body;
mod call;
mod document;
mod events;
mod guard;
mod key;
mod listen;
mod messages;
mod models;
mod observe;
mod problem;
mod room;
mod router;
mod sessions;
mod sse;
mod steps;
mod task_events;
mod task_runs;
mod turns;
mod unique;
mod usage;

pub use document::openapi;
pub use guard::{Access, HostName, NoHostName};
pub use key::Key;
pub use listen::{Bound, Listen, ServeError, bind, serve};
pub use router::router;
