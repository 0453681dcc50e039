//! What a task is, what its result depends on, and in which order tasks run. Decides; touches nothing.

mod bytes;
mod error;
mod feed;
mod graph;
mod id;
mod key;
mod pattern;
mod result;
mod schedule;
mod why;

pub use bytes::Bytes;
pub use error::{BuildKeyError, Os, PathReason, RestoreError, RunTaskError, StoreError, Stream};
pub use feed::{Feeds, Patterns, feeds};
pub use graph::{Declared, Graph, GraphFinding};
pub use id::{TaskId, TaskIdError};
pub use key::{Command, Ingredients, Input, Platform, TaskKey};
pub use pattern::{Names, Pattern, PatternError, PatternSet, State};
pub use result::{Content, Output, TaskResult};
pub use schedule::{Ending, Limits, Needs, Schedule, Step};
pub use why::{Change, InputChange, VariableChange};
