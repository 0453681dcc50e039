//! What a turn is pinned to, worked out from the manifest when it is accepted.

use crate::error::RequestError;
use crate::inference;
use crate::manifest_file::ManifestFile;
use crate::tools;
use mainstay_contract::{AgentName, Coded};
use mainstay_inference::{InferenceError, Origin};
use mainstay_manifest::{Agent, Effect, Manifest, Model, Provider, SecretSource};
use mainstay_sessions::{Blob, EffectClass, Price, ToolPolicy, TurnConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No script is longer.
const SCRIPT_BYTES_MAX: u64 = 16 << 20;

/// The part of a [`TurnConfig`] that only the shell understands. No secret's value is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShellConfig {
    /// The folder that relative paths are below.
    pub(crate) folder: PathBuf,
    /// The workspace, canonical.
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) agent: Agent,
    pub(crate) model: Model,
    /// The script's content, where the model is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) script: Option<mainstay_contract::Digest>,
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    /// `sandbox.read` and `sandbox.write`, absolute.
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    pub(crate) home: PathBuf,
}

/// A snapshot and the blobs it names.
pub(crate) struct Snapshot {
    pub(crate) config: TurnConfig,
    pub(crate) digest: mainstay_contract::Digest,
    pub(crate) blobs: Vec<Blob>,
}

/// Works out the snapshot for an agent; without a name, for the only one there is.
pub(crate) fn take(
    file: &ManifestFile,
    agent: Option<&AgentName>,
) -> Result<Snapshot, RequestError> {
    let (manifest, folder) = file.read()?;
    let (name, agent) = find(&manifest, agent)?;
    let model = manifest.models.get(&agent.model);
    let model = model.ok_or_else(|| RequestError::not_found("model", agent.model.clone()))?;
    let mut blobs = Vec::new();
    let script = match &model.provider {
        Provider::Script { file } => {
            let blob = Blob::bytes(read_script(&folder.join(file))?);
            let digest = blob.digest;
            blobs.push(blob);
            Some(digest)
        }
        _ => None,
    };
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute());
    let home = home.unwrap_or_else(|| PathBuf::from("/home/agent"));
    let shell = ShellConfig {
        folder: folder.to_owned(),
        workspace: agent
            .workspace
            .as_deref()
            .map(|path| workspace(folder, path)),
        read: expand(&agent.sandbox.read, folder, &home),
        write: expand(&agent.sandbox.write, folder, &home),
        agent: agent.clone(),
        model: model.clone(),
        script,
        secrets: manifest.secrets.clone(),
        home,
    };
    let internal = |error: serde_json::Error| RequestError::Internal(error.to_string());
    let config = TurnConfig {
        agent: name.clone(),
        steps_max: agent.steps_max,
        budget: agent.budget,
        price: price(&manifest, folder, name, agent)?,
        retry: model.retry,
        attempts_max: agent.attempts_max,
        tools: policies(agent),
        has_workspace: agent.workspace.is_some(),
        shell: serde_json::to_value(&shell).map_err(internal)?,
    };
    let blob = Blob::bytes(serde_json::to_vec(&config).map_err(internal)?);
    let digest = blob.digest;
    blobs.push(blob);
    Ok(Snapshot {
        config,
        digest,
        blobs,
    })
}

/// Reads the shell's part back.
pub(crate) fn shell(config: &TurnConfig) -> Result<ShellConfig, serde_json::Error> {
    ShellConfig::deserialize(&config.shell)
}

fn find<'a>(
    manifest: &'a Manifest,
    wanted: Option<&AgentName>,
) -> Result<(&'a AgentName, &'a Agent), RequestError> {
    if let Some(wanted) = wanted {
        return manifest.agents.get_key_value(wanted).ok_or_else(|| {
            let names = || manifest.agents.keys().map(AgentName::as_str);
            let near = mainstay_manifest::near(wanted.as_str(), names());
            let near = if near.is_empty() {
                names().map(str::to_owned).collect()
            } else {
                near
            };
            RequestError::NotFound {
                kind: "agent",
                id: wanted.to_string(),
                near,
            }
        });
    }
    let mut agents = manifest.agents.iter();
    match (agents.next(), agents.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(RequestError::NotFound {
            kind: "agent",
            id: "(none was named)".to_owned(),
            near: manifest.agents.keys().map(ToString::to_string).collect(),
        }),
    }
}

/// What the turn's tokens cost. A budget that nobody could hold is refused before anything is spent.
fn price(
    manifest: &Manifest,
    folder: &Path,
    name: &AgentName,
    agent: &Agent,
) -> Result<Price, RequestError> {
    let model = manifest.models.get(&agent.model);
    let known = model.map(|model| inference::price_of_turn(manifest, folder, model));
    match known.transpose().map_err(RequestError::Model)?.flatten() {
        Some(price) => Ok(price),
        None if agent.budget.is_none() => Ok(Price::default()),
        None => {
            let error = InferenceError::PriceUnknown {
                origin: Origin {
                    model: agent.model.clone(),
                    ..Origin::default()
                },
                budget: format!("agent {name}"),
            };
            Err(RequestError::Model(Box::new(error.report())))
        }
    }
}

fn policies(agent: &Agent) -> BTreeMap<String, ToolPolicy> {
    let class = |effect| match effect {
        Effect::Pure => EffectClass::Pure,
        Effect::Idempotent => EffectClass::Idempotent,
        Effect::Once => EffectClass::Once,
    };
    let mut policies = BTreeMap::new();
    for tool in &agent.tools {
        let policy = ToolPolicy {
            class: class(tool.effect()),
            has_probe: tool.has_probe(),
        };
        for name in tools::names(tool) {
            policies.insert(name, policy);
        }
    }
    policies
}

/// The workspace's real path, where it is there; its absence is told when it is opened.
fn workspace(folder: &Path, path: &str) -> PathBuf {
    let path = folder.join(path);
    std::fs::canonicalize(&path).unwrap_or(path)
}

fn expand(paths: &[String], folder: &Path, home: &Path) -> Vec<PathBuf> {
    let absolute = |path: &String| match path.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None if path == "~" => home.to_owned(),
        None => folder.join(path),
    };
    paths.iter().map(absolute).collect()
}

fn read_script(path: &Path) -> Result<Vec<u8>, RequestError> {
    let failed = |why: &dyn std::fmt::Display| RequestError::Configuration {
        what: format!("the script {} cannot be read", path.display()),
        why: why.to_string(),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let read = file.take(SCRIPT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(&error))?;
    if bytes.len() as u64 > SCRIPT_BYTES_MAX {
        return Err(failed(&format!(
            "it has more than {SCRIPT_BYTES_MAX} bytes"
        )));
    }
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    mainstay_providers::Script::parse(&name, &bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}
