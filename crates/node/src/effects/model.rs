//! Calls a model: the stored conversation behind the agent's instructions, streamed to whoever listens.

use super::{Performed, config, reported};
use crate::clock::now;
use crate::inference::{Place, open_pinned};
use crate::node::Inner;
use crate::snapshot::ShellConfig;
use crate::{secrets, tools, wiring};
use mainstay_contract::{Code, Digest, ErrorReport, Message, Role, SessionId, StepId, TurnId};
use mainstay_manifest::Provider;
use mainstay_providers::{Direct, ModelAnswer, ModelProvider, ModelRequest};
use mainstay_sessions::{Blob, BlobContent, CallRef, Input, ModelOutcome, encode_message};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A model call to be made.
pub(super) struct Call {
    pub(super) session: SessionId,
    pub(super) turn: TurnId,
    pub(super) step: StepId,
    pub(super) config: Digest,
    pub(super) messages: Vec<Digest>,
    pub(super) attempt: u32,
}

pub(super) async fn call(
    inner: &Inner,
    call: Call,
    mut aborted: watch::Receiver<bool>,
) -> Performed {
    let step = call.step.clone();
    let outcome = tokio::select! {
        answered = answer(inner, &call) => match answered {
            Ok((outcome, blob)) => return (Input::Model { step, outcome }, vec![blob]),
            Err(error) => ModelOutcome::Failed(error),
        },
        _ = aborted.wait_for(|is_aborted| *is_aborted) => ModelOutcome::Aborted,
    };
    (Input::Model { step, outcome }, Vec::new())
}

async fn answer(inner: &Inner, call: &Call) -> Result<(ModelOutcome, Blob), Box<ErrorReport>> {
    let (turn, shell) = config(inner, call.config).await?;
    let stored = inner.reader.messages(call.messages.clone()).await;
    let stored = stored.map_err(|error| reported(&error))?;
    let instructions = shell
        .agent
        .instructions
        .as_deref()
        .map(|text| Message::text(Role::System, text));
    let request = ModelRequest {
        messages: instructions.into_iter().chain(stored).collect(),
        tools: shell.agent.tools.iter().flat_map(tools::specs).collect(),
        attempt: call.attempt,
    };
    let feeds = &inner.feeds;
    let preview = |kind: &str, data: serde_json::Value| {
        feeds.preview(&call.session, &call.turn, now(), kind, || data);
    };
    preview(
        "model_started",
        json!({ "step": call.step, "attempt": call.attempt }),
    );
    let mut on_text = |text: &str| {
        preview("text_delta", json!({ "step": call.step, "text": text }));
    };
    let answer = ask(
        inner,
        call,
        (turn.agent.as_str(), &shell),
        &request,
        &mut on_text,
    )
    .await;
    let answer =
        answer.map_err(|report| Box::new(report.about("model", shell.agent.model.clone())))?;
    let message = Message {
        tool_calls: answer.tool_calls,
        ..Message::text(Role::Assistant, answer.text)
    };
    let reference = |call: &mainstay_contract::ToolCall| CallRef {
        id: call.id.clone(),
        name: call.name.clone(),
    };
    let calls = message.tool_calls.iter().map(reference).collect();
    let (digest, bytes) = encode_message(&message);
    let outcome = ModelOutcome::Answered {
        message: digest,
        calls,
        usage: answer.usage,
    };
    Ok((
        outcome,
        Blob {
            digest,
            content: BlobContent::Bytes(bytes),
        },
    ))
}

/// Asks the model that the turn is pinned to: through the gateway where it is still served as it was, and
/// past it where the manifest says something else by now. A script is pinned with its content.
async fn ask(
    inner: &Inner,
    call: &Call,
    (agent, shell): (&str, &ShellConfig),
    request: &ModelRequest,
    on_text: &mut (dyn FnMut(&str) + Send),
) -> Result<ModelAnswer, Box<ErrorReport>> {
    let is_script = matches!(shell.model.provider, Provider::Script { .. });
    if !is_script && inner.models.serves(&shell.agent.model, &shell.model) {
        let gateway = inner.models.gateway();
        let asked = wiring::Asked {
            model: &shell.agent.model,
            agent,
            session: call.session.as_str(),
            session_budget: shell.agent.session_budget,
            request,
        };
        return wiring::ask_model(gateway, &asked, on_text).await;
    }
    let provider = inner.pinned.get(inner, shell).await?;
    let answered = provider.call(request, on_text).await;
    answered.map_err(|error| reported(&error))
}

/// Open providers of turns that are pinned to something that is not served, so that connections are used
/// again.
#[derive(Default)]
pub(crate) struct Pinned {
    open: Mutex<HashMap<String, Arc<Direct>>>,
}

impl Pinned {
    async fn get(
        &self,
        inner: &Inner,
        shell: &ShellConfig,
    ) -> Result<Arc<Direct>, Box<ErrorReport>> {
        let secret = match shell.model.provider.api_key() {
            Some(key) => Some(secret(shell, &key.secret)?),
            None => None,
        };
        // A changed secret makes another provider; what the key holds of it cannot be read back.
        let mark = secret
            .as_ref()
            .map(|secret| blake3::hash(secret.expose().as_bytes()).to_hex());
        let key = json!([shell.model, shell.script, mark.map(|mark| mark.to_string())]).to_string();
        if let Some(provider) = self.lock().get(&key) {
            return Ok(Arc::clone(provider));
        }
        let place = Place {
            folder: &shell.folder,
            secrets: &shell.secrets,
            record: inner.models.record(),
            script: script(inner, shell).await?,
            exe: inner.models.exe(),
            on_local: None,
        };
        let provider = open_pinned(&shell.agent.model, &shell.model, &place)?;
        let provider = Arc::new(Direct::new(provider, shell.agent.model.clone()));
        self.lock().insert(key, Arc::clone(&provider));
        Ok(provider)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Direct>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content of the script that a turn is pinned to.
async fn script(inner: &Inner, shell: &ShellConfig) -> Result<Option<Vec<u8>>, Box<ErrorReport>> {
    let Provider::Script { file } = &shell.model.provider else {
        return Ok(None);
    };
    let missing = || {
        let what = format!("the pinned script {file} is missing");
        reported(&mainstay_sessions::StoreError::Corrupt { what })
    };
    let digest = shell.script.ok_or_else(missing)?;
    let read = inner.reader.with(move |journal| journal.blob(&digest));
    let bytes = read.await.map_err(|error| reported(&error))?;
    Ok(Some(bytes.ok_or_else(missing)?))
}

/// A secret that the snapshot names.
pub(super) fn secret(
    shell: &ShellConfig,
    name: &str,
) -> Result<mainstay_contract::Secret, Box<ErrorReport>> {
    let source = shell.secrets.get(name).ok_or_else(|| {
        let message = format!("the secret `{name}` is not declared");
        Box::new(ErrorReport::new(Code::SecretUnavailable, message).about("secret", name))
    })?;
    secrets::read(name, source, &shell.folder)
}
