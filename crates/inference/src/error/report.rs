//! What follows from a failure: its code and report, and whether to try again.

use super::{
    CircuitClass, InferenceError, NetworkPhase, Origin, ResponseProblem, TimeoutPhase, whole_ms,
};
use mainstay_contract::{Code, Coded, EffectState, ErrorReport, Responsible, RetryAdvice};
use std::time::Duration;

/// What stands in [`Origin::provider`] where a limit of the gateway itself was met.
pub(crate) const OURS: &str = "mainstay";

impl InferenceError {
    /// Where it came from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        match self {
            Self::RateLimited { origin, .. }
            | Self::Backpressure { origin, .. }
            | Self::NotReady { origin, .. }
            | Self::QuotaExhausted { origin, .. }
            | Self::ContentFiltered { origin, .. }
            | Self::ContextLengthExceeded { origin, .. }
            | Self::BadRequest { origin, .. }
            | Self::Misdirected { origin, .. }
            | Self::ModelNotFound { origin, .. }
            | Self::Unauthorized { origin, .. }
            | Self::Forbidden { origin, .. }
            | Self::NetworkError { origin, .. }
            | Self::ServerError { origin, .. }
            | Self::Timeout { origin, .. }
            | Self::BadResponse { origin, .. }
            | Self::CircuitOpen { origin, .. }
            | Self::BudgetExceeded { origin, .. }
            | Self::CudaContextPoisoned { origin, .. }
            | Self::Unsupported { origin, .. }
            | Self::KeyUnavailable { origin, .. }
            | Self::PriceUnknown { origin, .. }
            | Self::ScriptExhausted { origin, .. }
            | Self::RecordingFailed { origin, .. }
            | Self::LedgerFailed { origin, .. }
            | Self::Internal { origin, .. } => origin,
        }
    }

    /// How long the provider asks to wait, where it does.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Backpressure { retry_after, .. }
            | Self::ServerError { retry_after, .. } => *retry_after,
            Self::CircuitOpen { retry_after, .. } | Self::NotReady { retry_after, .. } => {
                Some(*retry_after)
            }
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
                phase:
                    TimeoutPhase::FirstToken
                    | TimeoutPhase::Idle
                    | TimeoutPhase::Total
                    | TimeoutPhase::Caller,
                ..
            }
            | Self::BadResponse { .. }
            | Self::ServerError {
                status: 200 | 500 | 502 | 504,
                ..
            } => EffectState::Unknown,
            _ if self.origin().answering => EffectState::Unknown,
            _ => EffectState::None,
        }
    }

    /// Whether the provider had the question, or may have had it, and never said what became of it: then it may
    /// bill what was sent. One that answers with an error bills nothing, unless it says so.
    #[must_use]
    pub const fn may_be_billed(&self) -> bool {
        match self {
            Self::NetworkError { phase, .. } => {
                matches!(phase, NetworkPhase::Response | NetworkPhase::Stream)
            }
            Self::Timeout { phase, .. } => !matches!(phase, TimeoutPhase::Connect),
            Self::BadResponse {
                problem: ResponseProblem::ErrorBody,
                origin,
                ..
            } => origin.answering,
            Self::BadResponse { .. } | Self::RecordingFailed { .. } => true,
            _ => self.origin().answering,
        }
    }

    /// Whether the same call may succeed on another try, as far as the failure alone can tell. Whoever
    /// tries also has to know whether the caller has seen something of the answer.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::ServerError { status, .. } => !matches!(status, 501 | 505),
            // Anew, the worker would come to the same answer; what it began to say cannot be taken back.
            Self::CudaContextPoisoned { origin, .. } => !origin.answering,
            Self::RateLimited { .. }
            | Self::Backpressure { .. }
            | Self::NotReady { .. }
            | Self::Timeout { .. }
            | Self::NetworkError { .. }
            | Self::BadResponse { .. } => true,
            _ => false,
        }
    }

    /// In what way it speaks against the deployment.
    #[must_use]
    pub const fn circuit_class(&self) -> CircuitClass {
        match self {
            // That lies with the question; the next may be answered.
            Self::BadResponse {
                problem: ResponseProblem::BrokenOff,
                ..
            } => CircuitClass::None,
            Self::ServerError { .. }
            | Self::Timeout { .. }
            | Self::NetworkError { .. }
            | Self::BadResponse { .. }
            | Self::CudaContextPoisoned { .. } => CircuitClass::Failure,
            Self::Backpressure { .. } => CircuitClass::Overload,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::Misdirected { .. } => {
                CircuitClass::Access
            }
            _ => CircuitClass::None,
        }
    }

    /// Whether a circuit breaker counts it as a failure of the deployment.
    #[must_use]
    pub const fn counts_as_circuit_failure(&self) -> bool {
        matches!(self.circuit_class(), CircuitClass::Failure)
    }

    /// Whose fault it is.
    #[must_use]
    pub fn responsible(&self) -> Responsible {
        match self {
            Self::NotReady { .. } => Responsible::Operator,
            Self::Timeout {
                phase: TimeoutPhase::Caller,
                ..
            } => Responsible::Caller,
            _ if self.origin().provider == OURS => Responsible::Caller,
            _ => self.code().info().responsible,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::QuotaExhausted { .. } => Some("add credit at the provider, or use another model"),
            Self::ModelNotFound { .. } => Some("correct `model` in the manifest"),
            Self::NotReady { .. } => Some("`mainstay model ls` tells how the model is doing"),
            Self::Unauthorized { .. } => Some("correct the secret that `api_key` names"),
            Self::Forbidden { .. } => Some("ask the provider for access, or use another key"),
            Self::Misdirected { .. } => Some("check `base_url`, and what stands before it"),
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
            } => Some(
                "the certificate must come from a public authority, or from one in the model's `ca_file`",
            ),
            Self::Timeout {
                phase: TimeoutPhase::Caller,
                ..
            } => None,
            Self::Timeout { .. } => Some("raise the limit in the model's `timeout`"),
            Self::PriceUnknown { .. } => Some(
                "give the model a `price`, or say `if_price_unknown: allow` to let it count as free",
            ),
            Self::KeyUnavailable { .. } => Some("correct the secret that `api_key` names"),
            Self::BudgetExceeded { .. } => Some("raise the budget, or wait until it starts anew"),
            _ => None,
        }
    }
}

impl Coded for InferenceError {
    fn code(&self) -> Code {
        match self {
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Backpressure { .. } | Self::NotReady { .. } => Code::Backpressure,
            Self::QuotaExhausted { .. } => Code::QuotaExhausted,
            Self::ContentFiltered { .. } => Code::ContentFiltered,
            Self::ContextLengthExceeded { .. } => Code::ContextLengthExceeded,
            Self::BadRequest { .. } | Self::Misdirected { .. } => Code::BadRequest,
            Self::ModelNotFound { .. } => Code::ModelNotFound,
            Self::Unauthorized { .. } => Code::ProviderUnauthorized,
            Self::Forbidden { .. } => Code::ProviderForbidden,
            Self::NetworkError { .. } => Code::NetworkError,
            Self::ServerError { .. } => Code::ServerError,
            Self::Timeout { .. } => Code::Timeout,
            Self::BadResponse { .. } => Code::BadResponse,
            Self::CircuitOpen { .. } => Code::CircuitOpen,
            Self::BudgetExceeded { .. } => Code::ModelBudgetExceeded,
            Self::CudaContextPoisoned { .. } => Code::CudaContextPoisoned,
            Self::Unsupported { .. } => Code::BadRequest,
            Self::KeyUnavailable { .. } => Code::SecretUnavailable,
            Self::PriceUnknown { .. } => Code::PriceUnknown,
            Self::ScriptExhausted { .. } => Code::ScriptExhausted,
            Self::RecordingFailed {
                is_disk_full: true, ..
            }
            | Self::LedgerFailed {
                is_disk_full: true, ..
            } => Code::StoreDiskFull,
            Self::RecordingFailed { .. } | Self::LedgerFailed { .. } => Code::StoreIoFailed,
            Self::Internal { .. } => Code::InferenceInternal,
        }
    }

    fn report(&self) -> ErrorReport {
        let mut report = ErrorReport::new(self.code(), self.to_string())
            .about("model", &self.origin().model)
            .effect(self.effect())
            .data(serde_json::to_value(self).unwrap_or_default());
        report.responsible = self.responsible();
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
        // A worker that answered already was hardly lost to the question.
        if matches!(self, Self::CudaContextPoisoned { origin, .. } if origin.answering) {
            report = report.advise(RetryAdvice::After);
        }
        match self.hint() {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}
