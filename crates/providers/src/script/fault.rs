//! Faults that a script can play.

use crate::{InferenceError, NetworkPhase, Origin, ResponseProblem, TimeoutPhase};
use std::time::Duration;

/// How some attempts of a step fail.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// How many attempts fail so.
    pub(super) times: u64,
    /// How many pieces of the step's text are sent before.
    pub(super) after_chunks: u64,
    pub(super) message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FaultKind {
    RateLimited {
        retry_after: Option<Duration>,
    },
    Backpressure {
        retry_after: Option<Duration>,
    },
    QuotaExhausted,
    ContentFiltered,
    ContextLengthExceeded {
        tokens: Option<u64>,
        max_tokens: Option<u64>,
    },
    BadRequest {
        status: u16,
        param: Option<String>,
    },
    Misdirected {
        status: u16,
    },
    ModelNotFound,
    Unauthorized,
    Forbidden,
    NetworkError {
        phase: NetworkPhase,
    },
    ServerError {
        status: u16,
        retry_after: Option<Duration>,
    },
    Timeout {
        phase: TimeoutPhase,
        after: Duration,
    },
    BadResponse {
        problem: ResponseProblem,
    },
    Internal,
    Panic,
}

/// The names, as they stand in a script.
pub(super) const KINDS: &[&str] = &[
    "rate_limited",
    "backpressure",
    "quota_exhausted",
    "content_filtered",
    "context_length_exceeded",
    "bad_request",
    "misdirected",
    "model_not_found",
    "unauthorized",
    "forbidden",
    "network_error",
    "server_error",
    "timeout",
    "bad_response",
    "internal",
    "panic",
];
pub(super) const NETWORK_PHASES: &[(&str, NetworkPhase)] = &[
    ("resolve", NetworkPhase::Resolve),
    ("connect", NetworkPhase::Connect),
    ("tls", NetworkPhase::Tls),
    ("send", NetworkPhase::Send),
    ("response", NetworkPhase::Response),
    ("stream", NetworkPhase::Stream),
];
pub(super) const TIMEOUT_PHASES: &[(&str, TimeoutPhase)] = &[
    ("connect", TimeoutPhase::Connect),
    ("first_token", TimeoutPhase::FirstToken),
    ("idle", TimeoutPhase::Idle),
    ("total", TimeoutPhase::Total),
];
pub(super) const PROBLEMS: &[(&str, ResponseProblem)] = &[
    ("cut_stream", ResponseProblem::CutStream),
    ("malformed", ResponseProblem::Malformed),
    ("error_body", ResponseProblem::ErrorBody),
    ("duplicate_tool_id", ResponseProblem::DuplicateToolId),
    ("incomplete_tool_call", ResponseProblem::IncompleteToolCall),
    ("broken_off", ResponseProblem::BrokenOff),
    ("too_large", ResponseProblem::TooLarge),
    ("not_an_answer", ResponseProblem::NotAnAnswer),
];

impl Fault {
    /// The failure it plays. A panic really panics.
    #[expect(
        clippy::panic,
        reason = "a script may ask for a panic, to see that it is contained"
    )]
    pub(super) fn error(&self, mut origin: Origin) -> InferenceError {
        origin.answering = self.after_chunks > 0;
        let message = self.message.clone();
        match self.kind.clone() {
            FaultKind::RateLimited { retry_after } => InferenceError::RateLimited {
                origin,
                retry_after,
                message,
            },
            FaultKind::Backpressure { retry_after } => InferenceError::Backpressure {
                origin,
                retry_after,
                message,
            },
            FaultKind::QuotaExhausted => InferenceError::QuotaExhausted { origin, message },
            FaultKind::ContentFiltered => InferenceError::ContentFiltered {
                origin,
                reason: String::new(),
                message,
            },
            FaultKind::ContextLengthExceeded { tokens, max_tokens } => {
                InferenceError::ContextLengthExceeded {
                    origin,
                    tokens,
                    max_tokens,
                    message,
                }
            }
            FaultKind::BadRequest { status, param } => InferenceError::BadRequest {
                origin,
                status,
                param,
                message,
            },
            FaultKind::Misdirected { status } => InferenceError::Misdirected {
                origin,
                status,
                message,
            },
            FaultKind::ModelNotFound => InferenceError::ModelNotFound { origin, message },
            FaultKind::Unauthorized => InferenceError::Unauthorized { origin, message },
            FaultKind::Forbidden => InferenceError::Forbidden { origin, message },
            FaultKind::NetworkError { phase } => InferenceError::NetworkError {
                origin,
                phase,
                message,
            },
            FaultKind::ServerError {
                status,
                retry_after,
            } => InferenceError::ServerError {
                origin,
                status,
                retry_after,
                message,
            },
            FaultKind::Timeout { phase, after } => InferenceError::Timeout {
                origin,
                phase,
                after,
                elapsed: after,
            },
            FaultKind::BadResponse { problem } => InferenceError::BadResponse {
                origin,
                problem,
                message,
            },
            FaultKind::Internal => InferenceError::Internal { origin, message },
            FaultKind::Panic => panic!("the script asks for a panic: {message}"),
        }
    }
}
