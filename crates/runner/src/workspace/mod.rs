//! A workspace: a folder whose manifest declares projects with tasks.

mod load;
mod manifests;
mod memory;
mod project;
mod resolve;
mod root;
mod target;

pub use load::{LoadError, load, read_manifest};
pub use manifests::Manifests;
pub use root::root_manifest;
pub use target::{TargetError, targets};

use mainstay_manifest::{Cache, Program, Ready, SecretSource, Variable};
use mainstay_tasks::{Bytes, Graph, Needs, Pattern, TaskId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A workspace that was found sound.
#[derive(Debug)]
pub struct Workspace {
    /// Its folder, without links.
    pub root: PathBuf,
    /// Its tasks, in the order of the graph's numbers.
    pub tasks: Vec<Task>,
    /// Who waits for whom.
    pub graph: Graph,
    /// The folders of its projects, by name.
    pub projects: BTreeMap<String, Bytes>,
    /// How many tasks run at once, where the manifest says so.
    pub jobs: Option<u32>,
    /// How many tasks of each tag run at once.
    pub tags: BTreeMap<String, u32>,
    /// What becomes of results.
    pub cache: Cache,
    /// Where secrets come from, by name.
    pub secrets: BTreeMap<String, SecretSource>,
}

/// A task, ready to be run.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// The folder of its project, from the workspace's root.
    pub project: Bytes,
    /// Where it runs, from the workspace's root.
    pub cwd: Bytes,
    /// What runs.
    pub program: Program,
    /// What it reads; nothing was said where absent.
    pub inputs: Option<Vec<Pattern>>,
    /// What others make in its project without being waited for: no input, where nothing was said.
    pub foreign: Vec<Pattern>,
    /// What it makes.
    pub outputs: Vec<Pattern>,
    /// The variables that its result depends on.
    pub env: Vec<Variable>,
    /// The variables that it gets besides.
    pub pass_env: Vec<Variable>,
    /// The programs that its result depends on.
    pub tools: Vec<String>,
    /// What it needs while it runs.
    pub needs: Needs,
    /// The most time for one try.
    pub timeout: Option<Duration>,
    /// The time between asking it to end and ending it.
    pub grace: Duration,
    /// How often it is tried again.
    pub retries: u32,
    /// Whether its result is kept.
    pub is_cached: bool,
    /// Whether it shares the jobs with the command.
    pub has_jobserver: bool,
    /// Whether it stays up.
    pub is_persistent: bool,
    /// How it shows that it is ready.
    pub ready: Ready,
}
