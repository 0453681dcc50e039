//! A model that answers from a file, so that tests, demos and replays need no key.
//!
//! The step that answers is a pure function of the request: its index is the number of answers the
//! conversation holds, so a call repeated after a crash gets the same answer. A fault ends the first
//! attempts of its step, counted by [`crate::ModelRequest::attempt`].

mod error;
mod fault;
mod parse;
mod play;
mod record;
mod tree;

pub use error::{ScriptError, ScriptPosition};
pub(crate) use play::ScriptProvider;
pub(crate) use record::recorded_line;

use fault::Fault;
use mainstay_contract::Usage;
use std::sync::Arc;
use std::time::Duration;

/// The steps of a scripted model. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Script {
    name: String,
    steps: Arc<[Step]>,
}

impl Script {
    /// Reads a script: YAML (a list of steps, or `{steps: […]}`), or one JSON object a line where the
    /// name ends in `.jsonl` or `.ndjson`. The name appears in errors.
    ///
    /// # Errors
    /// [`ScriptError`], with the place.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, ScriptError> {
        let steps = parse::steps(name, bytes)?;
        Ok(Self {
            name: name.to_owned(),
            steps: steps.into(),
        })
    }

    /// The name it was read under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many answers it gives, repetitions counted.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.steps
            .iter()
            .fold(0, |sum: u64, step| sum.saturating_add(step.answers()))
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// The attempts that fail before the answer.
    faults: Vec<Fault>,
    /// The answer; absent only at the end of a script that ends in faults.
    answer: Option<Answer>,
}

impl Step {
    fn answers(&self) -> u64 {
        self.answer.as_ref().map_or(1, |answer| answer.repeat)
    }
}

/// What a step answers.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    text: String,
    tool_calls: Vec<Call>,
    usage: Usage,
    delay: Duration,
    /// Into how many pieces the text is split.
    chunks: u64,
    chunk_delay: Duration,
    /// How many calls in a row it answers.
    repeat: u64,
}

/// A tool call of a step.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    id: Option<String>,
    name: String,
    arguments: String,
}
