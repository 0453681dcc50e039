//! What a manifest says of projects and tasks.

use crate::SecretRef;
use crate::manifest::millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A place in a file, both numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value and where the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed<T> {
    /// Where.
    pub at: Spot,
    /// The value.
    pub value: T,
}

/// What one folder of a workspace declares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name; that of its folder where absent.
    pub name: Option<Placed<String>>,
    /// The projects that it builds on.
    pub depends_on: Vec<Placed<String>>,
    /// Its tasks, in the order of the file.
    pub tasks: Vec<Placed<Task>>,
}

/// A command with declared inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name in its project.
    pub name: String,
    /// What runs.
    pub program: Program,
    /// Where it runs, relative to the project.
    pub workdir: Option<Placed<String>>,
    /// What it reads; nothing was said where absent.
    pub inputs: Option<Vec<Placed<String>>>,
    /// What it makes; nothing was said where absent.
    pub outputs: Option<Vec<Placed<String>>>,
    /// The variables that its result depends on.
    pub env: Vec<Variable>,
    /// The variables that it gets besides.
    pub pass_env: Vec<Variable>,
    /// The programs that its result depends on.
    pub tools: Vec<String>,
    /// What has to succeed first.
    pub after: Vec<Placed<String>>,
    /// What has to be over first, where it runs.
    pub follows: Vec<Placed<String>>,
    /// What it holds alone.
    pub mutex: Vec<String>,
    /// What it holds together with others.
    pub mutex_shared: Vec<String>,
    /// How many of the jobs it takes.
    pub weight: u32,
    /// Its tags.
    pub tags: Vec<String>,
    /// The most time for one try.
    pub timeout: Option<Duration>,
    /// The time between asking it to end and ending it.
    #[serde(with = "millis")]
    pub grace: Duration,
    /// How often it is tried again.
    pub retries: u32,
    /// Whether its result is kept; nothing was said where absent.
    pub cache: Option<bool>,
    /// Whether it shares the jobs through GNU make's protocol.
    pub jobserver: bool,
    /// Whether it stays up.
    pub persistent: bool,
    /// How it shows that it is ready, where it stays up.
    pub ready: Ready,
}

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program and its arguments; at least one.
    Command(Vec<String>),
    /// A script for the shell.
    Shell(String),
}

/// An environment variable of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; the caller's where absent.
    pub value: Option<String>,
}

/// How a task that stays up shows that it is ready; at once where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// A text in a line of its output.
    pub line: Option<String>,
    /// A port of the loopback interface that accepts connections.
    pub port: Option<u16>,
    /// The most time until then.
    pub timeout: Option<Duration>,
}

/// How many tasks run at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// In all.
    pub jobs: Option<u32>,
    /// Of each tag.
    pub tags: BTreeMap<String, u32>,
}

/// What becomes of results.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// How outputs are brought back.
    pub restore: Restore,
    /// The most bytes kept.
    pub size_max: Option<u64>,
    /// How long a result is kept after its last use.
    pub age_max: Option<Duration>,
    /// A cache that others share.
    pub remote: Option<RemoteCache>,
}

/// How outputs are brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restore {
    /// As a copy of its own.
    #[default]
    Copy,
    /// As a read-only hard link to the cache.
    Hardlink,
}

/// A cache that others share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteCache {
    /// Where it listens.
    pub url: String,
    /// The instance name.
    pub instance: String,
    /// The bearer token.
    pub token: Option<SecretRef>,
    /// What results are signed with.
    pub sign: Option<SecretRef>,
    /// Whether nothing is sent there.
    pub read_only: bool,
    /// The most time for one call.
    pub timeout: Option<Duration>,
}
