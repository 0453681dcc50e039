//! What a flow remembers of itself, to be told when it is over.

use mainstay_contract::Usd;
use mainstay_inference::{FinishReason, Tokens};
use std::sync::Arc;
use std::time::SystemTime;

/// A request, as far as a trace tells it.
#[derive(Debug, Clone)]
pub(crate) struct FlowTrace {
    /// `chat` or `embeddings`.
    pub(crate) operation: &'static str,
    pub(crate) request_id: String,
    /// The caller's own span, as it was sent.
    pub(crate) parent: Option<String>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) started: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) attempts: Vec<AttemptTrace>,
    pub(crate) deployment: Option<Arc<str>>,
    pub(crate) provider: Option<String>,
    /// The provider's id of the answer, and the model that gave it.
    pub(crate) response: Option<(String, String)>,
    pub(crate) reason: Option<FinishReason>,
    pub(crate) tokens: Tokens,
    pub(crate) usd: Usd,
    /// Of the failure.
    pub(crate) code: Option<String>,
}

/// One call of a provider.
#[derive(Debug, Clone)]
pub(crate) struct AttemptTrace {
    pub(crate) number: u32,
    pub(crate) deployment: Arc<str>,
    pub(crate) started: SystemTime,
    pub(crate) ended: Option<SystemTime>,
    pub(crate) code: Option<String>,
}

impl FlowTrace {
    pub(crate) fn new(operation: &'static str, key: Option<Arc<str>>) -> Self {
        let now = SystemTime::now();
        Self {
            operation,
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
            code: None,
        }
    }

    pub(crate) fn attempt_began(&mut self, number: u32, deployment: &Arc<str>) {
        self.attempts.push(AttemptTrace {
            number,
            deployment: Arc::clone(deployment),
            started: SystemTime::now(),
            ended: None,
            code: None,
        });
    }

    pub(crate) fn attempt_ended(&mut self, number: u32, code: Option<String>) {
        let attempt = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.number == number);
        if let Some(attempt) = attempt {
            (attempt.ended, attempt.code) = (Some(SystemTime::now()), code);
        }
    }
}
