//! What a task is, what its result depends on, and in which order tasks run. Decides; touches nothing.

mod bytes;
mod graph;
mod id;
mod key;
mod why;

pub use bytes::Bytes;
pub use graph::{Declared, Graph, GraphFinding};
pub use id::{TaskId, TaskIdError};
pub use key::{Command, Ingredients, Input, Platform, TaskKey};
pub use why::{Change, InputChange, VariableChange};
