//! The tools an agent can have. Each is described to the model here, and run from here.

mod files;
mod http;
mod shell;
mod task;

pub(crate) use shell::sandboxed;

use crate::node::Inner;
use crate::snapshot::ShellConfig;
use mainstay_contract::{Code, Coded, ErrorReport, Secret, SessionId, StepId, ToolCall, TurnId};
use mainstay_manifest::Tool;
use mainstay_providers::ToolSpec;
use mainstay_runtimes::sandbox::SandboxError;
use mainstay_sessions::Blob;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;

/// Where and for whom a tool runs.
pub(crate) struct Context<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) shell: &'a ShellConfig,
    pub(crate) session: &'a SessionId,
    pub(crate) turn: &'a TurnId,
    pub(crate) step: &'a StepId,
    /// The idempotency key of the step.
    pub(crate) key: &'a str,
    /// The secrets that this tool sends; they are taken out of whatever comes back.
    pub(crate) secrets: &'a [(String, Secret)],
}

/// What the model is told.
pub(crate) struct ToolResult {
    /// The failure, where it is one.
    pub(crate) code: Option<Code>,
    pub(crate) text: String,
    /// What the text names, such as the whole of an output that was cut.
    pub(crate) blobs: Vec<Blob>,
    /// Whether the workspace may have changed.
    pub(crate) has_touched_view: bool,
}

/// How a run ended.
pub(crate) enum Ran {
    /// With a result for the model.
    Ended(ToolResult),
    /// Not at all, for reasons that are not the agent's.
    Failed(Box<ErrorReport>),
    /// What ran it died in the middle, for reasons that are not the agent's.
    Interrupted(Box<ErrorReport>),
    /// It reached the outside, and nobody knows whether it took effect.
    Unknown(Box<ErrorReport>),
    /// It was stopped on request.
    Aborted,
}

impl Ran {
    /// A sandbox that did not come to its end.
    pub(crate) fn unsandboxed(error: &SandboxError) -> Self {
        let report = Box::new(error.report());
        match error {
            SandboxError::HelperDied { .. } => Self::Interrupted(report),
            _ => Self::Failed(report),
        }
    }
}

/// The names under which the model calls a tool.
pub(crate) fn names(tool: &Tool) -> Vec<String> {
    specs(tool).into_iter().map(|spec| spec.name).collect()
}

/// How a tool is described to the model.
pub(crate) fn specs(tool: &Tool) -> Vec<ToolSpec> {
    match tool {
        Tool::Shell(_) => vec![shell::spec()],
        Tool::Files => files::specs(),
        Tool::Http(options) => vec![http::spec(options)],
        Tool::Task(options) => vec![task::spec(options)],
    }
}

/// The secrets that a tool sends.
pub(crate) fn secrets(shell: &ShellConfig, name: &str) -> Vec<String> {
    match find(shell, name) {
        Some(Tool::Http(http)) => http
            .secret
            .iter()
            .map(|secret| secret.secret.clone())
            .collect(),
        _ => Vec::new(),
    }
}

/// Runs a tool to its end, or until it is aborted.
pub(crate) async fn run(
    context: &Context<'_>,
    call: &ToolCall,
    aborted: watch::Receiver<bool>,
) -> Ran {
    match find(context.shell, &call.name) {
        Some(Tool::Shell(options)) => shell::run(context, options, call, aborted).await,
        Some(Tool::Files) => files::run(context, call, aborted).await,
        Some(Tool::Http(options)) => http::run(context, options, call, aborted).await,
        Some(Tool::Task(options)) => task::run(context, options, call, aborted).await,
        None => Ran::Ended(ToolResult::failed(
            Code::ToolUnknown,
            format!("There is no tool `{}`.", call.name),
        )),
    }
}

/// Asks whether a call took effect: the text of its result, or `None` where it did not.
pub(crate) async fn probe(
    context: &Context<'_>,
    call: &ToolCall,
) -> Result<Option<String>, Box<ErrorReport>> {
    match find(context.shell, &call.name) {
        Some(Tool::Http(options)) => http::probe(context, options).await,
        _ => {
            let message = format!("the tool {} has no probe", call.name);
            Err(Box::new(ErrorReport::new(Code::EffectInDoubt, message)))
        }
    }
}

fn find<'a>(shell: &'a ShellConfig, name: &str) -> Option<&'a Tool> {
    shell
        .agent
        .tools
        .iter()
        .find(|tool| names(tool).iter().any(|known| known == name))
}

/// Reads a call's arguments; what is wrong with them is said to the model.
fn arguments<T: DeserializeOwned>(call: &ToolCall) -> Result<T, ToolResult> {
    serde_json::from_str(&call.arguments).map_err(|error| {
        let text = format!("The arguments of {} cannot be used: {error}.", call.name);
        ToolResult::failed(Code::ToolInvalidArguments, text)
    })
}

/// The schema of an object of which these properties are required and no others exist.
fn object(properties: serde_json::Value, required: &[&str]) -> serde_json::Value {
    json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    })
}
