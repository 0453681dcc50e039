//! Runs a tool and commits what it changed, or finds out what became of one.

use super::{Performed, config, model, reported};
use crate::clock::now;
use crate::node::Inner;
use crate::snapshot::ShellConfig;
use crate::tools::{self, Ran, ToolResult};
use mainstay_contract::{
    Code, Digest, ErrorReport, Message, Secret, SessionId, StepId, ToolCall, TurnId,
};
use mainstay_sessions::{
    Blob, BlobContent, EffectClass, Input, ProbeOutcome, StoreError, ToolOutcome, ToolStatus,
    encode_message,
};
use serde_json::json;
use tokio::sync::watch;

/// A tool to be run.
pub(super) struct Run {
    pub(super) session: SessionId,
    pub(super) turn: TurnId,
    pub(super) step: StepId,
    pub(super) config: Digest,
    pub(super) message: Digest,
    pub(super) call: String,
    pub(super) class: EffectClass,
    pub(super) key: String,
}

pub(super) async fn run(inner: &Inner, run: Run, aborted: watch::Receiver<bool>) -> Performed {
    let step = run.step.clone();
    let (outcome, blobs) = match attempt(inner, &run, aborted).await {
        Ok(performed) => performed,
        Err(error) => (ToolOutcome::Failed(error), Vec::new()),
    };
    (Input::Tool { step, outcome }, blobs)
}

async fn attempt(
    inner: &Inner,
    run: &Run,
    aborted: watch::Receiver<bool>,
) -> Result<(ToolOutcome, Vec<Blob>), Box<ErrorReport>> {
    let (call, shell, secrets) = prepare(inner, run).await?;
    inner.feeds.preview(
        &run.session,
        &run.turn,
        now(),
        "tool_started",
        || json!({ "step": run.step, "tool": call.name, "arguments": call.arguments }),
    );
    let context = tools::Context {
        inner,
        shell: &shell,
        session: &run.session,
        turn: &run.turn,
        step: &run.step,
        key: &run.key,
        secrets: &secrets,
    };
    let mut ran = tools::run(&context, &call, aborted.clone()).await;
    if matches!(ran, Ran::Interrupted(_)) && run.class != EffectClass::Once {
        // What died was ours, and the tool may be repeated.
        roll_back(inner, run, &shell).await?;
        ran = tools::run(&context, &call, aborted).await;
    }
    match ran {
        Ran::Ended(result) if run.class == EffectClass::Once => {
            let finished = finish(inner, run, &shell, result).await;
            // It ran; only what it left in the view is lost.
            Ok(finished.unwrap_or_else(|error| (ToolOutcome::Unknown(error), Vec::new())))
        }
        Ran::Ended(result) => finish(inner, run, &shell, result).await,
        Ran::Interrupted(error) if run.class == EffectClass::Once => {
            Ok((ToolOutcome::Unknown(error), Vec::new()))
        }
        Ran::Failed(error) | Ran::Interrupted(error) => {
            roll_back(inner, run, &shell).await?;
            Err(error)
        }
        Ran::Unknown(error) if run.class == EffectClass::Once => {
            Ok((ToolOutcome::Unknown(error), Vec::new()))
        }
        Ran::Unknown(error) => {
            let result = ToolResult::failed(error.code.clone(), error.message.clone());
            finish(inner, run, &shell, result).await
        }
        Ran::Aborted => {
            roll_back(inner, run, &shell).await?;
            Ok((ToolOutcome::Aborted, Vec::new()))
        }
    }
}

/// Commits the view; its blobs travel with the result.
async fn finish(
    inner: &Inner,
    run: &Run,
    shell: &ShellConfig,
    result: ToolResult,
) -> Result<(ToolOutcome, Vec<Blob>), Box<ErrorReport>> {
    let mut blobs = result.blobs;
    let mut workspace = None;
    if shell.workspace.is_some() && result.has_touched_view {
        let committed = inner.workspaces.commit(&run.session).await;
        if let Some(commit) = committed.map_err(|error| reported(&error))? {
            workspace = Some(commit.state);
            blobs.extend(commit.blobs);
        }
    }
    let blob = message(&run.call, &result.text);
    let status = result
        .code
        .map_or(ToolStatus::Succeeded, ToolStatus::Failed);
    let outcome = ToolOutcome::Finished {
        status,
        result: blob.digest,
        workspace,
    };
    blobs.push(blob);
    Ok((outcome, blobs))
}

async fn roll_back(inner: &Inner, run: &Run, shell: &ShellConfig) -> Result<(), Box<ErrorReport>> {
    if shell.workspace.is_none() {
        return Ok(());
    }
    inner
        .workspaces
        .roll_back(&run.session)
        .await
        .map_err(|error| reported(&error))
}

pub(super) async fn probe(inner: &Inner, run: Run) -> Performed {
    let step = run.step.clone();
    let probed = async {
        let (call, shell, secrets) = prepare(inner, &run).await?;
        let context = tools::Context {
            inner,
            shell: &shell,
            session: &run.session,
            turn: &run.turn,
            step: &run.step,
            key: &run.key,
            secrets: &secrets,
        };
        tools::probe(&context, &call).await
    };
    match probed.await {
        Ok(Some(text)) => {
            let blob = message(&run.call, &text);
            let outcome = ProbeOutcome::Applied(blob.digest);
            (Input::Probe { step, outcome }, vec![blob])
        }
        Ok(None) => (
            Input::Probe {
                step,
                outcome: ProbeOutcome::Absent,
            },
            Vec::new(),
        ),
        Err(error) => (
            Input::Probe {
                step,
                outcome: ProbeOutcome::Unknown(error),
            },
            Vec::new(),
        ),
    }
}

/// The call, the snapshot and the secrets that must never be seen in its result.
async fn prepare(
    inner: &Inner,
    run: &Run,
) -> Result<(ToolCall, ShellConfig, Vec<(String, Secret)>), Box<ErrorReport>> {
    let (_, shell) = config(inner, run.config).await?;
    let missing = |what: String| reported(&StoreError::Corrupt { what });
    let message = inner
        .reader
        .message(run.message)
        .await
        .map_err(|error| reported(&error))?;
    let message = message.ok_or_else(|| missing(format!("message {} is missing", run.message)))?;
    let call = message
        .tool_calls
        .into_iter()
        .find(|call| call.id == run.call);
    let call = call.ok_or_else(|| missing(format!("call {} is missing", run.call)))?;
    let mut secrets = Vec::new();
    for name in tools::secrets(&shell, &call.name) {
        secrets.push((name.clone(), model::secret(&shell, &name)?));
    }
    Ok((call, shell, secrets))
}

fn message(call: &str, text: &str) -> Blob {
    let (digest, bytes) = encode_message(&Message::tool_result(call, text));
    Blob {
        digest,
        content: BlobContent::Bytes(bytes),
    }
}

impl ToolResult {
    /// A failure that the model is told of.
    pub(crate) fn failed(code: Code, text: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            text: text.into(),
            blobs: Vec::new(),
            has_touched_view: false,
        }
    }
}
