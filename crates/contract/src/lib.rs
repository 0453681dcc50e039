//! The words every face of Mainstay shares: ids, error codes, the error report, messages, money and time.
//!
//! Data only. Nothing here does IO, reads a clock or knows an adapter; the crate changes rarely,
//! because everything depends on it.

mod code;
mod event;
mod id;
mod message;
mod report;
mod secret;
mod time;
mod usd;

pub use code::{Code, CodeInfo, Layer, Responsible, RetryAdvice, UnknownBuiltin};
pub use event::Event;
pub use id::{AgentName, Digest, IdError, Seq, SessionId, StepId, TurnId};
pub use message::{Message, Role, ToolCall, Usage};
pub use report::{Cause, Coded, EffectState, ErrorReport, Retry, Spent, Subject};
pub use secret::{REDACTED, Secret};
pub use time::Timestamp;
pub use usd::{Usd, UsdError};
