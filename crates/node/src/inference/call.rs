//! One question to a model, without an agent.

use crate::error::RequestError;
use mainstay_contract::{Coded, ErrorReport, Usd};
use mainstay_gateway::{Flow, FlowError, Gateway, Settings, flow_report};
use mainstay_inference::{
    Ask, Assembly, Dialect, Event, FinishReason, InferenceError, Message, Origin, Part,
    ProviderCall, Request, ResponseProblem, Role, Spender, estimate_tokens,
};
use mainstay_resilience::Priority;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCall {
    /// By which the log and the trace tell of it.
    pub request_id: String,
    /// The caller's own span (`traceparent`).
    pub trace_parent: Option<String>,
    /// The model, as the manifest names it.
    pub model: String,
    /// What is asked.
    pub input: String,
    /// Instructions beside it.
    pub system: Option<String>,
    /// The most tokens of the answer.
    pub output_tokens_max: Option<u64>,
    /// Whether the answer is wanted in pieces.
    pub stream: bool,
    /// How long its caller waits.
    pub patience: Option<Duration>,
    /// How much of that is gone.
    pub waited: Duration,
}

/// An answer, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReply {
    /// What it says.
    pub text: String,
    /// Who answered; not always whom was asked.
    pub model: Arc<str>,
    /// Why it ended: `stop`, `length`, `tool_calls` or `pause`.
    pub finish: &'static str,
    /// How many calls it took.
    pub attempts: u32,
    /// What was counted.
    pub usage: ReplyTokens,
    /// What all calls cost.
    pub usd: Usd,
    /// Budgets that are used up and only warn.
    pub warnings: Vec<String>,
}

/// The tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReplyTokens {
    /// Sent.
    pub input_tokens: u64,
    /// Received.
    pub output_tokens: u64,
}

/// An answer on its way. Dropping it cancels the call.
pub(crate) struct Calling {
    flow: Flow,
    asked: String,
    assembly: Assembly,
}

/// What comes of it.
pub(crate) enum Said {
    Text(String),
    Done(ModelReply),
}

impl Calling {
    /// Ends when the model begins to answer.
    pub(crate) async fn start(gateway: &Gateway, call: &ModelCall) -> Result<Self, RequestError> {
        let settings = gateway.settings();
        let Some(model) = settings.models.get(call.model.as_str()) else {
            return Err(unknown(&settings, &call.model));
        };
        let first = model.deployments.first();
        let provider = first.and_then(|name| settings.providers.get(name));
        let dialect = provider.and_then(|provider| provider.dialect(None));
        let request = request(call);
        let ask = Ask {
            model: Arc::from(call.model.as_str()),
            spender: Spender::default(),
            session_budget: None,
            input_tokens: estimate_tokens(&request, dialect.unwrap_or(Dialect::OpenAiChat)),
            output_tokens_max: call.output_tokens_max,
            has_audio: false,
            priority: Priority::Normal,
            deadline: call
                .patience
                .map(|patience| gateway.now().after(patience.saturating_sub(call.waited))),
            patience: call.patience,
            is_retried: true,
            random: uuid::Uuid::now_v7().as_u64_pair().1,
        };
        let provider_call = ProviderCall {
            request: Arc::new(request),
            relay: None,
            attempt: 0,
            hops: 0,
        };
        let mut flow = Flow::new(gateway, ask, provider_call);
        flow.named(&call.request_id, call.trace_parent.as_deref());
        let mut calling = Self {
            flow,
            asked: call.model.clone(),
            assembly: Assembly::default(),
        };
        let begun = calling.flow.begin().await;
        begun.map_err(|error| RequestError::Model(calling.report(&error)))?;
        Ok(calling)
    }

    /// The next piece of text, or the end; nothing is to be asked for after that.
    pub(crate) async fn next(&mut self) -> Result<Said, Box<ErrorReport>> {
        let mut text = String::new();
        loop {
            let piece = self.flow.next().await;
            let Some(piece) = piece.map_err(|error| self.report(&error))? else {
                return self.end().map(Said::Done);
            };
            for event in piece.events {
                if let Event::Delta { text: said, part } = &event
                    && self.assembly.is_text(*part)
                {
                    text.push_str(said);
                }
                let added = self.assembly.add(event);
                added.map_err(|error| self.unusable(error.to_string()))?;
            }
            if !text.is_empty() {
                return Ok(Said::Text(text));
            }
        }
    }

    fn end(&mut self) -> Result<ModelReply, Box<ErrorReport>> {
        let answer = std::mem::take(&mut self.assembly).finish();
        let answer = answer.map_err(|error| self.unusable(error.to_string()))?;
        let lost = || self.unusable("nobody says how it ended".to_owned());
        let success = self.flow.success().ok_or_else(lost)?;
        let (mut text, mut refusal) = (String::new(), String::new());
        for part in answer.parts {
            match part {
                Part::Text { text: said, .. } => text.push_str(&said),
                Part::Refusal { text: said } => refusal.push_str(&said),
                _ => {}
            }
        }
        let finish = match answer.reason {
            FinishReason::ContentFilter => None,
            _ if !refusal.is_empty() => None,
            FinishReason::Stop => Some("stop"),
            FinishReason::Length => Some("length"),
            FinishReason::ToolCalls => Some("tool_calls"),
            FinishReason::Pause => Some("pause"),
        };
        let refused = || InferenceError::ContentFiltered {
            origin: self.origin(),
            reason: String::new(),
            message: refusal,
        };
        Ok(ModelReply {
            text,
            model: success.deployment,
            finish: finish.ok_or_else(|| Box::new(refused().report()))?,
            attempts: success.attempts,
            usage: ReplyTokens {
                input_tokens: success.tokens.input,
                output_tokens: success.tokens.output,
            },
            usd: success.usd,
            warnings: success.warnings,
        })
    }

    fn origin(&self) -> Origin {
        Origin {
            model: self.asked.clone(),
            answering: true,
            ..Origin::default()
        }
    }

    fn report(&self, error: &FlowError) -> Box<ErrorReport> {
        Box::new(flow_report(error, &self.asked))
    }

    fn unusable(&self, message: String) -> Box<ErrorReport> {
        let error = InferenceError::BadResponse {
            origin: self.origin(),
            problem: ResponseProblem::Malformed,
            message,
        };
        Box::new(error.report())
    }
}

/// Says which models there are instead: those with a similar name, or else all, as far as somebody reads them.
fn unknown(settings: &Settings, model: &str) -> RequestError {
    let names = || settings.models.keys().map(AsRef::as_ref);
    let mut near = mainstay_manifest::near(model, names());
    if near.is_empty() {
        near = names().map(str::to_owned).collect();
        near.sort_unstable();
        near.truncate(10);
    }
    RequestError::NotFound {
        kind: "model",
        id: model.to_owned(),
        near,
    }
}

fn request(call: &ModelCall) -> Request {
    let system = call.system.iter();
    let system = system.map(|text| Message::text(Role::System, text));
    let input = Message::text(Role::User, &call.input);
    Request {
        model: call.model.clone(),
        messages: system.chain([input]).collect(),
        output_tokens_max: call.output_tokens_max,
        stream: call.stream,
        stream_usage: true,
        ..Request::default()
    }
}
