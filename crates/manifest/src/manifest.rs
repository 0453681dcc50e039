//! What a valid manifest says, with every default filled in and every reference resolved.

use crate::model::{Budget, Key, Model};
use crate::rule::{AllowRule, Method, StatusRange};
use crate::task::{Cache, Concurrency, Placed, Project};
use mainstay_contract::{AgentName, Usd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A whole manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format; 1.
    pub version: u32,
    /// What people call it.
    pub name: Option<String>,
    /// The models, by name.
    pub models: BTreeMap<String, Model>,
    /// The agents, by name.
    pub agents: BTreeMap<AgentName, Agent>,
    /// Where secrets come from, by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Who may use the gateway, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Key>,
    /// The file of prices that goes on top of the built-in table, relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<String>,
    /// The folders of projects, as patterns; none where the manifest's folder is the only one.
    pub projects: Vec<Placed<String>>,
    /// What the manifest's own folder holds.
    pub project: Project,
    /// How many tasks run at once.
    pub concurrency: Concurrency,
    /// What becomes of results.
    pub cache: Cache,
}

/// A reference to a declared secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// The name under `secrets`.
    pub secret: String,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The name of its model.
    pub model: String,
    /// What it is told before everything else.
    pub instructions: Option<String>,
    /// What it may use, each kind at most once.
    pub tools: Vec<Tool>,
    /// What its tools may touch.
    pub sandbox: Sandbox,
    /// The folder it works on a private view of, relative to the manifest.
    pub workspace: Option<String>,
    /// The most model calls one turn may make.
    pub steps_max: u32,
    /// How often a turn may start without progress.
    pub attempts_max: u32,
    /// The most one turn may spend.
    pub budget: Option<Usd>,
    /// The most one of its sessions may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_budget: Option<Usd>,
    /// The most all its sessions together may spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_budget: Option<Budget>,
}

/// How a tool's effect relates to repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Touches nothing but the workspace: repeated freely.
    Pure,
    /// Repeated with the same key, which the other side honours.
    Idempotent,
    /// Never repeated unasked.
    Once,
}

/// Whether a sandbox reaches a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// None at all, not even the host's loopback.
    None,
    /// The host's.
    Host,
}

/// What sandboxed tools may touch and use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Further folders to read.
    pub read: Vec<String>,
    /// Folders outside the workspace to write.
    pub write: Vec<String>,
    /// The network.
    pub network: Network,
    /// The most memory, in bytes.
    pub memory: Option<u64>,
    /// The most processes.
    pub pids: Option<u32>,
    /// The most time for one call.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// The most output handed to the model, in bytes; the rest stays a blob.
    pub output: u64,
    /// Whether to go on, announced, where the host cannot enforce everything.
    pub weaker: bool,
}

/// A tool of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tool", rename_all = "snake_case")]
pub enum Tool {
    /// Runs commands in the sandbox.
    Shell(Shell),
    /// Reads, writes and searches files of the workspace.
    Files,
    /// Sends HTTP requests, from the node.
    Http(Http),
    /// Runs a task of the workspace.
    Task(TaskTool),
}

impl Tool {
    /// The name by which manifest and model call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Tool::Shell(_) => "shell",
            Tool::Files => "files",
            Tool::Http(_) => "http",
            Tool::Task(_) => "task",
        }
    }

    /// How its effect relates to repetition.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            Tool::Shell(shell) => shell.effect,
            Tool::Files => Effect::Pure,
            Tool::Http(http) => http.effect,
            Tool::Task(task) => task.effect,
        }
    }

    /// Whether a probe can tell if an unknown call took effect.
    #[must_use]
    pub const fn has_probe(&self) -> bool {
        matches!(self, Tool::Http(Http { probe: Some(_), .. }))
    }
}

/// Options of the `shell` tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shell {
    /// Its network: its own choice, otherwise the sandbox's.
    pub network: Network,
    /// Declared, otherwise `pure` without network and writable folders and `once` with either.
    pub effect: Effect,
    /// The most time for one call: its own choice, otherwise the sandbox's.
    #[serde(with = "millis")]
    pub timeout: Duration,
}

/// Options of the `task` tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTool {
    /// The task: `name`, or `project:name`.
    pub target: String,
    /// The sandbox's network.
    pub network: Network,
    /// `pure` without network and writable folders, `once` with either.
    pub effect: Effect,
}

/// Options of the `http` tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// What may be requested; at least one rule.
    pub allow: Vec<AllowRule>,
    /// How its effect relates to repetition.
    pub effect: Effect,
    /// How to find out whether a call took effect.
    pub probe: Option<Probe>,
    /// Secrets that the node adds to requests.
    pub secret: Vec<HttpSecret>,
    /// Hosts and addresses that may be loopback or private.
    pub private: Vec<String>,
    /// The most time for one request.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// The most bytes of an answer that are read.
    pub response_bytes_max: u64,
}

/// A request that tells whether an unknown call took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// `GET` or `HEAD`.
    pub method: Method,
    /// Where to ask; `{key}` stands for the idempotency key.
    pub url: String,
    /// Statuses that mean it did.
    pub applied: Vec<StatusRange>,
    /// Statuses that mean it did not.
    pub absent: Vec<StatusRange>,
}

impl Probe {
    /// What a status means: `Some(true)` it took effect, `Some(false)` it did not, `None` unknown.
    #[must_use]
    pub fn verdict(&self, status: u16) -> Option<bool> {
        let holds = |ranges: &[StatusRange]| ranges.iter().any(|range| range.contains(status));
        match (holds(&self.applied), holds(&self.absent)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

/// A secret that the node adds to requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSecret {
    /// The header whose value it becomes.
    pub header: String,
    /// The name under `secrets`.
    pub secret: String,
    /// The only host that gets it.
    pub host: String,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable of the node.
    Env(String),
    /// A file, relative to the manifest.
    File(String),
}

/// Durations as whole milliseconds.
pub(crate) mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }

    /// The same where there may be none.
    pub(crate) mod option {
        use serde::{Deserialize, Deserializer, Serializer};
        use std::time::Duration;

        pub(crate) fn serialize<S: Serializer>(
            value: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, to),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            let millis = Option::<u64>::deserialize(from)?;
            Ok(millis.map(Duration::from_millis))
        }
    }
}
