//! What a flow remembers of itself, to be told when it is over.

use crate::settings::Settings;
use mainstay_contract::{Coded, Usd};
use mainstay_inference::{EmbeddingRequest, Ending, FinishReason, Outcome, Request, Tokens};
use std::sync::Arc;
use std::time::SystemTime;

/// What ends a call or a request that nobody waits for any more.
const CANCELLED: &str = "cancelled";

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question<'a> {
    Chat(&'a Request),
    Embeddings(&'a EmbeddingRequest),
}

impl Question<'_> {
    /// The operation by the conventions.
    pub(crate) const fn operation(self) -> &'static str {
        match self {
            Self::Chat(_) => "chat",
            Self::Embeddings(_) => "embeddings",
        }
    }

    /// The model, as the caller named it.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Chat(request) => &request.model,
            Self::Embeddings(request) => &request.model,
        }
    }
}

/// A request, as far as a trace tells it.
#[derive(Debug, Clone)]
pub(crate) struct FlowTrace {
    pub(crate) request_id: String,
    /// The caller's own span, as it was sent.
    pub(crate) parent: Option<String>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) started: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) attempts: Vec<AttemptTrace>,
    /// Who answered, or failed last.
    pub(crate) deployment: Option<Arc<str>>,
    /// Who provides that, or else the likeliest to answer.
    pub(crate) provider: Option<Arc<str>>,
    /// The provider's id of the answer, empty where it has none, and the model that gave it.
    pub(crate) response: Option<(String, String)>,
    pub(crate) reason: Option<FinishReason>,
    pub(crate) tokens: Tokens,
    pub(crate) usd: Usd,
    /// Whether the answer was kept, and nobody asked for it.
    pub(crate) is_kept: bool,
    /// Of the failure.
    pub(crate) code: Option<String>,
}

/// One call of a provider.
#[derive(Debug, Clone)]
pub(crate) struct AttemptTrace {
    pub(crate) number: u32,
    pub(crate) deployment: Arc<str>,
    pub(crate) provider: Option<Arc<str>>,
    /// As the provider calls it, where that is known.
    pub(crate) model: Arc<str>,
    pub(crate) started: SystemTime,
    pub(crate) ended: Option<SystemTime>,
    /// What was counted for it; absent where nothing came.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) code: Option<String>,
}

impl FlowTrace {
    pub(crate) fn new(key: Option<Arc<str>>) -> Self {
        let now = SystemTime::now();
        Self {
            request_id: String::new(),
            parent: None,
            key,
            started: now,
            ended: now,
            attempts: Vec::new(),
            deployment: None,
            provider: None,
            response: None,
            reason: None,
            tokens: Tokens::default(),
            usd: Usd::ZERO,
            is_kept: false,
            code: None,
        }
    }

    /// Names the request and the caller's own span.
    pub(crate) fn named(&mut self, request_id: &str, parent: Option<&str>) {
        request_id.clone_into(&mut self.request_id);
        self.parent = parent.map(str::to_owned);
    }

    pub(crate) fn attempt_began(
        &mut self,
        number: u32,
        deployment: &Arc<str>,
        settings: &Settings,
    ) {
        let config = settings.gate.deployments.get(deployment);
        self.attempts.push(AttemptTrace {
            number,
            deployment: Arc::clone(deployment),
            provider: config.map(|config| Arc::clone(&config.provider)),
            model: Arc::clone(config.map_or(deployment, |config| &config.model)),
            started: SystemTime::now(),
            ended: None,
            tokens: None,
            code: None,
        });
    }

    pub(crate) fn attempt_ended(&mut self, number: u32, outcome: &Outcome) {
        let mut attempts = self.attempts.iter_mut();
        let Some(attempt) = attempts.find(|attempt| attempt.number == number) else {
            return;
        };
        attempt.ended = Some(SystemTime::now());
        match outcome {
            Outcome::Answered { tokens } => attempt.tokens = *tokens,
            Outcome::Failed { error, tokens } => {
                attempt.tokens = Some(*tokens).filter(|tokens| *tokens != Tokens::default());
                attempt.code = Some(error.code().to_string());
            }
        }
    }

    /// Tells of an answer that is given again.
    pub(crate) fn given_again(&mut self, deployment: &Arc<str>, model: &str, settings: &Settings) {
        self.is_kept = true;
        self.deployment = Some(Arc::clone(deployment));
        self.provided_by(model, settings);
    }

    /// Tells how the request ended; without an ending nobody waited for it.
    pub(crate) fn over(&mut self, ending: Option<&Ending>, model: &str, settings: &Settings) {
        self.ended = SystemTime::now();
        for attempt in self.attempts.iter_mut().filter(|one| one.ended.is_none()) {
            attempt.ended = Some(self.ended);
            attempt.code = Some(CANCELLED.to_owned());
        }
        match ending {
            Some(Ok(success)) => {
                self.deployment = Some(Arc::clone(&success.deployment));
                (self.tokens, self.usd) = (success.tokens, success.usd);
            }
            Some(Err(error)) => {
                self.deployment.clone_from(&error.deployment);
                (self.tokens, self.usd) = (error.tokens, error.usd);
                self.code = Some(error.error.code().to_string());
            }
            None => self.code = Some(CANCELLED.to_owned()),
        }
        self.provided_by(model, settings);
    }

    fn provided_by(&mut self, model: &str, settings: &Settings) {
        let tried = self.attempts.last().map(|attempt| &attempt.deployment);
        let likeliest = || settings.models.get(model)?.deployments.first();
        let deployment = self.deployment.as_ref().or(tried).or_else(likeliest);
        let config = deployment.and_then(|name| settings.gate.deployments.get(name));
        self.provider = config.map(|config| Arc::clone(&config.provider));
    }
}
