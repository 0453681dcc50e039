//! The arguments of `model`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List the models: what they cost, how they are, and what their budgets have left
    Ls,
    /// Ask a model one question
    Call(ModelCall),
    /// Say what was spent
    ///
    /// `failures` counts calls of a provider without an answer, not requests: a repeated request counts several
    /// times. A call that cost nothing counts only where it falls under a budget.
    Usage(ModelUsage),
}

#[derive(Debug, Args)]
pub(crate) struct ModelCall {
    /// The model, as the manifest names it
    pub(crate) model: String,
    /// What to ask; `-` reads it from standard input
    pub(crate) input: String,
    /// Print the answer as it comes
    #[arg(long)]
    pub(crate) stream: bool,
    /// Instructions beside the question
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The most tokens of the answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_tokens: Option<u64>,
    /// Record the answer into a script
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ModelUsage {
    /// What makes a row; by default all four
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) by: Vec<By>,
    /// Not before this day, in UTC, such as 2026-11-21
    #[arg(long, value_name = "DATE")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The caller's key
    Key,
    /// The agent that asked
    Agent,
    /// The model that was called
    Model,
    /// The day, in UTC
    Day,
}

impl By {
    /// The name of the field that holds it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Day => "day",
        }
    }
}
