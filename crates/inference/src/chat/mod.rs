//! What is asked of a model and what it answers, in nobody's dialect.
//!
//! Whatever a provider's wire can say and another can hear has one place here; what only one wire knows
//! travels as [`Opaque`] and is never sent to another.

mod answer;
mod event;
mod message;
mod request;

pub use answer::{Answer, Assembly, AssemblyError};
pub use event::{Event, FinishReason, PartKind};
pub use message::{FileSource, Message, Opaque, Part, Role, ToolCall};
pub use request::{Effort, Extra, OutputFormat, Reasoning, Request, Sampling, Tool, ToolChoice};
