//! Performs what the session machine asks for. Each effect ends in one input for the machine and the
//! blobs that the input names.

mod model;
mod tool;
mod workspace;

pub(crate) use model::Pinned;

use crate::node::Inner;
use mainstay_contract::{Code, Coded, Digest, ErrorReport, SessionId};
use mainstay_sessions::{
    Blob, Effect, Input, ModelOutcome, ProbeOutcome, StoreError, ToolOutcome, TurnConfig,
};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinError;

/// What an effect came to.
pub(crate) type Performed = (Input, Vec<Blob>);

/// Performs one effect. `aborted` turns true when nobody wants its result any more.
pub(crate) async fn perform(
    inner: Arc<Inner>,
    session: SessionId,
    effect: Effect,
    aborted: watch::Receiver<bool>,
) -> Performed {
    match effect {
        Effect::OpenWorkspace { turn, config, at } => {
            workspace::open(&inner, &session, turn, config, at).await
        }
        Effect::CallModel {
            turn,
            step,
            config,
            messages,
            attempt,
        } => {
            let call = model::Call {
                session,
                turn,
                step,
                config,
                messages,
                attempt,
            };
            model::call(&inner, call, aborted).await
        }
        Effect::RunTool {
            turn,
            step,
            config,
            message,
            call,
            class,
            key,
        } => {
            let run = tool::Run {
                session,
                turn,
                step,
                config,
                message,
                call,
                class,
                key,
            };
            tool::run(&inner, run, aborted).await
        }
        Effect::ProbeTool {
            turn,
            step,
            config,
            message,
            call,
            key,
            ..
        } => {
            let class = mainstay_sessions::EffectClass::Once;
            let run = tool::Run {
                session,
                turn,
                step,
                config,
                message,
                call,
                class,
                key,
            };
            tool::probe(&inner, run).await
        }
        Effect::Abort { turn } => (Input::Cancel { turn: Some(turn) }, Vec::new()),
    }
}

/// What becomes of an effect whose code panicked. The panic's own words stay in the log.
pub(crate) fn panicked(effect: &Effect, error: &JoinError) -> Performed {
    let incident = uuid::Uuid::now_v7().simple().to_string();
    tracing::error!(%incident, %error, ?effect, "an effect panicked");
    let mut report = ErrorReport::new(
        Code::EffectPanicked,
        "code that performs an effect panicked",
    )
    .hint("report this with the incident's id and the log line that has it");
    report.incident = Some(incident);
    (failed(effect, Box::new(report)), Vec::new())
}

/// The input that says that an effect could not be performed.
fn failed(effect: &Effect, error: Box<ErrorReport>) -> Input {
    match effect {
        Effect::OpenWorkspace { turn, .. } => Input::WorkspaceFailed {
            turn: turn.clone(),
            error,
        },
        Effect::CallModel { step, .. } => Input::Model {
            step: step.clone(),
            outcome: ModelOutcome::Failed(error),
        },
        Effect::RunTool { step, class, .. } => {
            let outcome = match class {
                mainstay_sessions::EffectClass::Once => ToolOutcome::Unknown(error),
                _ => ToolOutcome::Failed(error),
            };
            Input::Tool {
                step: step.clone(),
                outcome,
            }
        }
        Effect::ProbeTool { step, .. } => Input::Probe {
            step: step.clone(),
            outcome: ProbeOutcome::Unknown(error),
        },
        Effect::Abort { turn } => Input::Cancel {
            turn: Some(turn.clone()),
        },
    }
}

/// The snapshot of a turn, read back.
async fn config(
    inner: &Inner,
    digest: Digest,
) -> Result<(TurnConfig, crate::snapshot::ShellConfig), Box<ErrorReport>> {
    let config = inner
        .reader
        .config(digest)
        .await
        .map_err(|error| reported(&error))?;
    let shell = crate::snapshot::shell(&config).map_err(|error| {
        let what = format!("configuration {digest}: {error}");
        reported(&StoreError::Corrupt { what })
    })?;
    Ok((config, shell))
}

fn reported(error: &impl Coded) -> Box<ErrorReport> {
    Box::new(error.report())
}
