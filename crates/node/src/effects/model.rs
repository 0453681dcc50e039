//! Calls a model: the stored conversation behind the agent's instructions, streamed to whoever listens.

use super::{Performed, config, reported};
use crate::clock::now;
use crate::node::Inner;
use crate::snapshot::ShellConfig;
use crate::{secrets, tools};
use mainstay_contract::{Code, Digest, ErrorReport, Message, Role, SessionId, StepId, TurnId};
use mainstay_manifest::Provider;
use mainstay_providers::{
    Form, ModelProvider, ModelRequest, OpenAiSettings, ProviderSettings, Recorder, Script, Timeouts,
};
use mainstay_sessions::{Blob, BlobContent, CallRef, Input, ModelOutcome, encode_message};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
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
    let (_, shell) = config(inner, call.config).await?;
    let provider = inner.providers.get(inner, &shell).await?;
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
    let answered = provider.call(&request, &mut on_text).await;
    let answer = answered.map_err(|error| {
        let report = *reported(&error);
        Box::new(report.about("model", shell.agent.model.clone()))
    })?;
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

/// Open providers, so that connections are used again.
pub(crate) struct Providers {
    record: Option<PathBuf>,
    open: Mutex<HashMap<String, Arc<dyn ModelProvider>>>,
}

impl Providers {
    pub(crate) fn new(record: Option<PathBuf>) -> Self {
        Self {
            record,
            open: Mutex::default(),
        }
    }

    async fn get(
        &self,
        inner: &Inner,
        shell: &ShellConfig,
    ) -> Result<Arc<dyn ModelProvider>, Box<ErrorReport>> {
        let secret = match &shell.model.provider {
            Provider::OpenAiCompatible {
                api_key: Some(key), ..
            } => Some(secret(shell, &key.secret)?),
            _ => None,
        };
        // A changed secret makes another provider; what the key holds of it cannot be read back.
        let mark = secret
            .as_ref()
            .map(|secret| blake3::hash(secret.expose().as_bytes()).to_hex());
        let key = json!([shell.model, shell.script, mark.map(|mark| mark.to_string())]).to_string();
        if let Some(provider) = self.lock().get(&key) {
            return Ok(Arc::clone(provider));
        }
        let settings = settings(inner, shell, secret).await?;
        let provider = mainstay_providers::open(settings).map_err(|error| reported(&error))?;
        let provider = self.recorded(provider)?;
        self.lock().insert(key, Arc::clone(&provider));
        Ok(provider)
    }

    fn recorded(
        &self,
        provider: Arc<dyn ModelProvider>,
    ) -> Result<Arc<dyn ModelProvider>, Box<ErrorReport>> {
        let Some(path) = &self.record else {
            return Ok(provider);
        };
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        let file = file.map_err(|error| {
            let message = format!(
                "the recording {} cannot be written: {error}",
                path.display()
            );
            Box::new(ErrorReport::new(Code::InvalidRequest, message))
        })?;
        Ok(Arc::new(Recorder::new(provider, file, Form::of(path))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn ModelProvider>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn settings(
    inner: &Inner,
    shell: &ShellConfig,
    secret: Option<mainstay_contract::Secret>,
) -> Result<ProviderSettings, Box<ErrorReport>> {
    match &shell.model.provider {
        Provider::Script { file } => {
            let missing = || {
                let what = format!("the pinned script {file} is missing");
                reported(&mainstay_sessions::StoreError::Corrupt { what })
            };
            let digest = shell.script.ok_or_else(missing)?;
            let bytes = inner
                .reader
                .with(move |journal| journal.blob(&digest))
                .await;
            let bytes = bytes
                .map_err(|error| reported(&error))?
                .ok_or_else(missing)?;
            let steps = Script::parse(file, &bytes).map_err(|error| {
                Box::new(ErrorReport::new(Code::ManifestInvalid, error.to_string()))
            })?;
            Ok(ProviderSettings::Script { steps })
        }
        Provider::OpenAiCompatible {
            base_url, model, ..
        } => {
            let mut settings = OpenAiSettings::new(base_url.clone(), model.clone());
            settings.api_key = secret;
            settings.timeouts = Timeouts {
                connect: shell.model.timeout.connect,
                first_token: shell.model.timeout.first_token,
                idle: shell.model.timeout.idle,
                total: shell.model.timeout.total,
            };
            Ok(ProviderSettings::OpenAiCompatible(settings))
        }
    }
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
