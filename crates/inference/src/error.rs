//! Why a model call failed: the typed form that stands in a report's `data`.

use mainstay_contract::{Code, Coded, EffectState, ErrorReport, RetryAdvice, Usd};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Where a failure came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The provider.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
    /// Whether the provider had begun to answer, so that tokens may have been billed.
    pub answering: bool,
}

/// What the connection was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkPhase {
    /// Looking up the host's name.
    Resolve,
    /// Connecting.
    Connect,
    /// Agreeing on encryption, certificates included.
    Tls,
    /// Sending, or waiting for the first byte of the answer.
    Response,
    /// Receiving the answer.
    Stream,
}

/// Which limit ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutPhase {
    /// Connecting, encryption included.
    Connect,
    /// Until the first piece of the answer.
    FirstToken,
    /// Between two pieces.
    Idle,
    /// The whole call.
    Total,
}

/// In what way a response is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseProblem {
    /// The stream ended before it was complete.
    CutStream,
    /// It is not JSON of the agreed shape, or no UTF-8.
    Malformed,
    /// Success was announced, and an error of no known kind delivered.
    ErrorBody,
    /// Two tool calls share an id.
    DuplicateToolId,
    /// A tool call lacks a part.
    IncompleteToolCall,
    /// It is larger than accepted.
    TooLarge,
    /// It has another content type, or no content.
    NotAnAnswer,
}

/// What a breaker learns from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitClass {
    /// Nothing.
    None,
    /// The provider does not work.
    Failure,
    /// The provider has too much to do.
    Overload,
    /// The provider refuses the key.
    Access,
}

/// How a model call failed. Messages hold no secret, no control character and at most 500 characters
/// of what the provider said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "`origin`, `message`, `status` and `retry_after` say the same in every variant"
)]
pub enum InferenceError {
    /// The provider limits the rate of requests.
    #[error("{} limits the rate of requests{}", .origin.provider, said(.message))]
    RateLimited {
        #[serde(flatten)]
        origin: Origin,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// The provider is overloaded.
    #[error("{} is overloaded{}", .origin.provider, said(.message))]
    Backpressure {
        #[serde(flatten)]
        origin: Origin,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// The quota or credit is used up; waiting does not help.
    #[error("the quota at {} is used up{}", .origin.provider, said(.message))]
    QuotaExhausted {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider or its model refused the content.
    #[error("{} refused the content{}", .origin.provider, said(.message))]
    ContentFiltered {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The conversation, or the answer to it, is longer than the model accepts.
    #[error("the conversation is longer than {} accepts{}", .origin.model, said(.message))]
    ContextLengthExceeded {
        #[serde(flatten)]
        origin: Origin,
        /// The tokens of the conversation, where the provider says so.
        tokens: Option<u64>,
        /// The tokens the model accepts, where the provider says so.
        limit: Option<u64>,
        message: String,
    },
    /// The provider refused the request as malformed.
    #[error("{} refused the request with status {status}{}", .origin.provider, said(.message))]
    BadRequest {
        #[serde(flatten)]
        origin: Origin,
        status: u16,
        message: String,
    },
    /// The provider does not know the model.
    #[error("{} does not know the model {}{}", .origin.provider, .origin.model, said(.message))]
    ModelNotFound {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider refused the key.
    #[error("{} refused the key{}", .origin.provider, said(.message))]
    Unauthorized {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider does not allow the request to this key.
    #[error("{} does not allow the request{}", .origin.provider, said(.message))]
    Forbidden {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// The provider could not be reached, or the connection broke.
    #[error("the connection to {} failed{}", .origin.provider, said(.message))]
    NetworkError {
        #[serde(flatten)]
        origin: Origin,
        /// What the connection was doing.
        phase: NetworkPhase,
        message: String,
    },
    /// The provider failed.
    #[error("{} failed with status {status}{}", .origin.provider, said(.message))]
    ServerError {
        #[serde(flatten)]
        origin: Origin,
        status: u16,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// The provider did not answer in time.
    #[error("{} did not answer in time: {} after {} ms", .origin.provider, limit_name(*.phase), .after.as_millis())]
    Timeout {
        #[serde(flatten)]
        origin: Origin,
        /// Which limit ran out.
        phase: TimeoutPhase,
        /// The limit.
        #[serde(serialize_with = "whole_milliseconds")]
        after: Duration,
    },
    /// The provider answered with something that is no answer.
    #[error("{} sent no usable answer{}", .origin.provider, said(.message))]
    BadResponse {
        #[serde(flatten)]
        origin: Origin,
        /// In what way.
        problem: ResponseProblem,
        message: String,
    },
    /// The scripted model has no step for this call.
    #[error("the script {} has {steps} steps, and step {step} was asked for", .origin.model)]
    ScriptExhausted {
        #[serde(flatten)]
        origin: Origin,
        /// The step asked for, counted from 1.
        step: u64,
        /// How many there are.
        steps: u64,
    },
    /// The answer came and could not be recorded.
    #[error("the answer could not be recorded{}", said(.message))]
    RecordingFailed {
        #[serde(flatten)]
        origin: Origin,
        /// Whether the disk is full.
        is_disk_full: bool,
        message: String,
    },
    /// The breaker of the endpoint is open.
    #[error("{} failed too often and is left alone for a while", .origin.provider)]
    CircuitOpen {
        #[serde(flatten)]
        origin: Origin,
        opened_at_unix_ms: u64,
        retry_at_unix_ms: u64,
        #[serde(serialize_with = "milliseconds")]
        retry_after: Option<Duration>,
    },
    /// A budget is used up.
    #[error(
        "the budget of {budget} is used up: {spent} spent and {reserved} reserved of {limit} USD"
    )]
    BudgetExceeded {
        #[serde(flatten)]
        origin: Origin,
        deployment: String,
        budget: String,
        limit: Usd,
        spent: Usd,
        reserved: Usd,
        resets_at_unix_ms: Option<u64>,
    },
    /// A local device is lost to its process.
    #[error("the device {device} failed{}", said(.message))]
    CudaContextPoisoned {
        #[serde(flatten)]
        origin: Origin,
        device: String,
        code: Option<u32>,
        message: String,
    },
    /// The request asks for what the provider's wire cannot say.
    #[error("{} cannot do this: {param}{}", .origin.provider, said(.message))]
    Unsupported {
        #[serde(flatten)]
        origin: Origin,
        param: String,
        message: String,
    },
    /// The key of the provider cannot be read.
    #[error("the key of {} cannot be used{}", .origin.provider, said(.message))]
    KeyUnavailable {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
    /// A budget counts and nobody knows what a call costs.
    #[error("the price of {} is not known, and the budget of {budget} counts it", .origin.model)]
    PriceUnknown {
        #[serde(flatten)]
        origin: Origin,
        budget: String,
    },
    /// We broke a promise of our own.
    #[error("the call could not be made{}", said(.message))]
    Internal {
        #[serde(flatten)]
        origin: Origin,
        message: String,
    },
}

impl InferenceError {
    /// Where it came from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        match self {
            Self::RateLimited { origin, .. }
            | Self::Backpressure { origin, .. }
            | Self::QuotaExhausted { origin, .. }
            | Self::ContentFiltered { origin, .. }
            | Self::ContextLengthExceeded { origin, .. }
            | Self::BadRequest { origin, .. }
            | Self::ModelNotFound { origin, .. }
            | Self::Unauthorized { origin, .. }
            | Self::Forbidden { origin, .. }
            | Self::NetworkError { origin, .. }
            | Self::ServerError { origin, .. }
            | Self::Timeout { origin, .. }
            | Self::BadResponse { origin, .. }
            | Self::ScriptExhausted { origin, .. }
            | Self::RecordingFailed { origin, .. }
            | Self::CircuitOpen { origin, .. }
            | Self::BudgetExceeded { origin, .. }
            | Self::CudaContextPoisoned { origin, .. }
            | Self::Unsupported { origin, .. }
            | Self::KeyUnavailable { origin, .. }
            | Self::PriceUnknown { origin, .. }
            | Self::Internal { origin, .. } => origin,
        }
    }

    /// How long the provider asks to wait, where it does.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Backpressure { retry_after, .. }
            | Self::CircuitOpen { retry_after, .. }
            | Self::ServerError { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the provider may have billed the call all the same.
    #[must_use]
    pub const fn effect(&self) -> EffectState {
        match self {
            Self::RecordingFailed { .. } => EffectState::Applied,
            Self::NetworkError {
                phase: NetworkPhase::Response | NetworkPhase::Stream,
                ..
            }
            | Self::Timeout {
                phase: TimeoutPhase::FirstToken | TimeoutPhase::Idle | TimeoutPhase::Total,
                ..
            }
            | Self::BadResponse { .. }
            | Self::ServerError {
                status: 500 | 502 | 504,
                ..
            } => EffectState::Unknown,
            _ if self.origin().answering => EffectState::Unknown,
            _ => EffectState::None,
        }
    }

    /// Whether the same call may go better a while later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Backpressure { .. }
                | Self::ServerError { .. }
                | Self::Timeout { .. }
                | Self::NetworkError { .. }
                | Self::BadResponse { .. }
                | Self::CudaContextPoisoned { .. }
        )
    }

    /// What a breaker learns from it.
    #[must_use]
    pub const fn circuit_class(&self) -> CircuitClass {
        match self {
            Self::ServerError { .. }
            | Self::Timeout { .. }
            | Self::NetworkError { .. }
            | Self::BadResponse { .. }
            | Self::CudaContextPoisoned { .. } => CircuitClass::Failure,
            Self::Backpressure { .. } => CircuitClass::Overload,
            Self::Unauthorized { .. } | Self::Forbidden { .. } => CircuitClass::Access,
            _ => CircuitClass::None,
        }
    }

    /// Whether it counts against the breaker of the endpoint.
    #[must_use]
    pub const fn counts_as_circuit_failure(&self) -> bool {
        matches!(self.circuit_class(), CircuitClass::Failure)
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::QuotaExhausted { .. } => Some("add credit at the provider, or use another model"),
            Self::ModelNotFound { .. } => Some("correct `model` in the manifest"),
            Self::Unauthorized { .. } => Some("correct the secret that `api_key` names"),
            Self::Forbidden { .. } => Some("ask the provider for access, or use another key"),
            Self::BadRequest {
                status: 300..=405, ..
            } => Some("check `base_url`"),
            Self::ScriptExhausted { .. } => Some("add a step to the script"),
            Self::NetworkError {
                phase: NetworkPhase::Resolve | NetworkPhase::Connect,
                ..
            } => Some(
                "check `base_url` and that the provider is running; proxy variables are not read",
            ),
            Self::NetworkError {
                phase: NetworkPhase::Tls,
                ..
            } => Some("the certificate must come from a publicly trusted authority"),
            Self::Timeout { .. } => Some("raise the limit in the model's `timeout`"),
            _ => None,
        }
    }
}

impl Coded for InferenceError {
    fn code(&self) -> Code {
        match self {
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Backpressure { .. } => Code::Backpressure,
            Self::QuotaExhausted { .. } => Code::QuotaExhausted,
            Self::ContentFiltered { .. } => Code::ContentFiltered,
            Self::ContextLengthExceeded { .. } => Code::ContextLengthExceeded,
            Self::BadRequest { .. } => Code::BadRequest,
            Self::ModelNotFound { .. } => Code::ModelNotFound,
            Self::Unauthorized { .. } => Code::ProviderUnauthorized,
            Self::Forbidden { .. } => Code::ProviderForbidden,
            Self::NetworkError { .. } => Code::NetworkError,
            Self::ServerError { .. } => Code::ServerError,
            Self::Timeout { .. } => Code::Timeout,
            Self::BadResponse { .. } => Code::BadResponse,
            Self::ScriptExhausted { .. } => Code::ScriptExhausted,
            Self::RecordingFailed {
                is_disk_full: true, ..
            } => Code::StoreDiskFull,
            Self::RecordingFailed { .. } => Code::StoreIoFailed,
            Self::CircuitOpen { .. } => Code::CircuitOpen,
            Self::BudgetExceeded { .. } => Code::InferenceBudgetExceeded,
            Self::CudaContextPoisoned { .. } => Code::CudaContextPoisoned,
            Self::Unsupported { .. } => Code::BadRequest,
            Self::KeyUnavailable { .. } => Code::SecretUnavailable,
            Self::PriceUnknown { .. } => Code::PriceUnknown,
            Self::Internal { .. } => Code::InferenceInternal,
        }
    }

    fn report(&self) -> ErrorReport {
        let mut report = ErrorReport::new(self.code(), self.to_string())
            .about("model", &self.origin().model)
            .effect(self.effect())
            .data(serde_json::to_value(self).unwrap_or_default());
        if let Some(wait) = self.retry_after() {
            report = report.retry_after_ms(whole_ms(wait));
        }
        if matches!(
            self,
            Self::ServerError {
                status: 501 | 505,
                ..
            }
        ) {
            report = report.advise(RetryAdvice::Never);
        }
        match self.hint() {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

const fn limit_name(phase: TimeoutPhase) -> &'static str {
    match phase {
        TimeoutPhase::Connect => "no connection",
        TimeoutPhase::FirstToken => "no first token",
        TimeoutPhase::Idle => "silence within the answer",
        TimeoutPhase::Total => "not complete",
    }
}

/// Whole milliseconds, rounded up so that nobody comes back too early.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn whole_milliseconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_ms(*duration))
}

fn milliseconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(whole_ms).serialize(serializer)
}
